"""Small sound files of every kind that is read, for `fuzz.py` to damage."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import minari
import numpy as np
import pyarrow
import pyarrow.parquet
from minari.data_collector import EpisodeBuffer

from spar_lightning.cli import main
from spar_lightning.datasets.minari_folder import minari_root

ROWS, EPISODE = 60, 10
SETTINGS = Path(__file__).with_name("fuzz_settings.yaml")


def arrays() -> dict[str, Any]:
    """Episodes of noise, in D4RL's layout."""
    random, time = np.random.default_rng(0), np.arange(ROWS)
    return {
        "observations": random.normal(size=(ROWS, 11)).astype(np.float32),
        "actions": random.uniform(-1, 1, size=(ROWS, 3)).astype(np.float32),
        "rewards": random.normal(size=ROWS),
        "terminals": time % (2 * EPISODE) == EPISODE - 1,
        "timeouts": time % (2 * EPISODE) == 2 * EPISODE - 1,
    }


def npz(folder: Path) -> Path:
    """A NumPy archive."""
    np.savez_compressed(folder / "logs.npz", **arrays())
    return folder / "logs.npz"


def plain_npz(folder: Path) -> Path:
    """One that is not compressed: what is damaged is not all found by the decompression."""
    np.savez(folder / "plain.npz", **arrays())
    return folder / "plain.npz"


def ogbench(folder: Path) -> Path:
    """OGBench's layout."""
    found = arrays()
    found["masks"], found["qpos"] = 1.0 - found.pop("timeouts"), found["observations"]
    np.savez(folder / "antmaze-medium-navigate-v0.npz", **found)
    return folder / "antmaze-medium-navigate-v0.npz"


def hdf5(folder: Path) -> Path:
    """D4RL's layout."""
    with h5py.File(folder / "logs.hdf5", "w") as file:
        for name, values in arrays().items():
            file.create_dataset(name, data=values, compression="gzip" if values.ndim == 2 else None)
    return folder / "logs.hdf5"


def robomimic(folder: Path) -> Path:
    """Robomimic's layout."""
    with h5py.File(folder / "low_dim.hdf5", "w") as file:
        data = file.create_group("data")
        data.attrs["total"], data.attrs["env_args"] = ROWS, json.dumps({"env_name": "Lift", "env_type": 1})
        for start in range(0, ROWS, EPISODE):
            rows, demo = slice(start, start + EPISODE), data.create_group(f"demo_{start // EPISODE}")
            demo["actions"], demo["rewards"] = arrays()["actions"][rows], np.arange(EPISODE) == EPISODE - 1
            demo["dones"] = (np.arange(EPISODE) == EPISODE - 1).astype(np.int64)
            demo["obs/state"] = demo["next_obs/state"] = arrays()["observations"][rows]
    return folder / "low_dim.hdf5"


def _table() -> pyarrow.Table:
    found = arrays()
    columns = {f"{name[:-1]}_{k}": found[name][:, k] for name in ("observations", "actions") for k in (0, 1)}
    return pyarrow.table(columns | {"reward": found["rewards"], "episode": np.arange(ROWS) // EPISODE})


def csv(folder: Path) -> Path:
    """A table as text."""
    import pyarrow.csv

    pyarrow.csv.write_csv(_table(), folder / "logs.csv")
    return folder / "logs.csv"


def parquet(folder: Path) -> Path:
    """A table in columns."""
    pyarrow.parquet.write_table(_table(), folder / "logs.parquet")
    return folder / "logs.parquet"


def lerobot(folder: Path) -> Path:
    """LeRobot's folder."""
    found, names = arrays(), {"observations": "observation.state", "actions": "action"}
    columns = {new: pyarrow.array(found[old].tolist()) for old, new in names.items()}
    rows = np.arange(ROWS)
    columns |= {"next.reward": pyarrow.array(found["rewards"]), "episode_index": pyarrow.array(rows // EPISODE)}
    columns |= {"frame_index": pyarrow.array(rows % EPISODE), "index": pyarrow.array(rows)}
    place = folder / "robot"
    (place / "meta").mkdir(parents=True)
    (place / "data" / "chunk-000").mkdir(parents=True)
    features = {name: {"dtype": "float32", "shape": [1], "names": None} for name in columns}
    info = {"codebase_version": "v3.0", "total_episodes": 6, "total_frames": ROWS, "features": features, "fps": 10}
    (place / "meta" / "info.json").write_text(json.dumps(info))
    pyarrow.parquet.write_table(pyarrow.table(columns), place / "data" / "chunk-000" / "file-000.parquet")
    return place


def minari_folder(folder: Path) -> Path:
    """Minari's folder of data sets, with one of them."""
    root, random = folder / "minari", np.random.default_rng(0)
    ends = np.arange(EPISODE) == EPISODE - 1
    buffers = [
        EpisodeBuffer(
            observations=random.normal(size=(EPISODE + 1, 3)),
            actions=random.uniform(-1, 1, size=(EPISODE, 2)),
            rewards=random.normal(size=EPISODE),
            terminations=ends,
            truncations=np.zeros(EPISODE, dtype=bool),
        )
        for _ in range(3)
    ]
    with minari_root(root), warnings.catch_warnings(action="ignore", category=UserWarning):
        minari.create_dataset_from_buffers(
            "fuzz/logs-v0",
            buffers,
            observation_space=gym.spaces.Box(-np.inf, np.inf, (3,), np.float64),
            action_space=gym.spaces.Box(-1, 1, (2,), np.float32),
        )
    return root


def configuration(folder: Path) -> Path:
    """A YAML with most settings of a training."""
    return Path(shutil.copy(SETTINGS, folder / "run.yaml"))


def checkpoint(folder: Path) -> Path:
    """Of a base, trained for some updates by the version before this one."""
    stored = Path(__file__).parent / "training" / "checkpoints" / "format_1.ckpt"
    (folder / "last.ckpt").write_bytes(stored.read_bytes())
    return folder / "last.ckpt"


@cache
def _trained() -> tempfile.TemporaryDirectory[str]:
    """A folder, for the process, with a run of some updates and a report of it."""
    place = tempfile.TemporaryDirectory()
    run, settings = Path(place.name) / "run", configuration(Path(place.name))
    own = [f"--{stage}trainer.{name}=null" for stage in ("", "bc.") for name in ("logger", "callbacks", "profiler")]
    for line in (
        ["fit", "--run_dir", str(run), "--config", str(settings), "--data.dataset", str(npz(settings.parent)), *own],
        ["report", str(run), "--out", f"{place.name}/report", "--figures", "false"],
    ):
        process = multiprocessing.get_context("fork").Process(target=main, args=[line])
        process.start()
        process.join()
        assert process.exitcode == 0, line
    return place


def run(folder: Path) -> Path:
    """Folder of a run that is finished."""
    unread = shutil.ignore_patterns("hparams.yaml", "events.*", ".lock", "logs")
    return Path(shutil.copytree(Path(_trained().name) / "run", folder / "run", ignore=unread))


def begun_run(folder: Path) -> Path:
    """One with a base, and nothing of the main stage."""
    found = run(folder)
    shutil.rmtree(found / "checkpoints")
    (found / "results.json").unlink()
    return found


def last_checkpoint(folder: Path) -> Path:
    """Of the main stage, in the folder of its run."""
    return run(folder) / "checkpoints" / "last.ckpt"


def results(folder: Path) -> Path:
    """Of a run, in its folder."""
    return run(folder) / "results.json"


def raw_report(folder: Path) -> Path:
    """What a report keeps of runs."""
    return Path(shutil.copy(Path(_trained().name) / "report" / "runs.json", folder))


SAMPLES: dict[str, Callable[[Path], Path]] = {
    "npz": npz,
    "plain_npz": plain_npz,
    "ogbench": ogbench,
    "hdf5": hdf5,
    "robomimic": robomimic,
    "csv": csv,
    "parquet": parquet,
    "lerobot": lerobot,
    "minari": minari_folder,
    "yaml": configuration,
    "trained": configuration,
    "checkpoint": checkpoint,
    "resume": run,
    "begun": begun_run,
    "improvement": last_checkpoint,
    "test": last_checkpoint,
    "evaluate": last_checkpoint,
    "export": last_checkpoint,
    "ope": last_checkpoint,
    "summarize": results,
    "report": results,
    "raw": raw_report,
    "analyze": run,
}
