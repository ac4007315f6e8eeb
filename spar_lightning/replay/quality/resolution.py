"""Observations whose changes a network could not see."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spar_lightning.datasets.dataset import FloatArray
from spar_lightning.replay.statistics import STD_FLOOR

_LEVELS = 1000  # values that float32 tells apart in a dimension, below which it is worth a word
_ROUNDING = 4  # of them, up to which it is constant but for rounding, unless float32 lacks whole numbers there
_WHOLE = 2.0**24
_LARGE = 10.0  # size from which on a position or a time is likely; below, such as a quaternion's 1, it is just still
_MANY = 0.5  # share of the dimensions that move, from which on too small ones are told


class ResolutionSums:
    """Gathers the range of each dimension of the observations.

    Args:
        width: their number, O.
    """

    def __init__(self, width: int) -> None:
        self._low, self._high = np.full(width, np.inf), np.full(width, -np.inf)

    def add(self, observations: FloatArray) -> None:
        """Add observations (N, O); what is not finite is told elsewhere."""
        finite = np.isfinite(observations)
        self._low = np.minimum(self._low, np.where(finite, observations, np.inf).min(0))
        self._high = np.maximum(self._high, np.where(finite, observations, -np.inf).max(0))

    def findings(self) -> list[str]:
        """What hardly moves, in float32 or for the networks, and what mends it."""
        low, high = self._low, self._high
        if not (len(low) and np.isfinite(low).all() and np.isfinite(high).all()):
            return []
        moved = high - low
        if not moved.any():
            return ["No observation ever changes: a policy could but repeat one action. Were they recorded?"]
        return [text for text in (self._lost(moved), self._floor(moved)) if text]

    def _lost(self, moved: npt.NDArray[np.float64]) -> str | None:
        size = np.maximum(np.abs(self._low), np.abs(self._high))
        levels = moved / np.spacing(size.astype(np.float32)).astype(np.float64)
        lost = (moved > 0) & (levels < _LEVELS) & (size >= _LARGE) & ((levels > _ROUNDING) | (size >= _WHOLE))
        if not lost.any():
            return None
        worst = int(np.argmin(np.where(lost, levels, np.inf)))
        return (
            f"`observations` is between {self._low[worst]:.10g} and {self._high[worst]:.10g} in dimension "
            f"{worst}{_others(lost)}, where float32 tells but {levels[worst] + 1:,.0f} value(s) apart: is it a clock, "
            "or a position on Earth? Subtract where it begins, or leave it out."
        )

    def _floor(self, moved: npt.NDArray[np.float64]) -> str | None:
        """Where most that moves would stay near 0, since no dimension is divided by less than the floor."""
        moves, small = moved > 0, (moved > 0) & (moved < STD_FLOOR)
        if small.sum() <= _MANY * moves.sum():
            return None
        return (
            f"{small.sum()} of the {moves.sum()} dimensions of `observations` that move at all do so by "
            f"{moved[small].max():.2g} or less, and normalization divides by {STD_FLOOR:g} at least: to the networks "
            "they look nearly the same. Record them in other units."
        )


def _others(found: npt.NDArray[np.bool_]) -> str:
    return f" ({found.sum()} dimensions are so)" if found.sum() > 1 else ""
