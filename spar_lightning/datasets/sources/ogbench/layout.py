"""Where trajectories are in a file in OGBench's layout.

| array | shape | |
|---|---|---|
| observations | (N, O) | T+1 of a trajectory of T steps: the last row of each is an observation alone |
| actions | (N, A) | in such a row, without a meaning |
| terminals | (N,) | 1 in the last row: a trajectory ends there, and not its task |
| rewards | (N,) | of files for one task |
| masks | (N,) | likewise: 0 where the task is done; the trajectory goes on |
| valids | (N,) | of compact files: 0 in the last row; terminals are then 1 in the last two |
| next_observations | (N, O) | of regular files, which leave out that row |
| qpos, qvel, button_states | (N, ...) | the state of the simulator |

Source: `ogbench/utils.py` and `ogbench/relabel_utils.py` of seohongpark/ogbench.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spar_lightning.datasets.blocks import rows_at_once
from spar_lightning.datasets.memory import available_memory
from spar_lightning.datasets.sources.arrays.array_file import DAMAGE
from spar_lightning.datasets.sources.arrays.flat_columns import FLOATS, NUMBERS, REALS, check_column
from spar_lightning.datasets.sources.arrays.npz_file import open_npz
from spar_lightning.datasets.sources.column import Column
from spar_lightning.given_path import given_path
from spar_lightning.types import DataError

_BYTES = 16  # a row, of flags and what is made of them
_OWN = {"masks", "valids"}  # no other layout has them
_OTHERS = {"timeouts", "truncations", "episode"}

BoolArray = npt.NDArray[np.bool_]


def is_ogbench(name: str) -> bool:
    """Whether a name is the path of an `.npz` file in this layout: by its arrays, or for want of all others."""
    if not name.lower().endswith(".npz") or given_path(name).is_fifo():  # a pipe would be waited for
        return False
    with contextlib.suppress(*DAMAGE), open_npz(Path(name).expanduser()) as arrays:  # what is damaged is told later
        return (
            "terminals" in arrays
            and not arrays.keys() & _OTHERS
            and (bool(arrays.keys() & _OWN) or "rewards" not in arrays)
        )
    return False


class Trajectories(NamedTuple):
    """E trajectories in N rows."""

    starts: npt.NDArray[np.int64]  # (E,)
    stops: npt.NDArray[np.int64]  # (E,), one after the last row
    final: bool  # whether the last row of each is an observation alone


def check_arrays(arrays: Mapping[str, Column]) -> int:
    """See that the arrays have the shapes above; gives N.

    Raises:
        DataError: one is missing, or has another shape, length or type.
    """
    needed = {"observations": (2, NUMBERS), "actions": (2, FLOATS), "terminals": (1, REALS)}
    optional = {"rewards": (1, REALS), "masks": (1, REALS), "valids": (1, REALS), "next_observations": (2, NUMBERS)}
    rows = 0
    for name, (dimensions, kinds) in (needed | optional).items():
        if name not in arrays:
            if name in needed:
                raise DataError(f"There is no `{name}`, only {', '.join(sorted(arrays))}.")
            continue
        column = check_column(name, arrays[name], dimensions, kinds)
        rows = rows or column.shape[0]
        if column.shape[0] != rows:
            raise DataError(
                f"`{name}` has {column.shape[0]} rows, `observations` has {rows}; expected as many of each."
            )
    if rows == 0:
        raise DataError("There are arrays, but no row in them; expected at least one.")
    if _BYTES * rows > available_memory():
        raise DataError(f"It states {rows:,} rows, for which {_BYTES} bytes each are not free: is it damaged?")
    return rows


def trajectories(arrays: Mapping[str, Column]) -> Trajectories:
    """Find the trajectories; reads flags only.

    Raises:
        DataError: a flag is neither 0 nor 1, or the ends make no sense.
    """
    ends = flags(arrays, "terminals")
    final = "next_observations" not in arrays
    if "valids" in arrays and final:
        ends = ~flags(arrays, "valids")
    elif final and (ends[1:] & ends[:-1]).any():
        raise DataError(
            "`terminals` is set in two rows that follow one another, as in OGBench's compact files, but there are no "
            "`valids`: add them, 0 in the last row of each trajectory and else 1."
        )
    ends[-1] = True
    last = np.flatnonzero(ends)
    return Trajectories(np.concatenate([[0], last[:-1] + 1]), last + 1, final)


def flags(arrays: Mapping[str, Column], name: str) -> BoolArray:
    """All flags (N,) of an array.

    Raises:
        DataError: one is neither 0 nor 1.
    """
    column = arrays[name]
    step = rows_at_once(column.shape, column.dtype)
    parts = [np.asarray(column[row : row + step]).reshape(-1) for row in range(0, column.shape[0], step)]
    values = np.concatenate(parts)
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(f"`{name}` is {values[row]} in row {row}, expected 0 or 1.")
    return values.astype(np.bool_)
