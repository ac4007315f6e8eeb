"""Names that are paths on this machine."""

from __future__ import annotations

import contextlib
from pathlib import Path

from spar_lightning.data.minari_folder import datasets_folder


def is_path(name: str) -> bool:
    """Whether a name is a path: it looks like one, or there is something in its place.

    No id of Minari's begins like a path or holds a dot. An id is one all the same where a folder of Minari's own is
    the working folder.
    """
    return name.startswith(("/", "~")) or "." in name or (_is_there(name) and not _is_minaris(name))


def _is_there(name: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(name) and Path(name).exists()
    return False


def _is_minaris(name: str) -> bool:
    return (datasets_folder() / name / "data").is_dir()
