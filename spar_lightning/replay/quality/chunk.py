"""Rows in time order, some at a time: what every check is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spar_lightning.datasets.dataset import FloatArray
from spar_lightning.replay.storage.transitions import Transitions

_ROWS = 16_384

IntArray = npt.NDArray[np.int64]


class Chunk(NamedTuple):
    """N transitions that follow one another."""

    observations: FloatArray  # (N, O)
    actions: FloatArray  # (N, A)
    rewards: FloatArray  # (N, 1)
    next_observations: FloatArray  # (N, O), zeros where the source lacks them
    terminations: npt.NDArray[np.bool_]  # (N,)
    episodes: IntArray  # (N,) number of the episode in the data set
    steps: IntArray  # (N,) number of the transition in its episode


def chunks_of(transitions: Transitions) -> Iterator[Chunk]:
    """Transitions from memory or from disk, at most 16,384 at a time; they must be on the CPU."""
    number, step, row = 0, 0, 0
    for batch in transitions.chunks(_ROWS):
        ends = transitions.episode_ends[row : row + len(batch.rewards)].numpy()
        row += len(ends)
        episodes = number + np.cumsum(ends) - ends
        rows = np.arange(len(ends))
        first = np.concatenate([[True], ends[:-1]])
        steps = rows - np.maximum.accumulate(np.where(first, rows, 0))
        steps[episodes == number] += step
        yield Chunk(
            observations=batch.observations.numpy(),
            actions=batch.actions.numpy(),
            rewards=batch.rewards.numpy()[:, None],
            next_observations=batch.next_observations.numpy(),
            terminations=batch.terminations.numpy() > 0,
            episodes=episodes,
            steps=steps,
        )
        number, step = int(episodes[-1] + ends[-1]), 0 if ends[-1] else int(steps[-1]) + 1
