"""Time-outs that were stored as terminations: the task did not end there, and its value is not 0."""

from __future__ import annotations

import numpy as np

from spar_lightning.replay.quality.chunk import Chunk, IntArray

_OFF_BY_ONE = 1  # D4RL's flags cut some episodes one step before the time limit


class EndSums:
    """Gathers lengths and ends of episodes: some bytes each.

    Args:
        time_limit: of the environment, in steps; None where none is known.
        flagged_twice: whether the data flag every end as a termination and as a truncation.
    """

    def __init__(self, time_limit: int | None, flagged_twice: bool) -> None:
        self._limit = time_limit
        self._flagged_twice = flagged_twice
        self._lengths: list[IntArray] = []
        self._terminated: list[IntArray] = []
        self._last: tuple[int, bool] | None = None  # length and end of the episode that goes on, or has just ended

    def add(self, chunk: Chunk) -> None:
        """Add rows that follow those added before."""
        before = (0, False) if self._last is None else self._last
        starts = np.flatnonzero(chunk.steps == 0)
        lengths = np.where(starts > 0, chunk.steps[starts - 1] + 1, before[0])
        terminated = np.where(starts > 0, chunk.terminations[starts - 1], before[1])
        known = slice(1 if self._last is None else 0, None)
        self._lengths.append(lengths[known].astype(np.int64))
        self._terminated.append(terminated[known].astype(np.int64))
        self._last = int(chunk.steps[-1]) + 1, bool(chunk.terminations[-1])

    def finding(self) -> str | None:
        """What is suspicious of the ends, and what mends it."""
        why = self._suspicion()
        if why is None:
            return None
        return (
            f"{why}: are they time-outs? A termination says that nothing comes after it, so that the values of the "
            "steps before are too low. Where only the recording ended, set `truncations` (`timeouts`) there, and "
            "`terminations` (`terminals`) to 0."
        )

    def _suspicion(self) -> str | None:
        if self._last is None:
            return None
        whole, ended = np.concatenate(self._lengths), np.concatenate(self._terminated) > 0
        lengths, terminated = np.append(whole, self._last[0]), np.append(ended, self._last[1])
        if self._flagged_twice and terminated.sum() > 1:
            return f"All {terminated.sum():,} terminations are flagged as truncations as well"
        if self._limit is not None:
            at_limit = terminated & (lengths >= self._limit - _OFF_BY_ONE) & (lengths <= self._limit)
            by_chance = min(0.5, max(0.1, 4 / self._limit))  # share of them that fall there, and much more
            if at_limit.sum() > max(1, by_chance * terminated.sum()):
                return f"{at_limit.sum():,} of {terminated.sum():,} terminations are just at the time limit"
        # The last episode may have been cut off with the recording.
        if len(whole) > 1 and ended.all() and whole.min() == whole.max() > 1 and lengths[-1] <= whole[0]:
            return f"All episodes end with a termination after the same {whole[0]:,} steps"
        return None
