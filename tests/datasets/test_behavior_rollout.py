from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from spar_lightning.datasets import load_behavior
from spar_lightning.datasets.recording.behavior import BehaviorPolicy
from spar_lightning.datasets.recording.rollout import RecordedEpisode, roll_out


class Countdown(gym.Env[Any, Any]):
    """Terminates after 1 to 40 steps, told by the seed; counts the steps that all its copies take."""

    steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._left = int(self.np_random.integers(1, 41))
        return np.full(11, self._left / 40), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        Countdown.steps += 1
        self._left -= 1
        return np.full(11, self._left / 40), float(action.sum()), self._left == 0, False, {}


@pytest.fixture
def policy() -> BehaviorPolicy:
    return load_behavior("hopper").checkpoints[0]


def record(policy: BehaviorPolicy, num_envs: int, steps: int, **arguments: Any) -> list[RecordedEpisode]:
    return roll_out(policy, [Countdown() for _ in range(num_envs)], steps=steps, seed=0, **arguments)


@pytest.mark.parametrize("steps", [1, 39, 100, 500])
def test_the_number_of_environments_changes_nothing(policy: BehaviorPolicy, steps: int) -> None:
    alone = record(policy, 1, steps)
    assert sum(map(len, alone)) == steps
    for num_envs in (2, 5, 64):
        together = record(policy, num_envs, steps)
        assert [len(episode) for episode in together] == [len(episode) for episode in alone]
        for first, second in zip(alone, together, strict=True):
            np.testing.assert_array_equal(first.actions, second.actions)
            np.testing.assert_array_equal(first.observations, second.observations)
            assert (first.seed, first.rewards, first.terminated) == (second.seed, second.rewards, second.terminated)


def test_only_the_last_episode_is_cut_and_it_is_a_truncation(policy: BehaviorPolicy) -> None:
    whole = record(policy, 1, 500)
    for steps in range(1, 120):
        episodes = record(policy, 5, steps)
        last, complete = episodes[-1], whole[len(episodes) - 1]
        assert sum(map(len, episodes)) == steps
        assert all(episode.terminated and not episode.truncated for episode in episodes[:-1])
        assert last.terminated == (len(last) == len(complete))
        assert last.truncated != last.terminated
        assert len(last.observations) == len(last) + 1 == len(last.actions) + 1


def test_little_is_played_in_vain(policy: BehaviorPolicy) -> None:
    before = Countdown.steps
    record(policy, 8, 2000)
    assert Countdown.steps - before < 2000 + 8 * 40


def test_episodes_are_numbered_through(policy: BehaviorPolicy) -> None:
    first = record(policy, 2, 200)
    later = record(policy, 2, 100, first_episode=2)
    assert [episode.seed for episode in later[:3]] == [episode.seed for episode in first[2:5]]
    assert len({episode.seed for episode in first}) == len(first)


def test_progress_is_reported_up_to_the_budget(policy: BehaviorPolicy) -> None:
    reports: list[int] = []
    record(policy, 4, 300, report=reports.append)
    assert reports == sorted(reports)
    assert 250 < reports[-1] <= 300


def test_the_policy_is_the_one_of_its_readme(policy: BehaviorPolicy) -> None:
    observations = np.random.default_rng(0).normal(size=(4, 11)) * 5
    noise = np.random.default_rng(1).normal(size=(4, 3))
    for observation, draw, action in zip(observations, noise, policy.sample(observations, noise), strict=True):
        x = np.clip((observation - policy.observation_mean) / policy.observation_std, -10, 10)
        w0, w1, w2 = policy.weights
        b0, b1, b2 = policy.biases
        mean = w2 @ np.tanh(w1 @ np.tanh(w0 @ x + b0) + b1) + b2
        np.testing.assert_allclose(action, np.clip(mean + policy.action_std * draw, -1, 1), rtol=1e-5)
