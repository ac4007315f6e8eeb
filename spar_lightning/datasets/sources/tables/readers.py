"""Tables of each kind, read forwards, some rows and some columns at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from spar_lightning.datasets.memory import available_memory
from spar_lightning.datasets.sources.tables.arrow import arrow
from spar_lightning.types import DataError

_TEXT = (".csv", ".tsv")  # suffixes
_ROWS = 1 << 14  # of a batch
_VALUES = 1 << 23  # of a column in a batch
_NUMBER = 8  # bytes
_BUFFER = 1 << 20  # bytes of text
_AHEAD = 1 << 16  # bytes of each column
_DELIMITERS = ",;\t|"


class TableReader(Protocol):
    """A table of which the names and types of the columns are known."""

    @property
    def types(self) -> Mapping[str, Any]:
        """Column -> Arrow's type, of a text file as far as its beginning tells."""

    def batches(self, columns: Mapping[str, Any]) -> Iterator[Any]:
        """All rows of some columns, as Arrow's record batches, none of which is empty.

        Args:
            columns: with the types that text is turned into.
        """


def _types(schema: Any) -> dict[str, Any]:
    """The type of each column.

    Raises:
        DataError: if two have one name: which one is meant?
    """
    twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if twice:
        raise DataError(
            f"The column(s) {', '.join(map(repr, twice))} are there more than once, expected each name once."
        )
    return dict(zip(schema.names, schema.types, strict=True))


class CsvReader:
    """A text file with the names of the columns in its first line; `,`, `;`, a tab or `|` stands between values."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            first = file.readline(_BUFFER).decode(errors="replace")
        self._delimiter = max(_DELIMITERS, key=first.count)
        with self._open(None) as stream:
            self.types: Mapping[str, Any] = _types(stream.schema)

    def batches(self, columns: Mapping[str, Any]) -> Iterator[Any]:
        """As `TableReader`."""
        with self._open(columns) as stream:
            yield from filter(len, stream)

    def _open(self, columns: Mapping[str, Any] | None) -> Any:
        csv = arrow("csv")
        wanted = {} if columns is None else {"include_columns": [*columns], "column_types": dict(columns)}
        return csv.open_csv(
            self._path,
            read_options=csv.ReadOptions(use_threads=False, block_size=_BUFFER),
            parse_options=csv.ParseOptions(delimiter=self._delimiter),
            convert_options=csv.ConvertOptions(**wanted),
        )


class ParquetReader:
    """One or more parquet files with the same columns, one after another.

    Args:
        paths: the files, at least one.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        schema = arrow("parquet").read_schema(paths[0])
        self.types: Mapping[str, Any] = _types(schema)

    def batches(self, columns: Mapping[str, Any]) -> Iterator[Any]:
        """As `TableReader`; types are those of the files."""
        for path in self._paths:
            # As little of a row group ahead as can be: by itself Arrow reads it whole.
            with arrow("parquet").ParquetFile(path, pre_buffer=False, buffer_size=_AHEAD) as file:
                rows = _rows_at_once(file.metadata, tuple(columns))
                yield from file.iter_batches(batch_size=rows, columns=[*columns], use_threads=False)


def _rows_at_once(metadata: Any, names: tuple[str, ...]) -> int:
    """How many rows of a parquet file to read at once: few of long lists, which a small file may unfold to.

    Raises:
        DataError: a single one does not fit into memory.
    """
    longest = 1.0  # values a row, of any of the columns
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        columns = (group.column(place) for place in range(group.num_columns))
        values = [column.num_values for column in columns if column.path_in_schema.startswith(names)]
        longest = max(longest, max(values, default=0) / max(1, group.num_rows))
    if _NUMBER * longest > available_memory():
        raise DataError(f"It states {longest:,.0f} values in a row, which do not fit into memory: is it damaged?")
    return int(min(_ROWS, max(1, _VALUES / longest)))


class FrameReader:
    """A data frame of pandas, or of any library that knows Arrow.

    Args:
        frame: not to be changed while it is read.
    """

    def __init__(self, frame: Any) -> None:
        self._table = arrow().table(frame)
        self.types: Mapping[str, Any] = _types(self._table.schema)

    def batches(self, columns: Mapping[str, Any]) -> Iterator[Any]:
        """As `TableReader`; types are those of the frame."""
        yield from filter(len, self._table.select([*columns]).to_batches(max_chunksize=_ROWS))


def open_reader(path: Path) -> TableReader:
    """The reader for a file, by its suffix."""
    return CsvReader(path) if path.suffix.lower() in _TEXT else ParquetReader([path])
