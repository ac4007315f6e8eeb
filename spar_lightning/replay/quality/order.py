"""Whether each row goes on where the one before has ended: returns are summed along rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spar_lightning.datasets.dataset import FloatArray
from spar_lightning.replay.quality.chunk import Chunk

_APART = 0.5  # of the usual change of a dimension in a step; observations may be measured twice
_ROUNDING = 4  # units in the last place
_DIMENSIONS = 0.4  # share of those that change at all, so that a goal that is chosen anew for each row is none
_SHARE = 5e-4  # of the pairs, from which on they are no slips: one lost end of an episode in 2,000 rows
_SLIPS = 2  # that are let pass in any case
_MOST = 0.5  # of the ends, that go on
_LEAST = 2  # ends; one may be chance

BoolArray = npt.NDArray[np.bool_]


class OrderSums:
    """Compares each `next_observations` with the observation in the row that follows, by some numbers of all rows."""

    def __init__(self) -> None:
        self._pairs = self._apart = 0  # within an episode
        self._ends = self._going_on = 0  # terminations with a row behind them
        self._rows = self._terminations = 0
        self._changes: npt.NDArray[np.float64] | float = 0.0  # sums over the rows, (O,)
        self._last: tuple[FloatArray, int, bool] | None = None  # next observation, episode, termination
        self._first_apart: tuple[int, int] | None = None  # episode, step

    def add(self, chunk: Chunk) -> None:
        """Add rows that follow those added before."""
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is told elsewhere
            changes = self._changes + np.abs(chunk.next_observations - chunk.observations).cumsum(0, np.float64)
        usual = changes / (self._rows + np.arange(1, len(changes) + 1))[:, None]  # up to here, whatever the chunks
        self._changes = changes[-1]
        self._rows += len(changes)
        self._terminations += int(chunk.terminations.sum())
        nexts, episodes, ended = chunk.next_observations[:-1], chunk.episodes[:-1], chunk.terminations[:-1]
        if self._last is not None:
            next_observation, episode, termination = self._last
            nexts = np.concatenate([next_observation[None], nexts])
            episodes, ended = np.append(episode, episodes), np.append(termination, ended)
        self._last = chunk.next_observations[-1], int(chunk.episodes[-1]), bool(chunk.terminations[-1])
        rows = slice(len(chunk.steps) - len(nexts), None)
        apart, same = _compared(nexts, chunk.observations[rows], usual[rows])
        within = episodes == chunk.episodes[rows]
        self._pairs += int(within.sum())
        self._apart += int((apart & within).sum())
        self._ends += int(ended.sum())
        self._going_on += int((ended & same).sum())
        if self._first_apart is None and (apart & within).any():
            row = int((apart & within).argmax())
            self._first_apart = int(chunk.episodes[rows][row]), int(chunk.steps[rows][row]) - 1

    def finding(self) -> str | None:
        """What does not follow, or goes on though it should not, and what mends it."""
        if self._first_apart is not None and self._apart > max(_SLIPS, _SHARE * self._pairs):
            episode, step = self._first_apart
            return (
                f"{self._apart:,} of {self._pairs:,} `next_observations` within episodes are not what the next row "
                f"observes, first at step {step} of episode {episode}: are rows shuffled, shifted or left out, ends "
                "of episodes not flagged, or the two arrays exchanged? Returns are summed along the rows: sort them "
                "by episode and time, and flag each end. Where the two are just measured apart, nothing is wrong."
            )
        if self._terminations == self._rows and self._ends >= _LEAST and self._going_on > _MOST * self._ends:
            return (
                f"All {self._terminations:,} rows are terminations, and yet {self._going_on:,} of the next ones go on "
                "where they have ended: do the flags say that the episode goes on? Values would be those of a single "
                "step: turn them round."
            )
        return None


def _compared(one: FloatArray, other: FloatArray, usual: npt.NDArray[np.float64]) -> tuple[BoolArray, BoolArray]:
    """Which rows (N,) of two arrays (N, O) differ in many of the dimensions that change, and which do in none.

    Args:
        one: of the arrays.
        other: likewise.
        usual: (N, O) change in a step, by which a difference is measured.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(one - other)
        rounding = _ROUNDING * np.finfo(np.float32).eps * np.maximum(np.abs(one), np.abs(other))
        far = difference > _APART * np.where(np.isfinite(usual), usual, np.inf) + rounding
    counted = (far | (usual > 0)) & ((one != 0) | (other != 0))  # a contact that is none on both sides tells nothing
    return far.any(1) & (far.sum(1) >= _DIMENSIONS * counted.sum(1)), ~(difference > rounding).any(1)
