"""Opening a file of named arrays, HDF5 or `.npz`, without reading them."""

from __future__ import annotations

import contextlib
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import h5py

from spar_lightning.datasets.naming import did_you_mean
from spar_lightning.datasets.sources.arrays.hdf5_items import column_in, names_in
from spar_lightning.datasets.sources.arrays.npz_file import open_npz
from spar_lightning.datasets.sources.column import Column
from spar_lightning.datasets.sources.damage import damage_told
from spar_lightning.types import DataError

SUFFIXES = (".hdf5", ".h5", ".npz")
TABLE_SUFFIXES = (".csv", ".tsv", ".parquet", ".pq")
KNOWN_SUFFIXES = (*SUFFIXES, *TABLE_SUFFIXES)
DAMAGE = (OSError, RuntimeError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, tokenize.TokenError)


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
                yield {name: column_in(file, name) for name in names_in(file)}


def readable_file(path: Path) -> contextlib.AbstractContextManager[None]:
    """See `damage_told`."""
    remedy = "It may be damaged or encrypted: save or fetch it again, and delete it if it is a download."
    return damage_told(str(path), DAMAGE, remedy)


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
