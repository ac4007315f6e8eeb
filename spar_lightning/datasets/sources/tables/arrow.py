"""Arrow, the library that reads tables, which not every user needs."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

from spar_lightning.datasets.sources.damage import damage_told
from spar_lightning.types import DataError


def arrow(part: str = "") -> Any:
    """The module `pyarrow`, or a part of it such as `csv`.

    Raises:
        DataError: it is not installed.
    """
    try:
        return importlib.import_module(f"pyarrow.{part}" if part else "pyarrow")
    except ImportError as error:
        raise DataError(
            f"Tables and LeRobot's folders need pyarrow, which cannot be imported ({error}): `pip install pyarrow`."
        ) from error


def readable(place: str) -> contextlib.AbstractContextManager[None]:
    """See `damage_told`."""
    errors = (OSError, ValueError, KeyError, TypeError, NotImplementedError, arrow().ArrowException)
    return damage_told(place, errors, "Is it damaged, or of another kind than its name?")
