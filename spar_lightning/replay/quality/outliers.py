"""Values so far from all others of their column that nothing else of it can be seen any more."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spar_lightning.datasets.dataset import FloatArray
from spar_lightning.replay.quality.chunk import IntArray

Float64Array = npt.NDArray[np.float64]

_SAMPLE = 4096  # rows
_FARTHEST = 8  # values of each dimension that are kept
_USUAL = 0.9  # quantile of the distances that others have from the middle
_SMALLEST = 1e-3  # distance that counts, since deviations are not taken to be less
_ALONE = 1e6  # times the usual distance: absurd for a few
_ANYHOW = 1e12  # absurd for any number: float32 has seven digits
_GAP = 1e3  # between a few and all others


class Outlier(NamedTuple):
    """The farthest of a column's absurd values."""

    value: float
    ratio: float  # of its distance from the middle to the usual one
    episode: int
    step: int
    dimension: int
    dimensions: int  # that have such values


class OutlierSums:
    """Looks for absurd values in one column, chunk by chunk.

    Distances are from the median; the usual one is the 90% quantile of those that are not 0, of a sample. Heavy tails
    (Student's t, log-normal, a bonus now and then) come nowhere near a million times that, and their largest values are
    not alone.

    Args:
        width: number of dimensions, K.
    """

    def __init__(self, width: int) -> None:
        self._sample: FloatArray = np.zeros((0, width), dtype=np.float32)
        self._stride = 1
        self._rows = 0
        self._middle: FloatArray | None = None  # of the first chunk: distances for the choice of the farthest
        self._values = np.zeros((0, width), dtype=np.float32)
        self._distances = np.zeros((0, width), dtype=np.float32)
        self._places = np.zeros((0, width, 2), dtype=np.int64)

    def add(self, values: FloatArray, episodes: IntArray, steps: IntArray) -> None:
        """Add rows (N, K) of these episodes and steps (N,); what is not finite is passed over."""
        self._sample = np.concatenate([self._sample, values[-self._rows % self._stride :: self._stride]])
        self._rows += len(values)
        while len(self._sample) > _SAMPLE:
            self._sample, self._stride = self._sample[::2], 2 * self._stride
        if self._middle is None:
            self._middle = _median(values)
        with np.errstate(over="ignore", invalid="ignore"):
            distances = np.abs(values - self._middle)
        if len(self._distances) == _FARTHEST:  # after the first chunk few rows are of interest
            some = ~(distances <= self._distances[-1]).all(1)
            values, distances, episodes, steps = values[some], distances[some], episodes[some], steps[some]
        if len(values):
            distances[~np.isfinite(values)] = -1
            self._keep_farthest(values, distances, np.stack([episodes, steps], axis=1))

    def _keep_farthest(self, values: FloatArray, distances: FloatArray, places: IntArray) -> None:
        """Merge candidates (N, K) and their places (N, 2), in descending order of their distances."""
        width = values.shape[1]
        every = np.concatenate([self._distances, distances])
        order = np.argsort(-every, axis=0, kind="stable")[:_FARTHEST]
        there = np.broadcast_to(places[:, None], (len(places), width, 2))
        self._values = np.take_along_axis(np.concatenate([self._values, values]), order, 0)
        self._places = np.take_along_axis(np.concatenate([self._places, there]), order[:, :, None], 0)
        self._distances = np.take_along_axis(every, order, 0)

    def worst(self) -> Outlier | None:
        """The farthest of the absurd values; None if there is none."""
        if not len(self._sample):
            return None
        sample, middle = self._sample.astype(np.float64), _median(self._sample)
        found = [self._absurdity(sample[:, k], float(middle[k]), k) for k in range(len(middle))]
        worst = int(np.argmax(found)) if found else 0
        if not found or found[worst] == 0:
            return None
        episode, step = self._places[0, worst].tolist()
        value = float(self._values[0, worst])
        return Outlier(value, found[worst], episode, step, worst, int(np.count_nonzero(found)))

    def _absurdity(self, sample: Float64Array, middle: float, dimension: int) -> float:
        """How many times the usual distance the farthest value is away, 0 where that is no absurd value."""
        farthest = np.abs(self._values[:, dimension].astype(np.float64) - middle)
        farthest = np.sort(farthest[np.isfinite(farthest)])[::-1]
        if not len(farthest):
            return 0.0
        distances = np.abs(sample[np.isfinite(sample)] - middle)
        others = distances[(distances > 0) & (distances < farthest[0])]
        if len(others):
            usual = max(float(np.quantile(others, _USUAL, method="lower")), _SMALLEST * max(1.0, abs(middle)))
        else:  # all others are equal: only their size tells, if they have one
            usual = abs(middle) or _ALONE
        ratio = float(farthest[0]) / usual
        alone = len(farthest) > 1 and bool((farthest[:-1] > _GAP * farthest[1:]).any())
        return ratio if ratio > (_ALONE if alone else _ANYHOW) else 0.0


def _median(values: FloatArray) -> FloatArray:
    """Of the finite values of each column (N, K) -> (K,); 0 where there are none."""
    ordered = np.sort(np.where(np.isfinite(values), values, np.nan), axis=0)  # NaN last
    count = np.isfinite(values).sum(0)
    middle = np.take_along_axis(ordered, np.maximum(count - 1, 0)[None] // 2, 0)[0]
    return np.where(count > 0, middle, np.float32(0))
