"""Sums over the rows of one column, taken chunk by chunk; what is not finite is counted and left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spar_lightning.datasets.dataset import FloatArray
from spar_lightning.replay.quality import IntArray

Float64Array = npt.NDArray[np.float64]

_AT_BOUND = 1e-5  # of the distance of the bounds: policies that end in a tanh never quite reach them


@dataclass(frozen=True)
class Place:
    """Where a value is."""

    episode: int  # from 0
    step: int  # in the episode, from 0
    dimension: int


@dataclass(frozen=True)
class ColumnSummary:
    """What the finite values of a column (N, K) are like, in each of its K dimensions; NaN where there are none."""

    mean: Float64Array  # (K,)
    std: Float64Array  # (K,), population
    minimum: Float64Array  # (K,)
    maximum: Float64Array  # (K,)
    zeros: float  # share of all values, 0 to 1
    non_finite: int  # values that are NaN or infinite
    first_non_finite: Place | None

    @property
    def constant(self) -> list[int]:
        """Dimensions that have but one value."""
        return [int(dimension) for dimension in np.flatnonzero(self.minimum == self.maximum)]


@dataclass(frozen=True)
class BoundsSummary:
    """How the actions lie between their bounds; at a bound is within 1e-5 of the bounds' distance, or beyond it."""

    low: Float64Array  # (A,), -inf where there is none
    high: Float64Array  # (A,), inf where there is none
    at_low: Float64Array  # (A,) share of the values, 0 to 1; NaN where there is no bound
    at_high: Float64Array  # (A,) likewise
    saturation: float  # share of all values of bounded dimensions at or beyond a bound; NaN where none is bounded
    outside: float  # share of them beyond


class ColumnSums:
    """Gathers a `ColumnSummary`.

    Means and variances are merged by the formulas of Chan, Golub and LeVeque (1979), in float64: sums of squares would
    lose digits. Unlike `functional.moments`, which passes over the data twice, this takes rows once, as they are read.

    Args:
        width: number of dimensions, K.
    """

    def __init__(self, width: int) -> None:
        self._count = np.zeros(width)
        self._mean = np.zeros(width)
        self._squares = np.zeros(width)  # sums of squared distances from the mean
        self._minimum = np.full(width, np.inf)
        self._maximum = np.full(width, -np.inf)
        self._zeros = 0
        self._non_finite = 0
        self._first: Place | None = None

    def add(self, values: FloatArray, episodes: IntArray, steps: IntArray) -> None:
        """Add rows (N, K), N at least 1, of these episodes and steps (N,)."""
        good = np.isfinite(values)
        if not good.all():
            self._note(~good, episodes, steps)
        self._minimum = np.minimum(self._minimum, np.where(good, values, np.inf).min(0))
        self._maximum = np.maximum(self._maximum, np.where(good, values, -np.inf).max(0))
        self._zeros += int((values == 0).sum())
        self._merge(np.where(good, values, 0).astype(np.float64), good)

    def _note(self, bad: npt.NDArray[np.bool_], episodes: IntArray, steps: IntArray) -> None:
        self._non_finite += int(bad.sum())
        if self._first is None:
            row, dimension = np.argwhere(bad)[0]
            self._first = Place(int(episodes[row]), int(steps[row]), int(dimension))

    def _merge(self, values: Float64Array, good: npt.NDArray[np.bool_]) -> None:
        count = good.sum(0)
        total = self._count + count
        mean = values.sum(0) / np.maximum(count, 1)
        distance = mean - self._mean
        self._squares += np.square((values - mean) * good).sum(0)
        self._squares += distance**2 * self._count * count / np.maximum(total, 1)
        self._mean += distance * count / np.maximum(total, 1)
        self._count = total

    def summary(self) -> ColumnSummary:
        """What the rows added so far are like."""
        some = self._count > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            std = np.sqrt(self._squares / self._count)
        return ColumnSummary(
            mean=np.where(some, self._mean, np.nan),
            std=np.where(some, std, np.nan),
            minimum=np.where(some, self._minimum, np.nan),
            maximum=np.where(some, self._maximum, np.nan),
            zeros=self._zeros / max(1, int(self._count.sum()) + self._non_finite),
            non_finite=self._non_finite,
            first_non_finite=self._first,
        )


class BoundsSums:
    """Gathers a `BoundsSummary`.

    Args:
        low: (A,) lower bounds, -inf for none.
        high: (A,) upper bounds, inf for none.
    """

    def __init__(self, low: FloatArray, high: FloatArray) -> None:
        self._low, self._high = low.astype(np.float64), high.astype(np.float64)
        self._bounded = np.isfinite(self._low) & np.isfinite(self._high)
        self._margin = np.where(self._bounded, _AT_BOUND * (self._high - self._low), 0) if len(low) else np.zeros(0)
        self._count = 0
        self._at = np.zeros((2, len(low)))
        self._outside = 0

    def add(self, actions: FloatArray) -> None:
        """Add actions (N, A)."""
        self._count += len(actions)
        self._at += (actions <= self._low + self._margin).sum(0), (actions >= self._high - self._margin).sum(0)
        beyond = (actions < self._low - self._margin) | (actions > self._high + self._margin)
        self._outside += int(beyond[:, self._bounded].sum())

    def summary(self) -> BoundsSummary:
        """How the actions added so far lie."""
        shares = np.where(self._bounded, self._at / max(1, self._count), np.nan)
        values = self._count * int(self._bounded.sum())
        return BoundsSummary(
            low=self._low,
            high=self._high,
            at_low=shares[0],
            at_high=shares[1],
            saturation=float(self._at[:, self._bounded].sum()) / values if values else np.nan,
            outside=self._outside / values if values else np.nan,
        )
