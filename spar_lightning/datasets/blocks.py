"""How much of an array is read at once: some megabytes, however wide its rows are, and however small it was packed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

BLOCK_BYTES = 1 << 24
_MOST_UNFOLDED = 1_100
"""Times that a compressed array may be larger than what is stored of it; deflate, the tightest in use, reaches 1032."""


def rows_at_once(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Rows of an array that make a block, at least one.

    >>> rows_at_once((1000, 4), np.dtype(np.float64))
    524288
    """
    return max(1, BLOCK_BYTES // max(1, dtype.itemsize * math.prod(shape[1:])))


def check_stored(shape: tuple[int, ...], dtype: np.dtype[Any], stored: int) -> None:
    """See that an array is in its file, before memory is found for what it states.

    Args:
        shape: as stated.
        dtype: as stated.
        stored: bytes of the file that hold it.

    Raises:
        ValueError: it cannot be.
    """
    stated = dtype.itemsize * math.prod(shape)
    if stated > BLOCK_BYTES + _MOST_UNFOLDED * stored:
        raise ValueError(
            f"an array of shape {shape} would have {stated / 1e9:,.2f} GB, the file holds {stored:,} bytes of it"
        )
