"""Files of flat arrays, as D4RL's documentation describes them: see the README of Farama-Foundation/D4RL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np


def write_arrays(path: Path, **arrays: Any) -> str:
    """Write arrays as HDF5 or `.npz`, as the suffix says; gives the path as a name of a data set."""
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, values in arrays.items():
                file.create_dataset(name, data=values)
    return str(path)


def flat_arrays(rows: int = 8, terminals: tuple[int, ...] = (2,), timeouts: tuple[int, ...] = (5,)) -> dict[str, Any]:
    """N rows that tell which they are: observations (t, t + 0.5, -t), actions (t, -t) / 100, rewards 10 t."""
    time = np.arange(rows, dtype=np.float32)
    return {
        "observations": np.stack([time, time + 0.5, -time], axis=1),
        "actions": np.stack([time, -time], axis=1) / 100,
        "rewards": time * 10,
        "terminals": np.isin(np.arange(rows), terminals),
        "timeouts": np.isin(np.arange(rows), timeouts),
    }
