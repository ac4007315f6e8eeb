"""Observations whose changes a network could not see."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spar_lightning.datasets.dataset import FloatArray
from spar_lightning.replay.statistics import STD_FLOOR

_LEVELS = 1000  # values that float32 tells apart in a dimension, below which it is worth a word
_ROUNDING = 4  # of them, up to which it is constant but for rounding
_WHOLE = 2.0**24  # from which on float32 does not tell whole numbers apart


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
        lost = (levels < _LEVELS) & ((levels > _ROUNDING) | (size >= _WHOLE))
        if not lost.any():
            return None
        worst = int(np.argmin(np.where(lost, levels, np.inf)))
        return (
            f"`observations` is between {self._low[worst]:.10g} and {self._high[worst]:.10g} in dimension "
            f"{worst}{_others(lost)}, where float32 tells but {levels[worst] + 1:,.0f} value(s) apart: is it a clock, "
            "or a position on Earth? Subtract where it begins, or leave it out."
        )

    def _floor(self, moved: npt.NDArray[np.float64]) -> str | None:
        """All that moves would stay near 0, since no dimension is divided by less than the floor."""
        if moved.max() >= STD_FLOOR:
            return None
        return (
            f"No dimension of `observations` moves by more than {moved.max():.2g}, and normalization divides by "
            f"{STD_FLOOR:g} at least: to the networks all look nearly the same. Record them in other units."
        )


def _others(found: npt.NDArray[np.bool_]) -> str:
    return f" ({found.sum()} dimensions are so)" if found.sum() > 1 else ""
