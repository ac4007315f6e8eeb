"""Episodes put together to chunks, so that many short episodes are summed up as fast as a few long ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from spar_lightning.datasets.blocks import rows_at_once
from spar_lightning.datasets.dataset import Episode
from spar_lightning.replay.quality import Chunk

_ROWS = 16_384


def chunks(episodes: Iterable[tuple[int, Episode]]) -> Iterator[Chunk]:
    """Put numbered episodes of any length together to chunks of some 16,000 rows, fewer where they are wide.

    Args:
        episodes: with their numbers; the arrays of each agree in length and with those of the others in width.
    """
    waiting: list[Chunk] = []
    rows = 0
    for number, episode in episodes:
        for chunk in _parts(number, episode):
            waiting.append(chunk)
            rows += len(chunk.steps)
            if rows >= _most(episode):
                yield _joined(waiting)
                waiting, rows = [], 0
    if waiting:
        yield _joined(waiting)


def _most(episode: Episode) -> int:
    width = 2 * episode.observations.shape[1] + episode.actions.shape[1]
    return min(_ROWS, rows_at_once((1, width), episode.observations.dtype))


def _parts(number: int, episode: Episode) -> Iterator[Chunk]:
    most = _most(episode)
    return (_chunk(number, episode, start, start + most) for start in range(0, len(episode.observations), most))


def _chunk(number: int, episode: Episode, start: int, stop: int) -> Chunk:
    """The steps from `start` to before `stop`, or the end."""
    observations, next_observations = episode.observations[start:stop], episode.next_observations[start:stop]
    steps = np.arange(start, start + len(observations))
    if len(next_observations) < len(steps):
        missing = np.zeros((len(steps) - len(next_observations), observations.shape[1]), dtype=np.float32)
        next_observations = np.concatenate([next_observations, missing])
    return Chunk(
        observations=observations,
        actions=episode.actions[start:stop],
        rewards=episode.rewards[start:stop, None],
        next_observations=next_observations,
        terminations=(steps == len(episode.observations) - 1) & episode.termination,
        episodes=np.full(len(steps), number),
        steps=steps,
    )


def _joined(waiting: list[Chunk]) -> Chunk:
    return (
        waiting[0] if len(waiting) == 1 else Chunk(*(np.concatenate(arrays) for arrays in zip(*waiting, strict=True)))
    )
