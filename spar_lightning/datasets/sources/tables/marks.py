"""What tells the episodes of a table apart: small columns that are read once, whole, when it is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from spar_lightning.datasets.memory import available_memory
from spar_lightning.datasets.sources.tables.arrow import arrow
from spar_lightning.datasets.sources.tables.readers import TableReader
from spar_lightning.types import DataError

MARKS = ("terminations", "truncations", "success", "episode")
"""The arrays of `flat_columns` that do."""

_BYTES = 16  # a row, with what is made of it

Array = npt.NDArray[Any]


def read_marks(
    reader: TableReader, names: Mapping[str, Sequence[str]], known: Sequence[str] = MARKS
) -> tuple[int, dict[str, Array]]:
    """The number of rows, N, and the marks that the table has: numbers (N,), and `episode` (N,) int64.

    Episodes are numbered anew, in their order; their column may hold numbers or text.

    Args:
        reader: of the table.
        names: array -> its columns.
        known: which arrays are marks.

    Raises:
        DataError: a value is missing, a mark has several columns, or an episode's rows are not together.
    """
    marks = {mark: names[mark][0] for mark in known if mark in names}
    for mark in marks:
        if len(names[mark]) > 1:
            raise DataError(f"`columns.{mark}` names {len(names[mark])} columns, expected one.")
    read = [*marks.values()] or [names["observations"][0]]
    parts: dict[str, list[Array]] = {mark: [] for mark in marks}
    episodes = _Episodes(marks.get("episode", ""))
    rows = 0
    for batch in reader.batches(_types(reader, marks, read)):
        for mark, column in marks.items():
            values = batch.column(column)
            if values.null_count:
                row = rows + int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0])
                raise DataError(f"The column `{column}` has no value in row {row}, expected one in every row.")
            parts[mark].append(episodes.numbers(values) if mark == "episode" else _flags(values, column))
        rows += len(batch)
        if _BYTES * rows > available_memory():
            raise DataError(f"It has more than {rows:,} rows, for which {_BYTES} bytes each are not free: split it.")
    return rows, {mark: np.concatenate(arrays) for mark, arrays in parts.items() if arrays}


def _types(reader: TableReader, marks: Mapping[str, str], read: Sequence[str]) -> dict[str, Any]:
    """Text stays text where it names episodes: 7 and 007 may be two."""
    kinds = {column: reader.types[column] for column in read}
    return kinds | ({marks["episode"]: arrow().string()} if "episode" in marks else {})


def _flags(values: Any, column: str) -> Array:
    types = arrow().types
    if not (types.is_boolean(values.type) or types.is_integer(values.type) or types.is_floating(values.type)):
        raise DataError(
            f"The column `{column}` holds values of type {values.type}, expected 0 and 1, or true and false."
        )
    return np.asarray(values.to_numpy(zero_copy_only=False))


class _Episodes:
    """Numbers the runs of equal values.

    Args:
        column: name, for messages.
    """

    def __init__(self, column: str) -> None:
        self._column = column
        self._seen: set[Any] = set()
        self._last: Any = None
        self._rows = 0

    def numbers(self, values: Any) -> npt.NDArray[np.int64]:
        """The numbers (n,) of the episodes of the next rows."""
        if arrow().types.is_dictionary(values.type):  # such as pandas' categories
            values = values.dictionary_decode()
        first = np.array([self._last is None or values[0].as_py() != self._last])
        compute = arrow("compute")
        if arrow().types.is_string(values.type):
            empty = np.flatnonzero(compute.equal(values, "").to_numpy(zero_copy_only=False))
            if len(empty):
                raise DataError(
                    f"The column `{self._column}` has no value in row {self._rows + int(empty[0])}, expected one in "
                    "every row."
                )
        changes = np.concatenate([first, compute.not_equal(values[1:], values[:-1]).to_numpy(zero_copy_only=False)])
        before = len(self._seen) - 1
        for row in np.flatnonzero(changes):
            value = values[int(row)].as_py()
            if value in self._seen:
                raise DataError(
                    f"The episode {value!r} of the column `{self._column}` goes on in row {self._rows + int(row)}, "
                    "after others: sort the rows by episode and time, or give each episode a name of its own."
                )
            self._seen.add(value)
        self._last = values[-1].as_py()
        self._rows += len(values)
        return before + np.cumsum(changes, dtype=np.int64)
