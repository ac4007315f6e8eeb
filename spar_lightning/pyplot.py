"""Matplotlib, which not every installation has."""

from __future__ import annotations

import importlib
from typing import Any

from spar_lightning.types import UserError


def require_matplotlib(what: str, extra: str, instead: str = "") -> None:
    """See that figures can be drawn, before anything that takes long.

    Args:
        what: needs it, for the message.
        extra: of this package's, with which it is installed.
        instead: the end of the sentence: what else the user can do.

    Raises:
        UserError: if it is not installed.
    """
    try:
        importlib.import_module("matplotlib")
    except ModuleNotFoundError as error:
        raise UserError(
            f"{what} needs matplotlib, which is not installed: pip install 'spar-lightning[{extra}]'{instead}"
        ) from error


def load_pyplot() -> Any:
    """Matplotlib's `pyplot`, drawing into files and not into windows."""
    matplotlib = importlib.import_module("matplotlib")
    matplotlib.use("agg")
    matplotlib.rcParams["text.parse_math"] = False  # names of methods and data sets are the user's, dollars and all
    return importlib.import_module("matplotlib.pyplot")
