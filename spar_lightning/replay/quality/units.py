"""Actions in other units than the environment's."""

from __future__ import annotations

import numpy as np

from spar_lightning.datasets.dataset import FloatArray

_MOST = 0.5  # share of the values outside of their bounds, from which on they are no slips
_FAR = 10.0  # times its bound that a single dimension reaches, if most of it is outside
_SMALL = 0.05  # of its bound that no dimension reaches: the data's range is another one
_MARGIN = 1e-5  # of the bounds' distance: rounding
_NAMED = 6  # dimensions in a sentence


class UnitSums:
    """Counts actions outside of their bounds.

    Args:
        low: (A,) lower bounds, -inf for none.
        high: (A,) upper bounds, inf for none.
    """

    def __init__(self, low: FloatArray, high: FloatArray) -> None:
        self._low, self._high = low.astype(np.float64), high.astype(np.float64)
        self._bounded = np.isfinite(self._low) & np.isfinite(self._high)
        self._margin = np.where(self._bounded, _MARGIN * (self._high - self._low), 0) if len(low) else np.zeros(0)
        self._outside = np.zeros(len(low))
        self._reach = np.zeros(len(low))
        self._rows = 0
        self._least, self._most = np.full(len(low), np.inf), np.full(len(low), -np.inf)

    def add(self, actions: FloatArray) -> None:
        """Add actions (N, A)."""
        beyond = (actions < self._low - self._margin) | (actions > self._high + self._margin)
        self._outside += beyond.sum(0)
        self._reach = np.maximum(self._reach, np.where(np.isfinite(actions), np.abs(actions), 0).max(0))
        self._rows += len(actions)
        finite = np.isfinite(actions)
        self._least = np.minimum(self._least, np.where(finite, actions, np.inf).min(0))
        self._most = np.maximum(self._most, np.where(finite, actions, -np.inf).max(0))

    def equal(self) -> str | None:
        """That all actions are the same."""
        if self._rows < 2 or not (self._least == self._most).all():
            return None
        return "All actions are equal: there is nothing to choose, and nothing to learn. Were they recorded?"

    def small(self) -> str | None:
        """By what all actions are too small, where none comes near a bound."""
        if not (len(self._low) and self._bounded.all() and self._reach.any()):
            return None
        ratios = self._ratios()
        if ratios.max() >= _SMALL:
            return None
        most = int(np.argmax(ratios))
        return (
            f"No action comes near the environment's bounds: at most {self._reach[most]:.4g}, where "
            f"{self._low[most]:.4g} to {self._high[most]:.4g} is allowed in dimension {most}. Are they in other units? "
            "Differences that small are hard to learn: convert them, or name the environment that they come from."
        )

    @property
    def is_far(self) -> bool:
        """Whether values are so far outside that they are no noise that the environment clips."""
        return bool((self._ratios() > _FAR).any())

    def _ratios(self) -> FloatArray:
        """(A,): how many times its bound each dimension reaches, 0 where there is none."""
        with np.errstate(divide="ignore", invalid="ignore"):
            reached = self._reach / np.maximum(np.abs(self._low), np.abs(self._high))
        ratios: FloatArray = np.where(self._bounded, reached, 0)
        return ratios

    def finding(self) -> str | None:
        """Where most actions are outside, and by what they are too large."""
        shares = self._outside / max(1, self._rows)
        ratios = self._ratios()
        overall = shares[self._bounded].mean() if self._bounded.any() else 0.0
        far = (shares > _MOST) & (ratios > _FAR)
        if not (overall > _MOST or far.any()):
            return None
        wrong = np.flatnonzero(self._bounded if overall > _MOST else far)
        worst = int(wrong[np.argmax(ratios[wrong])])
        which = "" if overall > _MOST else f" of dimension {', '.join(map(str, wrong[:_NAMED]))}"
        return (
            f"{overall if overall > _MOST else shares[worst]:.1%} of the action values{which} are outside the "
            f"environment's bounds, up to {self._reach[worst]:.4g} where {self._low[worst]:.4g} to "
            f"{self._high[worst]:.4g} is expected in dimension {worst}: are they in other units? "
            f"{self._conversion(worst)} would fit. Convert them, name the environment that they come from, or, where "
            "it clips its actions, store them clipped."
        )

    def _conversion(self, dimension: int) -> str:
        """What may bring actions of a dimension into its bounds."""
        low, high = self._low[dimension], self._high[dimension]
        least, most = self._least[dimension], self._most[dimension]
        if low < 0 < high and least < most and (least >= 0 or most <= 0):  # a range from 0 on, such as 0 to 255
            first = 0.0 if 0 <= least < 0.1 * most else least
            return f"{low:.4g} + {high - low:.4g} * (actions - {first:.4g}) / {most - first:.4g}"
        return f"Divided by {self._ratios()[dimension]:.3g} they"
