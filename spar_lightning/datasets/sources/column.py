"""What every kind of file gives for an array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


class Column(Protocol):
    """An array that is read a slice of rows at a time."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows first."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """As stored."""

    def __getitem__(self, rows: slice, /) -> np.ndarray[Any, Any]:
        """The rows of a slice, from the file."""


@dataclass(frozen=True)
class NoColumn:
    """What has the place of an array, and is none."""

    what: str  # such as "a group"
    shape: tuple[int, ...] = ()
    dtype: np.dtype[Any] = np.dtype(object)  # noqa: RUF009

    def __getitem__(self, rows: slice, /) -> np.ndarray[Any, Any]:
        """Nothing can be read.

        Raises:
            ValueError: always.
        """
        raise ValueError(f"rows {rows.start} to {rows.stop} of {self.what}")
