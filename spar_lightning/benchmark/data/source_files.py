"""The same made-up transitions in a file of each kind that can be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from spar_lightning.benchmark.synthetic import EPISODE_STEPS, episodes
from spar_lightning.datasets import import_dataset
from spar_lightning.datasets.minari_folder import minari_root
from spar_lightning.datasets.sources.tables.arrow import arrow

Arrays = dict[str, Any]
_FILES = 10  # of a LeRobot folder


def write_source(kind: str, folder: Path, transitions: int) -> tuple[str, dict[str, Any]]:
    """Write a file of a kind of `WRITERS`; gives its name, and how to read it."""
    return WRITERS[kind](folder, _arrays(transitions))


def _arrays(transitions: int) -> Arrays:
    """All rows, (N, ...), of which only the rows themselves tell what comes next."""
    every = [*episodes(transitions)]
    steps = np.arange(transitions)
    last = steps % EPISODE_STEPS == EPISODE_STEPS - 1
    last[-1] = True
    return {
        "observations": np.concatenate([episode.observations for episode in every]),
        "actions": np.concatenate([episode.actions for episode in every]),
        "rewards": np.concatenate([episode.rewards for episode in every]),
        "timeouts": last,
        "episode": steps // EPISODE_STEPS,
    }


def _npz(folder: Path, arrays: Arrays) -> tuple[str, dict[str, Any]]:
    np.savez(folder / "logs.npz", **arrays)
    return str(folder / "logs.npz"), {}


def _compressed_npz(folder: Path, arrays: Arrays) -> tuple[str, dict[str, Any]]:
    np.savez_compressed(folder / "logs.npz", **arrays)
    return str(folder / "logs.npz"), {}


def _hdf5(folder: Path, arrays: Arrays) -> tuple[str, dict[str, Any]]:
    with h5py.File(folder / "logs.hdf5", "w") as file:
        for name, values in arrays.items():
            file[name] = values
    return str(folder / "logs.hdf5"), {}


def _minari(folder: Path, arrays: Arrays) -> tuple[str, dict[str, Any]]:
    source, _ = _npz(folder, arrays)
    with minari_root(folder):
        return import_dataset(source, id="made/up-v0", progress=False), {}


def _table(arrays: Arrays) -> Any:
    """One column a number, as loggers write them."""
    columns = {f"obs_{k}": values for k, values in enumerate(arrays["observations"].T)}
    columns |= {f"action_{k}": values for k, values in enumerate(arrays["actions"].T)}
    return arrow().table(columns | {"reward": arrays["rewards"], "episode": arrays["episode"]})


def _csv(folder: Path, arrays: Arrays) -> tuple[str, dict[str, Any]]:
    arrow("csv").write_csv(_table(arrays), folder / "logs.csv")
    return str(folder / "logs.csv"), {}


def _parquet(folder: Path, arrays: Arrays) -> tuple[str, dict[str, Any]]:
    arrow("parquet").write_table(_table(arrays), folder / "logs.parquet")
    return str(folder / "logs.parquet"), {}


def _lerobot(folder: Path, arrays: Arrays) -> tuple[str, dict[str, Any]]:
    def lists(values: Any) -> Any:
        return arrow().FixedSizeListArray.from_arrays(arrow().array(values.ravel()), values.shape[1])

    steps = np.arange(len(arrays["rewards"]))
    columns = {
        "observation.state": lists(arrays["observations"]),
        "action": lists(arrays["actions"]),
        "next.reward": arrays["rewards"],
        "next.success": np.zeros(len(steps), dtype=np.bool_),
        "episode_index": arrays["episode"],
        "frame_index": steps % EPISODE_STEPS,
    }
    table = arrow().table(columns)
    (folder / "meta").mkdir()
    (folder / "data" / "chunk-000").mkdir(parents=True)
    (folder / "meta" / "info.json").write_text(json.dumps({"codebase_version": "v3.0", "features": {}}))
    rows = -(-len(steps) // _FILES)
    for number in range(_FILES):
        path = folder / "data" / "chunk-000" / f"file-{number:03d}.parquet"
        arrow("parquet").write_table(table.slice(number * rows, rows), path)
    return str(folder), {}


def _robomimic(folder: Path, arrays: Arrays) -> tuple[str, dict[str, Any]]:
    stops = np.flatnonzero(arrays["timeouts"]) + 1
    with h5py.File(folder / "demos.hdf5", "w") as file:
        start = 0
        for number, stop in enumerate(stops.tolist()):
            demo = file.create_group(f"data/demo_{number}")
            demo["obs/state"] = arrays["observations"][start:stop]
            for name in ("actions", "rewards"):
                demo[name] = arrays[name][start:stop]
            demo["dones"] = arrays["timeouts"][start:stop]
            start = stop
    return str(folder / "demos.hdf5"), {"dones": "end"}


def _ogbench(folder: Path, arrays: Arrays) -> tuple[str, dict[str, Any]]:
    masks = np.ones(len(arrays["rewards"]), dtype=np.float32)
    kept = {name: arrays[name] for name in ("observations", "actions", "rewards")}
    np.savez_compressed(folder / "maze.npz", terminals=arrays["timeouts"], masks=masks, **kept)
    return str(folder / "maze.npz"), {}


Writer = Callable[[Path, Arrays], tuple[str, dict[str, Any]]]

WRITERS: Mapping[str, Writer] = {
    "npz": _npz,
    "compressed npz": _compressed_npz,
    "hdf5": _hdf5,
    "minari": _minari,
    "csv": _csv,
    "parquet": _parquet,
    "lerobot": _lerobot,
    "robomimic": _robomimic,
    "ogbench": _ogbench,
}
"""Kind of file -> what writes one."""
