"""Data sets in tables with one row a step, whose columns are named by the user, or by custom."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from spar_lightning.datasets.dataset import OfflineDataset, fingerprint_of
from spar_lightning.datasets.sources.arrays.array_file import TABLE_SUFFIXES, check_file
from spar_lightning.datasets.sources.arrays.flat_columns import SuccessReward
from spar_lightning.datasets.sources.arrays.flat_source import FlatSource, open_flat
from spar_lightning.datasets.sources.column import Column
from spar_lightning.datasets.sources.paths import path_of
from spar_lightning.datasets.sources.tables.arrow import arrow, readable
from spar_lightning.datasets.sources.tables.marks import MARKS, read_marks
from spar_lightning.datasets.sources.tables.naming import ColumnNames, named_columns, unused_ends
from spar_lightning.datasets.sources.tables.readers import CsvReader, FrameReader, TableReader, open_reader
from spar_lightning.datasets.sources.tables.stream import TableColumn, TableStream, number_type, width_of
from spar_lightning.types import DataError

FRAME_PREFIX = "frame:"


def open_table(
    name: str, columns: ColumnNames | None = None, success_reward: SuccessReward | None = None
) -> OfflineDataset:
    """Open a CSV or parquet file by its path; reads once what tells its episodes apart.

    Args:
        name: the path.
        columns: which columns make up which array; by default those that are called like it.
        success_reward: as in `flat_columns`.

    Raises:
        DataError: there is no such file, it cannot be read, or its columns do not make up the arrays of `flat_columns`.
    """
    path = path_of(name)
    check_file(path, TABLE_SUFFIXES)
    with readable(str(path)):
        reader = open_reader(path)
        found = fingerprint_of([path], columns, success_reward)
        names = named_columns(columns, reader.types)
        arrays = table_arrays(reader, _used(names, success_reward))

    @contextlib.contextmanager
    def opened() -> Iterator[Mapping[str, Column]]:
        with readable(str(path)):
            if fingerprint_of([path], columns, success_reward) != found:
                raise DataError(f"{path} was changed since it was opened: open it again.")
            yield arrays

    dataset = open_flat(FlatSource(str(path), opened, found, success_reward), str(path))
    notes = (*dataset.notes, *unused_ends(names, reader.types))
    return replace(dataset, observation_names=tuple(names["observations"]), notes=notes)


def open_frame(
    frame: Any,
    name: str = "frame",
    columns: ColumnNames | None = None,
    success_reward: SuccessReward | None = None,
) -> OfflineDataset:
    """A data frame of pandas, or of any library that knows Arrow, as a data set.

    Args:
        frame: one row a step; not to be changed any more.
        name: of the data set.
        columns: as in `open_table`.
        success_reward: as in `flat_columns`.

    Raises:
        DataError: its columns do not make up the arrays of `flat_columns`.
    """
    place = f"the data frame `{name}`"
    with readable(place):
        reader = FrameReader(frame)
        names = named_columns(columns, reader.types)
        arrays = table_arrays(reader, _used(names, success_reward))

    @contextlib.contextmanager
    def opened() -> Iterator[Mapping[str, Column]]:
        with readable(place):
            yield arrays

    dataset = open_flat(FlatSource(place, opened, "", success_reward), FRAME_PREFIX + name)
    notes = (*dataset.notes, *unused_ends(names, reader.types))
    return replace(dataset, observation_names=tuple(names["observations"]), notes=notes)


def open_frame_by_name(name: str, **_: Any) -> OfflineDataset:
    """Say where a data frame is.

    Raises:
        DataError: always.
    """
    raise DataError(
        f"`{name}` was a data frame of the program that made it: open it with `OfflineDataModule.from_frame`, or store "
        "it as a parquet file and name that."
    )


def _used(names: Mapping[str, Sequence[str]], success_reward: SuccessReward | None) -> dict[str, Sequence[str]]:
    """The columns of the arrays that are read: those of `success` only where it is asked for."""
    return {array: columns for array, columns in names.items() if array != "success" or success_reward == "success"}


def table_arrays(
    reader: TableReader, names: Mapping[str, Sequence[str]], marks: Sequence[str] = MARKS
) -> dict[str, Column]:
    """The arrays of a table: its marks in memory, all others read when they are asked for.

    Args:
        reader: of the table.
        names: array -> its columns.
        marks: which arrays are read at once.

    Raises:
        DataError: a column holds something else than the array needs.
    """
    for array, columns in names.items():
        if array not in marks:
            for column in columns:
                number_type(column, reader.types[column])
    rows, found = read_marks(reader, names, marks)
    values = {array: [*columns] for array, columns in names.items() if array not in marks}
    types = {column: kind for array, columns in values.items() for column, kind in _types(reader, array, columns)}
    stream = TableStream(reader, types)
    first = next(iter(reader.batches(types)), None) if rows else None
    arrays: dict[str, Column] = {**found}
    for array, columns in values.items():
        shape = (rows, len(columns)) if first is None else (rows, width_of(first, columns))
        one = array == "rewards" and shape[1] == 1
        kinds = [number_type(column, types[column]) for column in columns]
        arrays[array] = TableColumn(stream, columns, (rows,) if one else shape, np.result_type(*kinds))
    return arrays


def _types(reader: TableReader, array: str, columns: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """What to take the values of columns for: in text some floats look like integers, in actions all if they are."""
    kinds = [reader.types[column] for column in columns]
    discrete = array == "actions" and all(arrow().types.is_integer(kind) for kind in kinds)
    if isinstance(reader, CsvReader) and not discrete:
        kinds = [kind if arrow().types.is_boolean(kind) else arrow().float64() for kind in kinds]
    return zip(columns, kinds, strict=True)
