"""Rows that no step of the environment made: a vector environment's resets, recorded as if they were transitions.

Gymnasium's vector environments, since 1.0, reset in the step after an end (`AutoresetMode.NEXT_STEP`): that step
ignores its action, is rewarded with 0, and leads from the last observation to that of the reset. Whoever writes down
all steps has one such row after every end, but for those at which the rows of one environment end and those of another
begin. Source: `gymnasium.vector.AutoresetMode`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spar_lightning.datasets.dataset import FloatArray
from spar_lightning.replay.quality.chunk import Chunk

_SHARE = 0.5  # of the ends, that such a row follows: one whole episode of each environment will do
_LEAST = 2  # such rows; one may be chance
_ZEROS = 0.3  # share of the other rewards up to which one of 0 tells something
_CHANCE = 1e-3  # that all these rewards are 0 by themselves
_JUMP = 3.0  # times the usual change of an observation: a reset, and no step
_CHANGE = 2.0  # likewise, of a single dimension, where rewards tell as well
_SHARE_OF_DIMENSIONS = 0.5
_KEPT = 1000  # such rows whose changes are remembered

BoolArray = npt.NDArray[np.bool_]


class ResetRows:
    """Tells whether the rows after the ends of episodes are resets.

    An episode may begin where the one before ended, with a reward of 0, for another reason: one long stream was cut,
    and rewards are sparse, or differences. Such a row is a step like any other; a reset's leads far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._ends = 0
        self._others = 0
        self._zeros = 0
        self._changes: FloatArray | None = None  # sums over the other rows, (O,)
        self._jumps: list[FloatArray] = []
        self._last: FloatArray | None = None

    def add(self, chunk: Chunk) -> None:
        """Add rows that follow those added before."""
        after_ends, found = _candidates(chunk, self._last)
        self._last = chunk.next_observations[-1]
        count = int(found.sum())
        self.count += count
        self._ends += int(after_ends.sum())
        self._others += len(found) - count
        self._zeros += int((chunk.rewards == 0).sum()) - count
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is told elsewhere
            changes = np.abs(chunk.next_observations - chunk.observations)
        total = (changes[~found] if count else changes).sum(0, dtype=np.float64)
        self._changes = total if self._changes is None else self._changes + total
        self._jumps.extend(changes[found][: _KEPT - len(self._jumps)])

    @property
    def found(self) -> bool:
        """Whether these rows are resets, as far as rows can tell."""
        if self.count < max(_LEAST, _SHARE * self._ends):
            return False
        zeros = self._zeros / max(1, self._others)
        rewards_tell = zeros <= _ZEROS and zeros**self.count <= _CHANCE
        return self._jump() or (rewards_tell and self._changes_much())

    def _changes_much(self) -> bool:
        """Whether a dimension does: in a stream whose rewards are differences the first row's is 0, and it moves on."""
        usual, here = self._usual_and_here()
        return bool((here > _CHANGE * usual).any())

    def _usual_and_here(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        return np.asarray(self._changes) / max(1, self._others), np.median(self._jumps, axis=0)

    def _jump(self) -> bool:
        """Whether most dimensions that move at all move far; a goal that changes with the episode is but some."""
        usual, here = self._usual_and_here()
        moves = (usual > 0) | (here > 0)
        return bool(moves.any()) and float((here > _JUMP * usual)[moves].mean()) >= _SHARE_OF_DIMENSIONS


class _Candidates(NamedTuple):
    after_ends: BoolArray  # (N,) first rows of episodes that follow another
    found: BoolArray  # (N,) those of them that begin where the other ended, with a reward of 0


def _candidates(chunk: Chunk, last: FloatArray | None) -> _Candidates:
    """The rows of a chunk, after another one with the `last` next observation (O,)."""
    first = chunk.observations[:1] if last is None else last[None]
    before = np.concatenate([first, chunk.next_observations[:-1]])
    after_ends = chunk.steps == 0
    if last is None:
        after_ends[0] = False
    same = (chunk.observations[after_ends] == before[after_ends]).all(1)
    found = after_ends.copy()
    found[after_ends] = same & (chunk.rewards[after_ends, 0] == 0)
    return _Candidates(after_ends, found)


def reset_rows(chunks: Iterable[Chunk]) -> BoolArray:
    """Which rows (N,) of all chunks are such, in data where `ResetRows` has found them."""
    last, parts = None, []
    for chunk in chunks:
        parts.append(_candidates(chunk, last).found)
        last = chunk.next_observations[-1]
    return np.concatenate(parts)
