from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from spar_lightning.datasets import Episode
from spar_lightning.replay import PackedTransitions, Transitions, compute_statistics
from spar_lightning.replay import statistics as statistics_module
from spar_lightning.types import DataError


def make(rows: int) -> tuple[Transitions, np.ndarray]:
    random = np.random.default_rng(0)
    observations = random.normal([1e4, -3.0, 7.0], [1e-1, 2.0, 0.0], (rows, 3)).astype(np.float32)
    actions = random.uniform(-0.5, 0.25, (rows, 2)).astype(np.float32)
    return PackedTransitions.from_episodes(
        [Episode(observations, actions, np.zeros(rows, np.float32), observations, False)]
    ), observations


def test_moments_agree_with_numpy_in_float64(monkeypatch: object) -> None:
    rows = 2 * statistics_module._CHUNK + 17
    transitions, observations = make(rows)
    found = compute_statistics(transitions, np.full(2, -1, np.float32), np.full(2, 1, np.float32))
    exact = observations.astype(np.float64)
    np.testing.assert_allclose(found.observation_mean, exact.mean(0), rtol=1e-7)
    np.testing.assert_allclose(found.observation_std[:2], exact.std(0)[:2], rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "std"),
    [(np.full(50, 0.0), 1.0), (np.full(50, 0.1), 1.0), (1e-5 * (np.arange(50) % 2), 1e-3)],
    ids=["zero", "constant", "hardly moving"],
)
def test_an_observation_that_does_not_move_is_not_blown_up(values: Any, std: float) -> None:
    transitions, _ = make(50)
    observations = transitions.column("observations").clone()
    observations[:, 2] = torch.from_numpy(values)
    transitions.set_column("observations", observations)
    found = compute_statistics(transitions, np.full(2, -1, np.float32), np.full(2, 1, np.float32))
    assert found.observation_std[2].item() == np.float32(std)


def test_bounds_are_the_environments_and_where_it_has_none_the_datas() -> None:
    transitions, _ = make(50)
    low, high = np.array([-1, -np.inf], np.float32), np.array([np.inf, 1], np.float32)
    found = compute_statistics(transitions, low, high)
    assert found.action_low.tolist() == [-1, transitions.actions[:, 1].min().item()]
    assert found.action_high.tolist() == [transitions.actions[:, 0].max().item(), 1]
    assert {tensor.dtype for tensor in vars(found).values()} == {torch.float32}


def test_bounds_whose_distance_overflows_are_none() -> None:
    transitions, _ = make(50)
    found = compute_statistics(transitions, np.array([-3e38, -1], np.float32), np.array([3e38, 1], np.float32))
    assert found.action_low.tolist() == [transitions.actions[:, 0].min().item(), -1]
    assert found.action_high.tolist() == [transitions.actions[:, 0].max().item(), 1]


@pytest.mark.parametrize(("low", "high"), [(1, 1), (1, -1), (0, 0), (1, 1 + 5e-7), (1e6, 1e6 + 0.5)])
def test_bounds_too_close_are_refused(low: float, high: float) -> None:
    transitions, _ = make(50)
    with pytest.raises(DataError, match=r"Action dimension 1 has the bounds .*clearly below"):
        compute_statistics(transitions, np.array([-1, low], np.float32), np.array([1, high], np.float32))
