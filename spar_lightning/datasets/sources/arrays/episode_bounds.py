"""Where the episodes of flat arrays begin and end."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spar_lightning.datasets.blocks import rows_at_once
from spar_lightning.datasets.sources.arrays.flat_columns import FlatColumns
from spar_lightning.datasets.sources.column import Column
from spar_lightning.types import DataError

BoolArray = npt.NDArray[np.bool_]


class EpisodeBounds(NamedTuple):
    """E episodes that fill N rows."""

    starts: npt.NDArray[np.int64]  # (E,)
    stops: npt.NDArray[np.int64]  # (E,), one after the last row
    terminations: BoolArray  # (E,), whether the last row ended the task
    flagged_twice: bool = False  # whether all flags of ends say both termination and truncation
    successes: BoolArray | None = None  # (E,), where they stand for rewards that are not recorded

    def part(self, episodes: slice) -> EpisodeBounds:
        """Some of the episodes."""
        return self._replace(
            starts=self.starts[episodes],
            stops=self.stops[episodes],
            terminations=self.terminations[episodes],
            successes=None if self.successes is None else self.successes[episodes],
        )


def episode_bounds(columns: FlatColumns, time_limit: int | None) -> EpisodeBounds:
    """Cut N rows into episodes; reads the flags only.

    An episode ends after a row with a termination or a truncation, before a row where `episode` changes, and with the
    file. A row with both flags is a termination. Old files of D4RL's have no time-outs: there, as in D4RL's own
    `qlearning_dataset`, an episode also ends after `time_limit` steps. Without rewards, success is a termination.

    Args:
        columns: the arrays.
        time_limit: of the environment that the data come from, in steps; None where it is not known.

    Raises:
        DataError: a flag is neither 0 nor 1, an episode's rows are not together, or nothing tells where episodes
            were cut off.
    """
    rows = columns.rows
    terminations = np.zeros(rows, dtype=np.bool_)
    if columns.terminations is not None:
        terminations = _flags(columns.terminations, "terminations")
    ends, twice = terminations.copy(), False
    if columns.truncations is not None:
        truncations = _flags(columns.truncations, "truncations")
        twice = bool((terminations == truncations).all())
        ends |= truncations
    if columns.episode is not None:
        numbers = _values(columns.episode)
        _check_together(numbers)
        ends[:-1] |= numbers[1:] != numbers[:-1]
    elif columns.truncations is None:
        ends = _cut(ends, _known(time_limit))
    elif not ends[:-1].any() and time_limit is not None and rows > time_limit:
        raise DataError(
            f"No row of {rows:,} ends an episode, though the environment's time limit is {time_limit} steps: were the "
            "ends lost? Set `terminals` and `timeouts`, or add an integer array `episode`, constant if it is one."
        )
    ends[-1] = True
    last = np.flatnonzero(ends)
    found = EpisodeBounds(np.concatenate([[0], last[:-1] + 1]), last + 1, terminations[last], twice)
    if columns.rewards is not None:
        return found
    successes = np.ones(len(last), dtype=np.bool_)
    if columns.success is not None:
        successes = _flags(columns.success, "success")[last]
    return found._replace(terminations=found.terminations | successes, successes=successes)


def _check_together(numbers: np.ndarray[Any, Any]) -> None:
    """See that no episode's number comes back after another's, as in steps of several environments in turn."""
    begins = np.flatnonzero(np.concatenate([[True], numbers[1:] != numbers[:-1]]))
    _, first = np.unique(numbers[begins], return_index=True)
    if len(first) == len(begins):
        return
    again = np.ones(len(begins), dtype=np.bool_)
    again[first] = False
    row = int(begins[again.argmax()])
    raise DataError(
        f"Rows of the episode {numbers[row]} are not together: it comes again in row {row:,}, after others. Sort the "
        "rows by episode and time, or give each episode a number of its own."
    )


def _known(time_limit: int | None) -> int:
    if time_limit is None:
        raise DataError(
            "There are no `timeouts` (or `truncations`), and no environment is known whose time limit could tell where"
            " episodes were cut off. Add them, or an integer array `episode`; all 0 only if every `terminals` says "
            "that the task ended, and not just the recording. A D4RL file is known by its name, such as "
            "`walker2d_medium-v0.hdf5`, an OGBench file by its `masks`."
        )
    return time_limit


def _cut(ends: BoolArray, time_limit: int) -> BoolArray:
    """Also end every episode that lasts `time_limit` rows."""
    rows = np.arange(len(ends))
    first = np.concatenate([[True], ends[:-1]])
    age = rows - np.maximum.accumulate(np.where(first, rows, 0))
    reached: BoolArray = age % time_limit == time_limit - 1
    return ends | reached


def _flags(column: Column, name: str) -> BoolArray:
    values = _values(column)
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(f"`{name}` is {values[row]} in row {row}, expected 0 or 1.")
    return values.astype(np.bool_)


def _values(column: Column) -> np.ndarray[Any, Any]:
    """All values (N,), in blocks: some files cannot give many rows in little memory."""
    step = rows_at_once(column.shape, column.dtype)
    blocks = [column[start : start + step] for start in range(0, column.shape[0], step)]
    return np.concatenate(blocks).reshape(-1)
