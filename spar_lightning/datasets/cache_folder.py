"""Where downloads and packed copies are kept: all of it can be deleted, and is made again when it is needed."""

from __future__ import annotations

import os
from pathlib import Path

from spar_lightning.types import DataError

VARIABLE = "SPAR_LIGHTNING_CACHE"


def cache_folder() -> Path:
    """`SPAR_LIGHTNING_CACHE`, else `spar_lightning` in `XDG_CACHE_HOME` or `~/.cache`; made if it is missing.

    Raises:
        DataError: it cannot be made or is no folder that can be written to.
    """
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(os.environ.get(VARIABLE) or Path(caches) / "spar_lightning")
    try:
        folder = folder.expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        usable = os.access(folder, os.W_OK | os.X_OK)
        reason = "it cannot be written to"
    except OSError as error:
        usable, reason = False, error.strerror or str(error)
    except RuntimeError as error:  # of `~`
        usable, reason = False, str(error).rstrip(".")
    if not usable:
        raise DataError(
            f"The cache folder {folder} cannot be used: {reason}. Expected a folder that can be written to: name "
            f"another one in `{VARIABLE}`."
        )
    return folder
