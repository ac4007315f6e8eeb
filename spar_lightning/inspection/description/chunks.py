"""Episodes put together to chunks, so that many short episodes are summed up as fast as a few long ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from spar_lightning.datasets.dataset import Episode
from spar_lightning.replay.quality import Chunk

_ROWS = 16_384


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
    observations, actions, rewards, next_observations, termination = episode
    steps = len(observations)
    if len(next_observations) < steps:
        missing = np.zeros((steps - len(next_observations), observations.shape[1]), dtype=np.float32)
        next_observations = np.concatenate([next_observations, missing])
    return Chunk(
        observations=observations,
        actions=actions,
        rewards=rewards[:, None],
        next_observations=next_observations,
        terminations=(np.arange(steps) == steps - 1) & termination,
        episodes=np.full(steps, number),
        steps=np.arange(steps),
    )


def _joined(waiting: list[Chunk]) -> Chunk:
    return Chunk(*(np.concatenate(arrays) for arrays in zip(*waiting, strict=True)))
