"""The field's statistics of scores over tasks and seeds (Agarwal et al., 2021, arXiv 2108.13264).

Scores of a method are a matrix (tasks, runs). Intervals are percentile intervals of a bootstrap that is stratified:
runs are drawn anew within each task. Definitions are those of the authors' `rliable`, which cannot be installed beside
this project's pandas; the resampling is SciPy's. Tests compare with numbers of `rliable` itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

Scores = npt.NDArray[np.float64]
"""(tasks, runs), or (..., tasks, runs) of resamples."""

RESAMPLES = 50_000
"""As in `rliable`."""


class Estimate(NamedTuple):
    """A number with its 95% interval, which one run a task does not have."""

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        """With one digit.

        >>> str(Estimate(81.24, 70.0, 92.04)), str(Estimate(81.24, None, None))
        ('81.2 [70.0, 92.0]', '81.2')
        """
        return self.text(1)

    def text(self, digits: int) -> str:
        """With so many digits."""
        bounds = [f"{bound:.{digits}f}" for bound in (self.low, self.high) if bound is not None]
        return f"{self.value:.{digits}f}" + (f" [{', '.join(bounds)}]" if bounds else "")


def interquartile_mean(scores: Scores) -> npt.NDArray[np.float64]:
    """Mean of the middle half of all runs of all tasks.

    >>> float(interquartile_mean(np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 100.0]])))
    4.5
    """
    pooled = scores.reshape(*scores.shape[:-2], -1)
    return np.asarray(stats.trim_mean(pooled, 0.25, axis=-1))


def mean(scores: Scores) -> npt.NDArray[np.float64]:
    """Mean over tasks and runs."""
    return np.asarray(scores.mean(axis=(-2, -1)))


def median(scores: Scores) -> npt.NDArray[np.float64]:
    """Median over tasks of the mean over runs."""
    return np.asarray(np.median(scores.mean(axis=-1), axis=-1))


def improvement_probability(scores: Scores, others: Scores) -> npt.NDArray[np.float64]:
    """How likely a run scores higher than one of another method on the same task, a tie counting half; mean over tasks.

    >>> float(improvement_probability(np.array([[1.0, 3.0]]), np.array([[1.0, 2.0]])))
    0.625
    """
    higher = (scores[..., :, None] > others[..., None, :]).mean(axis=(-2, -1))
    equal = (scores[..., :, None] == others[..., None, :]).mean(axis=(-2, -1))
    return np.asarray((higher + 0.5 * equal).mean(axis=-1))


def share_above(threshold: float) -> Callable[[Scores], npt.NDArray[np.float64]]:
    """A statistic: the share of runs that score more than a threshold, one point of a performance profile."""
    return lambda scores: np.asarray((scores > threshold).mean(axis=(-2, -1)))


def estimate(statistic: Callable[..., Any], *samples: Scores, resamples: int = RESAMPLES) -> Estimate:
    """A statistic of one or several methods' scores, with its stratified bootstrap interval.

    Args:
        statistic: of arrays (..., tasks, runs), one for each of the samples.
        samples: each (tasks, runs), over the same tasks; runs are drawn independently in each.
        resamples: of the bootstrap; the same are drawn in every call.
    """
    value = float(statistic(*samples))
    if min(sample.shape[1] for sample in samples) < 2:
        return Estimate(value, None, None)
    tasks = len(samples[0])

    def of_rows(*rows: Scores, axis: int) -> Any:  # noqa: ARG001 - the last, always
        parts = [np.stack(rows[start : start + tasks], axis=-2) for start in range(0, len(rows), tasks)]
        return statistic(*parts)

    interval = stats.bootstrap(
        [row for sample in samples for row in sample],
        of_rows,
        n_resamples=resamples,
        batch=1_000,
        vectorized=True,
        paired=False,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Estimate(value, float(interval.low), float(interval.high))


def expected_best(values: Sequence[float]) -> list[float]:
    """The score to expect of the best of k policies, for k = 1, 2 ..., where the simulator is asked which is best.

    Policies are drawn with replacement: `E = sum_i v_(i) ((i/n)^k - ((i-1)/n)^k)` over the sorted values (Dodge et al.,
    2019; Kurenkov and Kolesnikov, 2022, arXiv 2110.04156). k = 1 is what offline training gives by itself.

    Args:
        values: scores of n policies; k goes up to n.

    >>> [round(value, 3) for value in expected_best([3.0, 1.0, 2.0])]
    [2.0, 2.444, 2.667]
    """
    ordered = np.sort(np.asarray(values, np.float64))
    below = np.arange(len(ordered) + 1) / len(ordered)
    return [float((ordered * np.diff(below**k)).sum()) for k in range(1, len(below))]
