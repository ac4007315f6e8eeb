"""How long each kind of file takes to read, and how much memory."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

from spar_lightning.benchmark.data.source_files import WRITERS, write_source
from spar_lightning.benchmark.measuring.machine import describe_machine
from spar_lightning.benchmark.measuring.memory import peak_memory
from spar_lightning.datasets import open_dataset
from spar_lightning.datasets.cache_folder import cache_folder
from spar_lightning.datasets.minari_folder import minari_root
from spar_lightning.documents import right_aligned
from spar_lightning.replay import PackedTransitions
from spar_lightning.types import UserError
from spar_lightning.whole_file import write_text

LEGEND = """\
open: until sizes and ends of episodes are known; read: from there until all transitions are in memory, both in seconds
of the processor's time, which others on the machine disturb little; peak MB: the most that both took, with the
transitions and, in brackets, without keeping them. Tables and LeRobot include the import of pyarrow, some 90 MB."""

_COLUMNS = ("source", "transitions", "file MB", "open s", "read s", "peak MB")


def bench_reading(transitions: int = 1_000_000, kinds: list[str] | None = None, json_file: str | None = None) -> None:
    """Measure how long each kind of file takes to read, and the memory of it.

    Each case runs in a process of its own, on one thread, over made-up transitions of Walker2d's shapes in episodes of
    1000 steps, without next observations. The files were just written: they come from the system's cache.

    Args:
        transitions: how many rows.
        kinds: of files; by default all.
        json_file: where to write everything measured, if anywhere.
    """
    chosen = [*WRITERS] if kinds is None else kinds
    unknown = [kind for kind in chosen if kind not in WRITERS]
    if unknown or transitions < 2 or not chosen:
        raise UserError(
            f"`kinds` is {chosen} and `transitions` {transitions}, expected some of {', '.join(WRITERS)} and 2 or more."
        )
    rows = []
    for kind in chosen:
        with tempfile.TemporaryDirectory(prefix=".bench-", dir=cache_folder()) as folder:
            name, settings = _in_child(_written, kind, Path(folder), transitions)
            kept, passed = (_in_child(measure, folder, name, settings, keep) for keep in (True, False))
        rows.append({"kind": kind, **kept, "passing_peak_bytes": passed["peak_bytes"]})
    print("\n".join([*_table(rows), "", LEGEND]))
    if json_file is not None:
        document = {"machine": describe_machine("cpu"), "results": rows}
        write_text(Path(json_file), json.dumps(document, indent=1))


def _in_child(function: Any, *arguments: Any) -> Any:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _written(kind: str, folder: Path, transitions: int) -> tuple[str, dict[str, Any]]:
    with contextlib.redirect_stdout(sys.stderr):
        return write_source(kind, folder, transitions)


def measure(folder: str, name: str, settings: dict[str, Any], keep: bool) -> dict[str, Any]:
    """What one file takes, in this process: seconds of the processor, and bytes.

    Args:
        folder: of Minari's data sets, if it is one.
        name: of the data set.
        settings: how it is read.
        keep: the transitions; else episodes are read and forgotten.
    """
    torch.set_num_threads(1)
    before = peak_memory()
    with minari_root(Path(folder)):
        began = time.process_time()
        dataset = open_dataset(name, **settings)
        opened = time.process_time()
        if keep:
            rows = len(PackedTransitions.from_episodes(dataset.episodes(), dataset.num_transitions))
        else:
            rows = sum(len(episode.next_observations) for episode in dataset.episodes())
        done = time.process_time()
        place = Path(name) if Path(name).exists() else Path(folder, name)
    return {
        "transitions": rows,
        "open_s": opened - began,
        "read_s": done - opened,
        "peak_bytes": peak_memory() - before,
        "file_bytes": sum(file.stat().st_size for file in (place, *place.rglob("*")) if file.is_file()),
    }


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = [
        (
            row["kind"],
            f"{row['transitions']:,}",
            f"{row['file_bytes'] / 1e6:,.0f}",
            f"{row['open_s']:.2f}",
            f"{row['read_s']:.2f}",
            f"{row['peak_bytes'] / 1e6:,.0f} ({row['passing_peak_bytes'] / 1e6:,.0f})",
        )
        for row in rows
    ]
    return right_aligned([_COLUMNS, *lines])
