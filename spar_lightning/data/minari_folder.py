"""Putting a finished data set into Minari's folder, complete or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from minari.namespace import create_namespace, list_local_namespaces

_ROOT_VARIABLE = "MINARI_DATASETS_PATH"


@contextlib.contextmanager
def minari_root(folder: Path) -> Iterator[Path]:
    """Point Minari at a folder of data sets for a while: it reads the variable at every call."""
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
    """A hidden folder beside the data sets, hence on their file system; gone afterwards, whatever happened."""
    scratch = Path(tempfile.mkdtemp(prefix=".collecting-", dir=root))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def move_into_place(new: Path, place: Path) -> None:
    """Put a finished data set in its place by renaming; an old one steps aside first, and comes back on failure."""
    place.parent.mkdir(parents=True, exist_ok=True)
    aside = new.with_name("replaced")
    try:
        if place.exists():
            place.rename(aside)
        new.rename(place)
    except BaseException:
        if aside.exists() and not place.exists():
            aside.rename(place)
        raise


def register_namespace(namespace: str) -> None:
    """Make the namespace of a data set known to Minari."""
    if namespace not in list_local_namespaces():
        create_namespace(namespace)
