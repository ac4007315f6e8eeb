"""Arrays made of columns of a table, a slice of rows at a time, in memory no longer than needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from spar_lightning.datasets.sources.tables.arrow import arrow
from spar_lightning.datasets.sources.tables.readers import TableReader
from spar_lightning.types import DataError

Array = npt.NDArray[Any]


class TableStream:
    """The rows of some columns, which are asked for in ascending order, by several arrays in turn.

    Args:
        reader: of the table.
        columns: to read, with the types that text is turned into.
    """

    def __init__(self, reader: TableReader, columns: Mapping[str, Any]) -> None:
        self._reader, self._columns = reader, columns
        self._restart()

    def _restart(self) -> None:
        self._rest: Iterator[Any] = iter(self._reader.batches(self._columns))
        self._held: deque[Any] = deque()
        self._first = self._end = 0  # rows that are held

    def values(self, names: Sequence[str], rows: slice) -> Array:
        """The values (n, K) of some columns side by side.

        Raises:
            ValueError: the table ends earlier.
        """
        if rows.start < self._first:
            self._restart()
        while self._held and self._first + len(self._held[0]) <= rows.start:
            self._first += len(self._held.popleft())
        while self._end < rows.stop:
            batch = next(self._rest, None)
            if batch is None:
                raise ValueError(f"it ends in row {self._end}, expected at least {rows.stop} rows")
            if self._end + len(batch) <= rows.start:
                self._first = self._end = self._end + len(batch)
                continue
            self._held.append(batch)
            self._end += len(batch)
        parts, begin = [], self._first
        for batch in self._held:
            low, high = max(rows.start - begin, 0), min(rows.stop - begin, len(batch))
            if low < high:
                parts.append(_side_by_side(batch.slice(low, high - low), names, begin + low))
            begin += len(batch)
        return np.concatenate(parts)


class TableColumn:
    """An array of a table, as `array_file.Column`.

    Args:
        stream: where its rows come from.
        names: of the columns that make it up.
        shape: (N,) or (N, K).
        dtype: of its values.
    """

    def __init__(self, stream: TableStream, names: Sequence[str], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape, self.dtype = shape, dtype
        self._stream, self._names = stream, names

    def __getitem__(self, rows: slice) -> Array:
        """The rows of a slice without a step."""
        start, stop, _ = rows.indices(self.shape[0])
        if start >= stop:
            return np.empty((0, *self.shape[1:]), self.dtype)
        return self._stream.values(self._names, slice(start, stop)).reshape(-1, *self.shape[1:])


def number_type(name: str, kind: Any) -> np.dtype[Any]:
    """The type of the numbers in a column of numbers, or of lists of them.

    Raises:
        DataError: there are none in it.
    """
    types = arrow().types
    inner = kind.value_type if _holds_lists(kind) else kind
    if not (types.is_floating(inner) or types.is_integer(inner) or types.is_boolean(inner)):
        raise DataError(
            f"The column `{name}` holds {'no values' if types.is_null(inner) else f'values of type {kind}'}, expected"
            " numbers: name others in `columns`, or mend its rows; a decimal comma or `n/a` makes text of all of them."
        )
    found: np.dtype[Any] = np.dtype(inner.to_pandas_dtype())
    return found


def width_of(batch: Any, names: Sequence[str]) -> int:
    """How many numbers some columns have side by side, in the first row of a batch."""
    return sum(
        len(batch.column(name)[0].as_py() or ()) if _holds_lists(batch.column(name).type) else 1 for name in names
    )


def _holds_lists(kind: Any) -> bool:
    types = arrow().types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _side_by_side(batch: Any, names: Sequence[str], first_row: int) -> Array:
    """The columns of a batch as one array (n, K)."""
    return np.concatenate([_as_rows(batch.column(name), name, first_row) for name in names], axis=1)


def _as_rows(column: Any, name: str, first_row: int) -> Array:
    if not _holds_lists(column.type):
        return np.asarray(column.to_numpy(zero_copy_only=False)).reshape(-1, 1)
    lengths = arrow("compute").list_value_length(column).to_numpy(zero_copy_only=False)
    different = np.flatnonzero(~(lengths == lengths[0]))  # also of none at all, which is NaN
    if len(different):
        row = int(different[0])
        raise DataError(f"The column `{name}` has {lengths[row]} values in row {first_row + row}, not {lengths[0]}.")
    return np.asarray(column.flatten().to_numpy(zero_copy_only=False)).reshape(len(column), -1)
