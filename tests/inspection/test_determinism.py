"""Whether actions are told apart that follow from the observations, and that do not."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest

from spar_lightning.datasets import load_behavior
from spar_lightning.datasets.recording.rollout import roll_out
from spar_lightning.inspection.description.determinism import TransitionSample, judge
from spar_lightning.replay.quality import Chunk
from spar_lightning.simulators import make_environment

EPISODES = np.arange(10_000) // 100


def walk(dimensions: int) -> npt.NDArray[np.float32]:
    """Random observations (10,000, O)."""
    return np.random.default_rng(0).normal(size=(10_000, dimensions)).astype(np.float32)


def policy(observations: npt.NDArray[np.float32], noise: float) -> npt.NDArray[np.float32]:
    """A smooth policy of two actions with normal noise of a deviation."""
    weights = np.random.default_rng(1).normal(size=(observations.shape[1], 2))
    random = np.random.default_rng(2).normal(size=(len(observations), 2))
    return (np.tanh(observations @ weights) + noise * random).astype(np.float32)


def test_a_function_of_the_observations_is_deterministic() -> None:
    found = judge(walk(3), policy(walk(3), 0.0), EPISODES)
    assert found.verdict == "deterministic"
    assert found.noise_share == pytest.approx(0, abs=0.005)


@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_the_share_of_the_noise_is_found(noise: float) -> None:
    actions = policy(walk(3), noise)
    found = judge(walk(3), actions, EPISODES)
    assert found.verdict == "stochastic"
    assert found.noise_share == pytest.approx(2 * noise**2 / actions.var(0).sum(), abs=0.05)


def test_actions_without_any_relation_are_stochastic() -> None:
    found = judge(walk(3), walk(2), EPISODES)
    assert found.verdict == "stochastic"
    assert found.noise_share == pytest.approx(1, abs=0.05)


def test_constant_dimensions_do_not_matter() -> None:
    observations = np.concatenate([walk(3), np.full((10_000, 40), 0.1, dtype=np.float32)], axis=1)
    assert judge(observations, policy(walk(3), 0.0), EPISODES).verdict == "deterministic"


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_of_observations_far_from_one_another_it_cannot_tell(noise: float) -> None:
    found = judge(walk(30), policy(walk(30), noise), EPISODES)
    assert found.verdict == "cannot tell"
    assert "near enough" in found.reason


def test_of_a_few_transitions_or_one_episode_it_cannot_tell() -> None:
    actions = policy(walk(3), 0.0)
    assert judge(walk(3)[:300], actions[:300], EPISODES[:300]).verdict == "cannot tell"
    assert judge(walk(3), actions, np.zeros(10_000, dtype=np.int64)).verdict == "cannot tell"


def test_actions_that_never_change() -> None:
    assert judge(walk(3), np.ones((10_000, 2), dtype=np.float32), EPISODES).verdict == "deterministic"


def test_actions_that_change_while_observations_do_not() -> None:
    assert judge(np.ones((10_000, 3), dtype=np.float32), walk(2), EPISODES).verdict == "stochastic"


def test_the_sample_is_bounded_uniform_and_finite() -> None:
    sample = TransitionSample(size=500)
    for number in range(40):
        observations = np.full((100, 2), number, dtype=np.float32)
        observations[0] = np.nan
        zeros = np.zeros((100, 1), dtype=np.float32)
        sample.add(
            Chunk(observations, zeros, zeros, observations, np.zeros(100, bool), np.full(100, number), np.arange(100))
        )
        assert sum(len(part[0]) for part in sample._kept) <= 1_100
    sample._shrink()
    kept = sample._kept[0][1][:, 0]
    assert len(kept) == 500
    assert np.isfinite(kept).all()
    assert np.mean(kept) == pytest.approx(19.5, abs=2)


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "verdict"), [(0.0, "deterministic"), (1.0, "stochastic")])
def test_a_recorded_policy_with_and_without_its_noise(noise: float, verdict: str) -> None:
    behavior = load_behavior("hopper")
    checkpoint = behavior.checkpoints[behavior.medium]
    chosen = dataclasses.replace(checkpoint, action_std=noise * checkpoint.action_std)
    environments = [make_environment(behavior.environment_id) for _ in range(4)]
    episodes = roll_out(chosen, environments, steps=10_000, seed=0)
    observations, actions = (
        np.concatenate([np.stack(part) for part in parts]).astype(np.float32)
        for parts in zip(*((episode.observations[:-1], episode.actions) for episode in episodes), strict=True)
    )
    numbers = np.repeat(np.arange(len(episodes)), [len(episode) for episode in episodes])
    order = np.random.default_rng(0).permutation(len(numbers))
    assert judge(observations[order], actions[order], numbers[order]).verdict == verdict
