"""Putting a finished data set into Minari's folder, complete or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from minari.namespace import create_namespace, list_local_namespaces
from minari.storage.datasets_root_dir import get_dataset_path

from spar_lightning.types import DataError

_ROOT_VARIABLE = "MINARI_DATASETS_PATH"
_STALE_AFTER = 24 * 3600  # seconds


def datasets_folder() -> Path:
    """Minari's folder of data sets, made if it is missing.

    Raises:
        DataError: it cannot be made or is no folder.
    """
    folder = Path(os.environ.get(_ROOT_VARIABLE) or Path("~/.minari/datasets").expanduser()).absolute()
    with _usable(folder):
        get_dataset_path()
    return folder


@contextlib.contextmanager
def minari_root(folder: Path) -> Iterator[Path]:
    """Point Minari at a folder of data sets for a while: it reads the variable at every call.

    Raises:
        DataError: the folder cannot be made or is no folder.
    """
    folder = folder.absolute()  # which the variable means, wherever it is read
    with _usable(folder):
        folder.mkdir(parents=True, exist_ok=True)
    before = os.environ.get(_ROOT_VARIABLE)
    os.environ[_ROOT_VARIABLE] = str(folder)
    try:
        yield folder
    finally:
        if before is None:
            del os.environ[_ROOT_VARIABLE]
        else:
            os.environ[_ROOT_VARIABLE] = before


@contextlib.contextmanager
def scratch_folder(root: Path) -> Iterator[Path]:
    """A hidden folder beside the data sets, hence on their file system; gone afterwards, whatever happened.

    Those that a killed process left behind go too, a day later.

    Raises:
        DataError: `root` cannot be written to.
    """
    _remove_stale(root)
    with _usable(root):
        scratch = Path(tempfile.mkdtemp(prefix=".collecting-", dir=root))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _remove_stale(root: Path) -> None:
    for folder in root.glob(".collecting-*"):
        with contextlib.suppress(FileNotFoundError):  # another process may be faster
            if time.time() - folder.stat().st_mtime > _STALE_AFTER:
                shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _usable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"The folder of data sets {folder} cannot be used: {error}. Expected a folder that can be written to: set "
            f"`{_ROOT_VARIABLE}`, or pass another `--root`, where there is one."
        ) from error


def register_namespace(namespace: str) -> None:
    """Make the namespace of a data set known to Minari."""
    if namespace not in list_local_namespaces():
        create_namespace(namespace)
