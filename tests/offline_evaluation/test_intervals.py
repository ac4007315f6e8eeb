"""Intervals over episodes and critics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from spar_lightning.offline_evaluation.intervals import bootstrap_interval, told


def width(values: np.ndarray) -> float:
    found = bootstrap_interval(values)
    return found.high - found.low


def test_of_one_critic_it_is_that_of_a_mean_over_episodes() -> None:
    values = np.random.default_rng(0).normal(3.0, 1.0, size=(1, 50))
    found = bootstrap_interval(values)
    margin = stats.t.ppf(0.975, 49) * values.std(ddof=1) / 50**0.5
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(found.mean - margin, abs=0.15 * margin)
    assert found.high == pytest.approx(found.mean + margin, abs=0.15 * margin)


def test_critics_that_disagree_widen_it() -> None:
    alike = np.random.default_rng(0).normal(size=(1, 50)).repeat(4, axis=0)
    apart = alike + np.array([[-1.0], [1.0], [-1.0], [1.0]])
    assert width(apart) > 4 * width(alike)
    # Four critics hardly know how far they differ: Student's t with 3 degrees of freedom.
    assert width(apart) > 1.5 * stats.t.ppf(0.975, 3) * apart.mean(axis=1).std(ddof=1) / 2


def test_critics_are_not_asked_about_everything() -> None:
    values = np.array([[1.0, 3.0, np.nan, np.nan], [np.nan, np.nan, 5.0, 7.0]])
    found = bootstrap_interval(values)
    assert found.mean == 4.0
    assert found.low < 0 < 8 < found.high  # two critics, whose means are 2 and 6


def test_one_episode_has_none() -> None:
    assert told(torch.tensor([[2.0], [4.0]])) == {"mean": 3.0, "low": None, "high": None}
