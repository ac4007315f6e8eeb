"""The simulator's states at the starts of episodes, where a file of arrays has them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from spar_lightning.datasets.importing.buffers import StartStates
from spar_lightning.datasets.sources.arrays.array_file import SUFFIXES, open_columns
from spar_lightning.types import DataError

_PREFIX = "init_"
_LARGEST = 4096  # numbers a state; HDF5 keeps at most 64 kB in an attribute


def start_states(source: str, episodes: int) -> StartStates:
    """Find the arrays of a file that hold a vector for each episode: those named `init_...`, and others of that length.

    Args:
        source: path of an `.npz` or HDF5 file; anything else has no such arrays.
        episodes: E, how many the file has.

    Returns:
        Name without `init_` -> (E, K).

    Raises:
        DataError: the file is damaged, or an array named `init_...` is not of shape (E, K).
    """
    path = Path(source).expanduser()
    if not (source.endswith(SUFFIXES) and path.is_file()):
        return {}
    with open_columns(path) as columns:
        if "observations" not in columns:  # another layout
            return {}
        found = {}
        for name, column in columns.items():
            fits = len(column.shape) == 2 and column.shape[0] == episodes and column.dtype.kind in "fiub"
            if name.startswith(_PREFIX) and not (fits and math.prod(column.shape[1:]) <= _LARGEST):
                raise DataError(
                    f"`{name}` of {path} has shape {column.shape} and type {column.dtype}, expected a vector of at "
                    f"most {_LARGEST} numbers for each of {episodes} episodes: correct it, or rename it."
                )
            rows = columns["observations"].shape[0]
            if fits and (name.startswith(_PREFIX) or (column.shape[0] != rows and column.shape[1] <= _LARGEST)):
                found[name.removeprefix(_PREFIX)] = np.array(column[:episodes])
        return found
