"""A simulator whose returns can be worked out by hand."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch

torch.set_num_threads(1)
STEPS = 5


class ToyEnvironment(gym.Env):
    """Reward is the action plus a bonus that the seed decides; an episode is cut off after `STEPS` steps.

    A state (the bonus, the time) is observed. An action below -0.5 ends the episode at once.
    """

    opened = 0

    def __init__(self) -> None:
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
        ToyEnvironment.opened += 1
        self.steps_taken = 0

    def reset(self, *, seed: int | None = None, options: Any = None):
        super().reset(seed=seed)
        self.bonus, self.time = self.np_random.uniform(), 0
        return np.array([self.bonus, 0.0]), {}

    def step(self, action):
        assert self.time < STEPS
        self.time += 1
        self.steps_taken += 1
        observation = np.array([self.bonus, float(self.time)])
        return observation, float(action[0]) + self.bonus, bool(action[0] < -0.5), self.time >= STEPS, {}

    def close(self) -> None:
        ToyEnvironment.opened -= 1


class Constant:
    """A policy that always does the same."""

    def __init__(self, action: float) -> None:
        self.action = action
        self.calls: list[int] = []

    def act(self, observations):
        self.calls.append(len(observations))
        return np.full((len(observations), 1), self.action, dtype=np.float32)


def bonus(seed: int) -> float:
    """What the seed adds to every reward."""
    return float(np.random.default_rng(seed).uniform())
