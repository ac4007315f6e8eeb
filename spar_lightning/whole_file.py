"""Files and folders, whole at any moment: what was there before, or all of the new, whatever stops the writing."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import re
import sys
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

if sys.platform != "win32":
    import fcntl

SUFFIX = ".tmp"
"""Of a file that is being written."""

_KEPT = 40  # characters of the name, which must not be too long with what is added
_RANDOM = 8  # characters that are added
_TRIES = 10  # names


@contextmanager
def whole_file(path: Path) -> Generator[BinaryIO]:
    """Open a file that appears under its name, on the disk, when the block ends, and not at all if the block fails.

    It is written beside its place, where a rename copies nothing, under a name that no other writer has: of several
    who write the same file at once the last one's stays, whole. After a kill the unfinished part stays until the next
    writing of the same file.

    Raises:
        OSError: if it cannot be written, with the file's name.
    """
    if path.is_char_device() or path.is_fifo():  # such as /dev/stdout: nothing else may take its place
        with path.open("wb") as device:
            yield device
        return
    unfinished = _new_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_unfinished(path.parent, path.name)
        with contextlib.ExitStack() as held:
            file = held.enter_context(unfinished.open("xb"))
            held.enter_context(_locked(file))
            for _ in range(_TRIES):
                if os.fstat(file.fileno()).st_nlink:
                    break
                unfinished = _new_name(path)  # somebody took it for a leftover before it was locked
                file = held.enter_context(unfinished.open("xb"))
                held.enter_context(_locked(file))
            yield file
            file.flush()
            os.fsync(file.fileno())
            file.close()
            unfinished.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    _sync_folder(path.parent)


def _new_name(path: Path) -> Path:
    return path.with_name(f"{path.name[:_KEPT]}.{uuid.uuid4().hex[:_RANDOM]}{SUFFIX}")


_OWN = re.compile(rf"\.[0-9a-f]{{{_RANDOM}}}{re.escape(SUFFIX)}$")


def check_folder(folder: Path) -> None:
    """See that files can be written into a folder, which need not be there yet, before work that takes long.

    Raises:
        OSError: if they cannot, with the place that is in the way.
    """
    nearest = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(nearest))
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(nearest))


def write_text(path: Path, text: str) -> None:
    """Write a whole file of text in UTF-8."""
    with whole_file(path) as file:
        file.write(text.encode())


def remove_unfinished(folder: Path, name: str | None = None) -> None:
    """Remove what kills have left half written, and nothing that is being written right now.

    Args:
        folder: where to look.
        name: of the file whose parts these are; by default any, also in folders below.
    """
    parts = f"{glob.escape(name[:_KEPT])}.{'?' * _RANDOM}{SUFFIX}" if name is not None else f"**/*{SUFFIX}"
    with contextlib.suppress(OSError):
        for path in folder.glob(parts):
            if _OWN.search(path.name):  # others end so too
                _remove_unused(path)


def _remove_unused(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("r+b") as file:
        if sys.platform == "win32":  # a file that is open cannot be removed there
            file.close()
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a writer that has not locked it yet will take another
        path.unlink()


@contextmanager
def _locked(file: BinaryIO) -> Generator[None]:
    """Keep a file locked, also when it is closed, where locks end with a process that is killed."""
    if sys.platform == "win32":
        yield
    else:
        descriptor = os.dup(file.fileno())
        try:
            with contextlib.suppress(OSError):  # not every file system has locks; none is removed then
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Put the new name on the disk too, where folders can be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def move_into_place(new: Path, place: Path) -> None:
    """Put a finished folder in its place by renaming; an old one steps aside first, and comes back on failure."""
    place.parent.mkdir(parents=True, exist_ok=True)
    aside = new.with_name("replaced")
    try:
        if os.path.lexists(place):  # also a link to nothing
            place.rename(aside)
        new.rename(place)
    except BaseException:
        if os.path.lexists(aside) and not os.path.lexists(place):
            aside.rename(place)
        raise
