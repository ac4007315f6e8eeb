"""Transitions with Walker2d's shapes, made in memory: speed does not depend on what the numbers are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spar_lightning.benchmark.settings import ACTION_DIM, OBSERVATION_DIM
from spar_lightning.datasets import Episode, OfflineDataset

EPISODE_STEPS = 1000
SEED = 0


def episodes(transitions: int) -> Iterator[Episode]:
    """Episodes of 1000 steps, the last one shorter; every other one ends in a termination, the rest in a time-out."""
    random = np.random.default_rng(SEED)
    for number, start in enumerate(range(0, transitions, EPISODE_STEPS)):
        steps = min(EPISODE_STEPS, transitions - start)
        observations = random.standard_normal((steps + 1, OBSERVATION_DIM), dtype=np.float32)
        yield Episode(
            observations=observations[:-1],
            actions=random.uniform(-1.0, 1.0, (steps, ACTION_DIM)).astype(np.float32),
            rewards=random.standard_normal(steps, dtype=np.float32),
            next_observations=observations[1:],
            termination=number % 2 == 1,
        )


def synthetic_dataset(transitions: int) -> OfflineDataset:
    """The source of a data module: no file, no simulator."""
    bounds = np.ones(ACTION_DIM, dtype=np.float32)
    return OfflineDataset(
        name=f"synthetic/walker2d-{transitions}",
        observation_dim=OBSERVATION_DIM,
        action_dim=ACTION_DIM,
        action_low=-bounds,
        action_high=bounds,
        num_episodes=-(-transitions // EPISODE_STEPS),
        num_transitions=transitions,
        read=lambda: episodes(transitions),
        fingerprint=f"seed {SEED}",
    )
