"""Opening a file of named arrays, HDF5 or `.npz`, without reading them."""

from __future__ import annotations

import contextlib
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np

from spar_lightning.data.naming import did_you_mean
from spar_lightning.data.sources.npz_file import open_npz
from spar_lightning.types import DataError

SUFFIXES = (".hdf5", ".h5", ".npz")
TABLE_SUFFIXES = (".csv", ".tsv", ".parquet", ".pq")
KNOWN_SUFFIXES = (*SUFFIXES, *TABLE_SUFFIXES)
DAMAGE = (OSError, RuntimeError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, tokenize.TokenError)


class Column(Protocol):
    """An array that is read a slice of rows at a time."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows first."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """As stored."""

    def __getitem__(self, rows: slice, /) -> np.ndarray[Any, Any]:
        """The rows of a slice, from the file."""


@dataclass(frozen=True)
class NoColumn:
    """What has the place of an array, and is none."""

    what: str  # such as "a group"
    shape: tuple[int, ...] = ()
    dtype: np.dtype[Any] = np.dtype(object)  # noqa: RUF009

    def __getitem__(self, rows: slice, /) -> np.ndarray[Any, Any]:
        """Nothing can be read.

        Raises:
            ValueError: always.
        """
        raise ValueError(f"rows {rows.start} to {rows.stop} of {self.what}")


@contextlib.contextmanager
def open_columns(path: Path) -> Iterator[Mapping[str, Column]]:
    """The arrays at the top of a file, by name; they can be read until the context ends.

    Raises:
        DataError: there is no such file, it is of another kind than its name says, or it is damaged; the last also
            where the arrays are read.
    """
    check_kind(path)
    with readable_file(path):
        if path.suffix.lower() == ".npz":
            with open_npz(path) as arrays:
                yield arrays
        else:
            with h5py.File(path, "r", locking="best-effort") as file:
                yield {name: column_in(file, name) for name in file}


@contextlib.contextmanager
def readable_file(path: Path) -> Iterator[None]:
    """Say of which file it is that a library's error tells.

    Raises:
        DataError: in the place of such an error.
    """
    try:
        yield
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(f"{path} does not fit into memory: {error}. Split it, or free memory.") from error
    except DAMAGE as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise DataError(
            f"{path} cannot be read: {reason}. It may be truncated: fetch it again, or delete it if it is a download."
        ) from error


def check_kind(path: Path) -> None:
    """See that there is a file, and that it begins as its name says.

    Raises:
        DataError: there is none, or it does not.
    """
    check_file(path, SUFFIXES)
    try:
        problem = problem_of(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    if problem is not None:
        raise DataError(f"{path} is {problem}. Was the download cut off, or an error page saved? Fetch it again.")


def check_file(path: Path, suffixes: Sequence[str]) -> None:
    """See that there is a file, whose name ends in one of some ways.

    Raises:
        DataError: there is none, or it does not.
    """
    try:
        if path.is_dir():
            raise DataError(_folder(path))
        if path.suffix.lower() not in suffixes:
            raise DataError(f"`{path}` is of no known kind, expected a file that ends in {', '.join(KNOWN_SUFFIXES)}.")
        if not path.exists():
            raise DataError(_missing(path))
        if not path.is_file():  # reading from a pipe or a device may never end
            raise DataError(f"{path} is a device or a pipe, expected a file.")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def column_in(group: h5py.Group, name: str) -> Column:
    """An array of an HDF5 file, if that alone holds it: what another file has may change, and be anybody's."""
    if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
        return NoColumn("a link into another file")
    item = group.get(name)
    if not isinstance(item, h5py.Dataset):
        return NoColumn("a link to nothing" if item is None else "a group")
    if item.is_virtual or item.external or item.file.filename != group.file.filename:  # the last through a link to one
        return NoColumn("kept in another file")
    return NoColumn("empty") if item.shape is None else item


def group_in(group: h5py.Group, name: str) -> h5py.Group | None:
    """A group of an HDF5 file, if there is one in that file itself."""
    if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
        return None
    item = group.get(name)
    return item if isinstance(item, h5py.Group) and item.file.filename == group.file.filename else None


def problem_of(path: Path) -> str | None:
    """What is wrong with a file as a whole, such as "no HDF5 file but a web page"; None if nothing is.

    Raises:
        OSError: it cannot be read.
    """
    archive = path.suffix.lower() == ".npz"
    with path.open("rb") as file:
        start = file.read(64).lstrip()
    if zipfile.is_zipfile(path) if archive else h5py.is_hdf5(path):
        return None if archive else _damage(path)
    found = "a web page" if start.startswith(b"<") else "something else" if start else "empty"
    return f"no {'NumPy archive' if archive else 'HDF5 file'} but {found}"


def _damage(path: Path) -> str | None:
    """An HDF5 file knows its size: one that was cut off cannot be opened."""
    try:
        h5py.File(path, "r", locking="best-effort").close()
    except OSError as error:
        return f"a damaged HDF5 file: {' '.join(str(error).split())}"
    return None


def _folder(path: Path) -> str:
    if (path / "data" / "metadata.json").is_file():
        return (
            f"{path} is a folder of Minari's, which is opened by its id, such as `{path.parent.name}/{path.name}`: put "
            "it into Minari's folder of data sets, or name the one that holds it in `MINARI_DATASETS_PATH`."
        )
    return f"{path} is a folder, expected a file."


def _missing(path: Path) -> str:
    if path.is_symlink():
        return f"{path} is a link to {path.readlink()}, where no file is."
    if not path.parent.is_dir():
        return f"There is no file {path}: its folder does not exist."
    near = did_you_mean(
        path.name, sorted(other.name for other in path.parent.iterdir() if other.suffix in KNOWN_SUFFIXES)
    )
    return f"There is no file {path}; {near}"
