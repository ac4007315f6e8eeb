"""Arrow, the library that reads tables, which not every user needs."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

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


@contextlib.contextmanager
def readable(place: str) -> Iterator[None]:
    """Say of which table it is that a library's error tells.

    Args:
        place: the file, in words.

    Raises:
        DataError: in the place of such an error.
    """
    try:
        yield
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(f"{place} does not fit into memory: {error}. Split it, or free memory.") from error
    except (OSError, ValueError, KeyError, TypeError, NotImplementedError, arrow().ArrowException) as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise DataError(
            f"{place} cannot be read: {reason}. Is it damaged, or of another kind than its name?"
        ) from error
