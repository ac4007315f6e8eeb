"""Episodes put together to chunks, so that many short episodes are summed up as fast as a few long ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spar_lightning.data.dataset import Episode, FloatArray

_ROWS = 16_384

IntArray = npt.NDArray[np.int64]


class Chunk(NamedTuple):
    """N transitions of some consecutive episodes."""

    observations: FloatArray  # (N, O)
    actions: FloatArray  # (N, A)
    rewards: FloatArray  # (N, 1)
    next_observations: FloatArray  # (N, O), zeros where the source lacks them
    episodes: IntArray  # (N,) number of the episode in the data set
    steps: IntArray  # (N,) number of the transition in its episode


def chunks(episodes: Iterable[tuple[int, Episode]]) -> Iterator[Chunk]:
    """Put numbered episodes of any length together to chunks of some 16,000 rows, a longer episode to one of its own.

    Args:
        episodes: with their numbers; the arrays of each agree in length and with those of the others in width.
    """
    waiting: list[Chunk] = []
    rows = 0
    for number, episode in episodes:
        waiting.append(_chunk(number, episode))
        rows += len(episode.observations)
        if rows >= _ROWS:
            yield _joined(waiting)
            waiting, rows = [], 0
    if waiting:
        yield _joined(waiting)


def _chunk(number: int, episode: Episode) -> Chunk:
    observations, actions, rewards, next_observations, _ = episode
    steps = len(observations)
    if len(next_observations) < steps:
        missing = np.zeros((steps - len(next_observations), observations.shape[1]), dtype=np.float32)
        next_observations = np.concatenate([next_observations, missing])
    return Chunk(observations, actions, rewards[:, None], next_observations, np.full(steps, number), np.arange(steps))


def _joined(waiting: list[Chunk]) -> Chunk:
    return Chunk(*(np.concatenate(arrays) for arrays in zip(*waiting, strict=True)))
