"""How fast batches come from memory and from a mapped store, and what each takes."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from spar_lightning.benchmark.measuring.machine import describe_machine
from spar_lightning.benchmark.measuring.memory import process_memory
from spar_lightning.datasets.cache_folder import VARIABLE, cache_folder
from spar_lightning.documents import right_aligned
from spar_lightning.replay import MappedTransitions
from spar_lightning.types import UserError
from spar_lightning.whole_file import write_text

Kind = Literal["memory", "map"]

LEGEND = """\
ready: until the first batch; again: at a second start, which finds the store made; from a cold disk: right after the
rows were dropped from memory and from the system's cache, while nothing else is done meanwhile; own MB: memory that
cannot be given back; of files MB: what the system may drop at any time."""

_STEPS = 300  # training steps a measurement
_COLD_WINDOWS, _COLD_STEPS = 10, 4  # few, since what is read stays in memory
_WARM_UP = 20
_COLUMNS = ("transitions", "storage", "ready s", "again s", "batches/s", "from a cold disk", "own MB", "of files MB")


def bench_storage(
    transitions: list[int] | None = None,
    batch_size: int = 256,
    updates_per_batch: int = 10,
    json_file: str | None = None,
) -> None:
    """Measure batches a second from memory and from a mapped store, and the memory of both.

    Each case runs in a process of its own, on one thread, over made-up transitions of Walker2d's shapes. The store is
    made in a folder inside of the cache, which goes away. In a training the rows of the next step are fetched from the
    disk during the updates of the one before.

    Args:
        transitions: how many, one case each; by default 1,000,000.
        batch_size: transitions a batch.
        updates_per_batch: batches of one gather.
        json_file: where to write everything measured, if anywhere.
    """
    counts = [1_000_000] if transitions is None else transitions
    if not counts or min(counts) < batch_size:
        raise UserError(f"`transitions` is {counts}, expected numbers of at least `batch_size`, {batch_size}.")
    rows = []
    cases: list[tuple[int, Kind]] = [(count, storage) for count in counts for storage in get_args(Kind)]
    for count, storage in cases:
        with tempfile.TemporaryDirectory(prefix=".bench-", dir=cache_folder()) as cache:
            first, again = (_in_child(cache, count, storage, batch_size, updates_per_batch) for _ in range(2))
        rows.append({**again, "first_ready_s": first["ready_s"]})
    print("\n".join([*_table(rows), "", LEGEND]))
    if json_file is not None:
        document = {"machine": describe_machine("cpu"), "results": rows}
        write_text(Path(json_file), json.dumps(document, indent=1))


def _in_child(cache: str, *case: Any) -> dict[str, Any]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, cache, *case).result()


def measure(cache: str, count: int, storage: Kind, batch_size: int, updates_per_batch: int) -> dict[str, Any]:
    """What one case takes, in this process: seconds, batches a second, bytes. The store is made in `cache`."""
    from spar_lightning.benchmark.synthetic_module import SyntheticData  # with Lightning, which `data` starts without

    os.environ[VARIABLE] = cache
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    torch.set_num_threads(1)
    before = process_memory("RssAnon")
    began = time.perf_counter()
    data = SyntheticData(count, batch_size, updates_per_batch=updates_per_batch, storage=storage)
    data.setup("fit")
    batches = iter(data.train_dataloader())
    next(batches)
    ready = time.perf_counter() - began
    list(map(_consume, islice(batches, _WARM_UP)))
    warm = _STEPS * updates_per_batch / _seconds(batches, _STEPS)
    own, of_files = process_memory("RssAnon") - before, process_memory("RssFile")
    cold = None
    if isinstance(data.transitions, MappedTransitions) and data.transitions.evict():
        seconds = 0.0
        for _ in range(_COLD_WINDOWS):
            data.transitions.evict()
            seconds += _seconds(batches, _COLD_STEPS)
        cold = _COLD_WINDOWS * _COLD_STEPS * updates_per_batch / seconds
    return {
        "transitions": count,
        "storage": storage,
        "ready_s": ready,
        "batches_per_second": warm,
        "cold_batches_per_second": cold,
        "own_bytes": own,
        "file_bytes": of_files,
    }


def _seconds(batches: Any, steps: int) -> float:
    began = time.perf_counter()
    list(map(_consume, islice(batches, steps)))
    return time.perf_counter() - began


def _consume(item: Any) -> None:
    """Gather the rows of a training step, which minibatches do when they are iterated over."""
    for _ in item:
        pass


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = [
        (
            f"{row['transitions']:,}",
            row["storage"],
            f"{row['first_ready_s']:.1f}",
            f"{row['ready_s']:.1f}",
            f"{row['batches_per_second']:,.0f}",
            "-" if row["cold_batches_per_second"] is None else f"{row['cold_batches_per_second']:,.0f}",
            f"{row['own_bytes'] / 1e6:,.0f}",
            f"{row['file_bytes'] / 1e6:,.0f}",
        )
        for row in rows
    ]
    return right_aligned([_COLUMNS, *lines])
