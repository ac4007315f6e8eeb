"""Names that are paths on this machine."""

from __future__ import annotations

import contextlib
from pathlib import Path

from spar_lightning.datasets.minari_folder import datasets_folder
from spar_lightning.datasets.sources.arrays.array_file import TABLE_SUFFIXES
from spar_lightning.types import DataError


def is_path(name: str) -> bool:
    """Whether a name is a path: it looks like one, or there is something in its place.

    No id of Minari's begins like a path or holds a dot. An id is one all the same where a folder of Minari's own is
    the working folder.
    """
    return name.startswith(("/", "~")) or "." in name or (_is_there(name) and not _is_minaris(name))


def is_table(name: str) -> bool:
    """Whether a name is the path of a table."""
    return name.lower().endswith(TABLE_SUFFIXES)


def is_lerobot(name: str) -> bool:
    """Whether a name is the path of a folder that LeRobot recorded."""
    with contextlib.suppress(OSError, RuntimeError):
        return (Path(name).expanduser() / "meta" / "info.json").is_file()
    return False


def _is_there(name: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(name) and Path(name).exists()
    return False


def _is_minaris(name: str) -> bool:
    return (datasets_folder() / name / "data").is_dir()


def path_of(name: str) -> Path:
    """The path, absolute, relative or with `~`, as an absolute one.

    Raises:
        DataError: there is no such user.
    """
    try:
        return Path(name).expanduser().absolute()
    except RuntimeError as error:
        raise DataError(f"`{name}` is no path here: {error}") from error
