"""What a library says of a file that it cannot read, as a sentence that names the file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from spar_lightning.types import DataError


@contextlib.contextmanager
def damage_told(place: str, errors: tuple[type[BaseException], ...], remedy: str) -> Iterator[None]:
    """Say of which file it is that a library's error tells.

    Args:
        place: the file, in words.
        errors: of the library, for a file that is damaged.
        remedy: a sentence on what to do then.

    Raises:
        DataError: in the place of such an error.
    """
    try:
        yield
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(f"{place} does not fit into memory: {error}. Split it, or free memory.") from error
    except errors as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise DataError(f"{place} cannot be read: {reason}. {remedy}") from error
