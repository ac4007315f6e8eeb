"""Means with intervals over two things at once: the episodes, and the critics that were asked."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats
from torch import Tensor

from spar_lightning.documents import json_ready
from spar_lightning.evaluation.metrics import CONFIDENCE

FloatArray = npt.NDArray[np.float64]

REPLICATES = 1000
_CHUNK = 50  # replicates drawn at once


class Estimate(NamedTuple):
    """A mean and its 95% interval; NaN bounds where there are too few to tell."""

    mean: float
    low: float
    high: float


def bootstrap_interval(values: FloatArray, seed: int = 0) -> Estimate:
    """Mean of values (M, E) of M critics about E episodes, with a bootstrap interval over critics and episodes.

    Both are drawn anew, with replacement, in every replicate. Few of them know their own spread badly: deviations are
    widened as much as Student's t is wider than a normal distribution. A single critic's spread is not known, and left
    out. NaN are what a critic was not asked about; each episode was put to some, and each critic asked about some.

    >>> estimate = bootstrap_interval(np.array([[0.0, 2.0, np.nan], [0.0, 2.0, 4.0]]))
    >>> estimate.mean, estimate.low < 0 < 4 < estimate.high
    (2.0, True)
    """
    by_episode, by_critic = np.nanmean(values, axis=0), np.nanmean(values, axis=1)
    mean = float(by_episode.mean())
    if len(by_episode) < 2:
        return Estimate(mean, math.nan, math.nan)
    random = np.random.default_rng(seed)
    drawn = _drawn(by_episode - mean, random)
    if len(by_critic) > 1:
        drawn = drawn + _drawn(by_critic - by_critic.mean(), random)
    low, high = np.quantile(drawn, [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2])
    return Estimate(mean, mean + float(low), mean + float(high))


def _drawn(deviations: FloatArray, random: np.random.Generator) -> FloatArray:
    """Means (R,) of deviations (n,) drawn with replacement."""
    count, level = len(deviations), 0.5 + CONFIDENCE / 2
    wider = math.sqrt(count / (count - 1)) * float(stats.t.ppf(level, count - 1) / stats.norm.ppf(level))
    pieces = [
        deviations[random.integers(count, size=(_CHUNK, count))].mean(axis=1) for _ in range(REPLICATES // _CHUNK)
    ]
    drawn: FloatArray = wider * np.concatenate(pieces)
    return drawn


def told(values: Tensor) -> dict[str, float | None]:
    """The mean of values (M, E) with its interval, as primitives; None for bounds that there are not.

    The values of one critic have an interval over episodes alone.
    """
    found: dict[str, float | None] = json_ready(bootstrap_interval(values.double().numpy())._asdict())
    return found
