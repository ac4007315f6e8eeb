"""Rolling a behaviour policy out for an exact number of transitions, reproducibly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from spar_lightning.datasets.recording.behavior import BehaviorPolicy

Environment = gym.Env[Any, Any]


@dataclass
class RecordedEpisode:
    """An episode as the environment gave it, growing step by step."""

    seed: int  # what the environment was reset with
    observations: list[Any] = field(default_factory=list)  # T+1 of (O,), or of dicts of such
    actions: list[npt.NDArray[np.float32]] = field(default_factory=list)  # T of (A,)
    rewards: list[float] = field(default_factory=list)
    terminated: bool = False  # by the environment
    truncated: bool = False  # by the time limit, or by the budget of the collection

    def __len__(self) -> int:
        return len(self.rewards)

    def cut(self, length: int) -> None:
        """Keep the first `length` transitions; an episode that loses its end becomes a truncated one."""
        if length < len(self):
            del self.observations[length + 1 :], self.actions[length:], self.rewards[length:]
            self.terminated = False
        self.truncated = not self.terminated


class _Lane:
    """One environment and the episode that runs in it."""

    def __init__(self, environment: Environment, seed: int, number: int) -> None:
        reset_seed, noise_seed = np.random.SeedSequence((seed, number)).generate_state(2)
        self.environment = environment
        self.episode = RecordedEpisode(seed=int(reset_seed))
        self._noise = np.random.default_rng(noise_seed)
        observation, _ = environment.reset(seed=self.episode.seed)
        self.episode.observations.append(observation)

    @property
    def finished(self) -> bool:
        return self.episode.terminated or self.episode.truncated

    def noise(self, action_dim: int) -> npt.NDArray[np.float64]:
        """The next action noise (A,) of this episode."""
        return self._noise.standard_normal(action_dim)

    def step(self, action: npt.NDArray[np.float32]) -> None:
        """Take one action (A,) and record what came of it."""
        observation, reward, terminated, truncated, _ = self.environment.step(action)
        episode = self.episode
        episode.observations.append(observation)
        episode.actions.append(action)
        episode.rewards.append(float(reward))
        episode.terminated, episode.truncated = bool(terminated), bool(truncated)


def roll_out(
    policy: BehaviorPolicy,
    environments: Sequence[Environment],
    *,
    steps: int,
    seed: int,
    first_episode: int = 0,
    report: Callable[[int], object] = lambda _: None,
) -> list[RecordedEpisode]:
    """Record exactly `steps` transitions, as one environment playing episode after episode would.

    An episode's initial state and noise depend on (seed, episode number) alone, and episodes are kept in order of
    their number, so the number of environments changes the speed and nothing else. An episode goes on only while
    it and those before it do not fill the budget.

    Args:
        policy: whose actions to record.
        environments: played at once, with one batched call of the policy.
        steps: transitions to record.
        seed: of the whole collection.
        first_episode: number of the first episode, so that several policies share one count.
        report: called with the number of transitions recorded for certain, for a progress bar.
    """
    episodes: list[RecordedEpisode] = []
    running: dict[int, _Lane] = {}
    idle = list(environments)
    while True:
        ends = list(accumulate(len(episode) for episode in episodes))
        for number in [number for number, lane in running.items() if lane.finished or ends[number] >= steps]:
            idle.append(running.pop(number).environment)
        while idle and (not ends or ends[-1] < steps):
            number = len(episodes)
            running[number] = _Lane(idle.pop(), seed, first_episode + number)
            episodes.append(running[number].episode)
            ends.append(ends[-1] if ends else 0)
        if not running:
            return fit_to(episodes, steps)
        report(min(ends[min(running)], steps))
        _step(policy, list(running.values()))


def _step(policy: BehaviorPolicy, lanes: list[_Lane]) -> None:
    observations = np.stack([lane.episode.observations[-1] for lane in lanes])
    noise = np.stack([lane.noise(policy.action_dim) for lane in lanes])
    for lane, action in zip(lanes, policy.sample(observations, noise), strict=True):
        lane.step(action)


def fit_to(episodes: list[RecordedEpisode], steps: int) -> list[RecordedEpisode]:
    """The first episodes, in order, cut to `steps` transitions in all."""
    kept, remaining = [], steps
    for episode in episodes:
        if remaining == 0:
            break
        episode.cut(remaining)
        remaining -= len(episode)
        kept.append(episode)
    return kept
