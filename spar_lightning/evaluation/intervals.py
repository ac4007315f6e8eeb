"""The spread of a few numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy import stats
from torch import Tensor

CONFIDENCE = 0.95


def sample_std(values: Tensor) -> Tensor:
    """Sample standard deviation of (n,); NaN of a single value, of which torch warns and which is no news here."""
    return values.std() if len(values) > 1 else values.new_tensor(float("nan"))


def mean_interval(values: Sequence[float] | Tensor, confidence: float = CONFIDENCE) -> tuple[float, float, float]:
    """Mean and Student-t interval of a few numbers; the interval of a single one is NaN.

    >>> [round(number, 2) for number in mean_interval([1.0, 2.0, 3.0])]
    [2.0, -0.48, 4.48]
    """
    found = torch.as_tensor(values, dtype=torch.float64)
    count, mean = len(found), float(found.mean())
    quantile = float(stats.t.ppf(0.5 + confidence / 2, df=max(1, count - 1)))
    margin = quantile * float(sample_std(found)) / count**0.5
    return mean, mean - margin, mean + margin
