"""Data of which every value is known: a reward is the action, whatever the state, so a constant action is worth itself
for ever.
"""

from __future__ import annotations

import numpy as np
import torch

from spar_lightning.datasets import Episode
from spar_lightning.replay import PackedTransitions, compute_statistics
from spar_lightning.types import Array, DatasetStatistics

DISCOUNT = 0.5
"""With which an action `a` for ever is worth `2 a`."""


class Constant:
    """Acts alike everywhere."""

    def __init__(self, action: float) -> None:
        self.action = action

    def act(self, observations: Array) -> Array:
        actions = torch.full((len(observations), 1), self.action)
        return actions if isinstance(observations, torch.Tensor) else actions.numpy()


def lottery(episodes: int = 20, length: int = 25, mean: float = 0.0, seed: int = 0) -> PackedTransitions:
    """Actions are uniform around `mean`, 0.5 to each side; episodes are cut off."""
    random = np.random.default_rng(seed)

    def episode() -> Episode:
        observations = random.normal(size=(length + 1, 2)).astype(np.float32)
        actions = (mean + random.uniform(-0.5, 0.5, size=(length, 1))).astype(np.float32)
        return Episode(observations[:-1], actions, actions[:, 0].copy(), observations[1:], termination=False)

    return PackedTransitions.from_episodes(episode() for _ in range(episodes))


def statistics_of(transitions: PackedTransitions) -> DatasetStatistics:
    bound = np.ones(1, dtype=np.float32)
    return compute_statistics(transitions, -bound, bound)
