"""Whether each row goes on where the one before has ended: returns are summed along rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spar_lightning.datasets.dataset import FloatArray
from spar_lightning.replay.quality.chunk import Chunk

_APART = 1e-3  # relative; recordings differ by rounding
_ZERO = 1e-5  # difference that is rounding as well, near 0
_SHARE = 5e-4  # of the pairs, from which on they are no slips: one lost end of an episode in 2,000 rows
_SLIPS = 2  # that are let pass in any case
_MOST = 0.5  # of the ends, that go on
_LEAST = 2  # ends; one may be chance

BoolArray = npt.NDArray[np.bool_]


class OrderSums:
    """Compares each `next_observations` with the observation in the row that follows: some numbers in all."""

    def __init__(self) -> None:
        self._pairs = self._apart = 0  # within an episode
        self._ends = self._going_on = 0  # terminations with a row behind them
        self._transitions = self._terminations = 0
        self._last: tuple[FloatArray, int, bool] | None = None  # next observation, episode, termination
        self._first_apart: tuple[int, int] | None = None  # episode, step

    def add(self, chunk: Chunk) -> None:
        """Add rows that follow those added before."""
        before = chunk.next_observations[:0], chunk.episodes[:0], chunk.terminations[:0]
        if self._last is not None:
            before = tuple(np.array([part]) for part in self._last)  # type: ignore[assignment]
        nexts = np.concatenate([before[0], chunk.next_observations[:-1]])
        episodes = np.concatenate([before[1], chunk.episodes[:-1]])
        ended = np.concatenate([before[2], chunk.terminations[:-1]])
        rows = slice(len(chunk.steps) - len(nexts), None)
        near = _near(nexts, chunk.observations[rows])
        within = episodes == chunk.episodes[rows]
        apart = within & ~near
        self._pairs += int(within.sum())
        self._apart += int(apart.sum())
        self._ends += int(ended.sum())
        self._going_on += int((ended & near).sum())
        self._transitions += len(chunk.steps)
        self._terminations += int(chunk.terminations.sum())
        if self._first_apart is None and apart.any():
            row = int(apart.argmax())
            self._first_apart = int(chunk.episodes[rows][row]), int(chunk.steps[rows][row]) - 1
        self._last = chunk.next_observations[-1], int(chunk.episodes[-1]), bool(chunk.terminations[-1])

    def finding(self) -> str | None:
        """What does not follow, or goes on though it should not, and what mends it."""
        if self._first_apart is not None and self._apart > max(_SLIPS, _SHARE * self._pairs):
            episode, step = self._first_apart
            return (
                f"{self._apart:,} of {self._pairs:,} `next_observations` within episodes are not what the next row "
                f"observes, first at step {step} of episode {episode}: are rows shuffled, shifted or left out, ends "
                "of episodes not flagged, or the two arrays exchanged? Returns are summed along the rows: sort them "
                "by episode and time, and flag each end."
            )
        if self._terminations == self._transitions and self._ends >= _LEAST and self._going_on > _MOST * self._ends:
            return (
                f"All {self._terminations:,} rows are terminations, and yet {self._going_on:,} of the next ones go on "
                "where they have ended: do the flags say that the episode goes on? Values would be those of a single "
                "step: turn them round."
            )
        return None


def _near(one: FloatArray, other: FloatArray) -> BoolArray:
    """Which rows (N,) of two arrays (N, O) are equal but for rounding; those with NaN, told elsewhere, are."""
    with np.errstate(invalid="ignore", over="ignore"):
        far = np.abs(one - other) > _ZERO + _APART * np.maximum(np.abs(one), np.abs(other))
    near: BoolArray = ~far.any(axis=1)
    return near
