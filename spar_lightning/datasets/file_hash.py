"""By what the contents of a file of data can be told from others, whatever its name."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from spar_lightning.types import DataError


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file; of a folder that of its files' names and hashes, pictures left out.

    Raises:
        DataError: it cannot be read.
    """
    try:
        if path.is_dir():
            files = sorted(file for part in ("data", "meta") for file in (path / part).rglob("*") if file.is_file())
            told = "".join(f"{_digest_of(file)}  {file.relative_to(path).as_posix()}\n" for file in files)
            return hashlib.sha256(told.encode()).hexdigest()
        return _digest_of(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from error


def checked_hash(name: str, path: Path, expected: str | None) -> str:
    """The hash of a data set's file, which must be the one that was asked for, if one was.

    Raises:
        DataError: it is another, or the file cannot be read.
    """
    found = sha256_of(path)
    if expected not in (None, found):
        raise DataError(
            f"`{name}` has the SHA-256 {found[:12]}.., expected {expected[:12]}..: it is not the file that "
            "the configuration is of. Name that one with `data.dataset`, or set `data.sha256` to null to take this."
        )
    return found


def _digest_of(file: Path) -> str:
    state = file.stat()
    return _digest(file, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=1024)
def _digest(file: Path, size: int, modified: int) -> str:  # noqa: ARG001 - by which a changed file is another
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
