"""All checks in one pass, and what they say."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spar_lightning.datasets.dataset import FloatArray
from spar_lightning.replay.quality.chunk import Chunk
from spar_lightning.replay.quality.ends import EndSums
from spar_lightning.replay.quality.order import OrderSums
from spar_lightning.replay.quality.outliers import OutlierSums
from spar_lightning.replay.quality.reset_rows import ResetRows
from spar_lightning.replay.quality.resolution import ResolutionSums
from spar_lightning.replay.quality.units import UnitSums


class Finding(NamedTuple):
    """Something that is wrong, or looks so."""

    text: str  # sentences that say what, where, and what mends it
    refused: bool  # whether nothing sensible can be trained, rather than something worse than need be


class Quality:
    """Looks at all rows of a data set, chunk by chunk.

    Args:
        action_low: (A,) bounds that the actions should keep, -inf for none.
        action_high: (A,) likewise, inf for none.
        observation_dim: number of observation dimensions.
        time_limit: of the environment, in steps; None where none is known.
        ends_flagged_twice: whether the data flag every end as a termination and as a truncation.
        ends_are_successes: whether the user said where the task was done, so that no end is suspicious.
    """

    def __init__(
        self,
        action_low: FloatArray,
        action_high: FloatArray,
        observation_dim: int,
        time_limit: int | None = None,
        ends_flagged_twice: bool = False,
        ends_are_successes: bool = False,
    ) -> None:
        widths = {
            "observations": observation_dim,
            "actions": len(action_low),
            "rewards": 1,
            "next_observations": observation_dim,
        }
        self.reset_rows = ResetRows()
        self._ends_are_successes = ends_are_successes
        self._ends = EndSums(time_limit, ends_flagged_twice)
        self._order = OrderSums()
        self._units = UnitSums(action_low, action_high)
        self._resolution = ResolutionSums(observation_dim)
        self._outliers = {name: OutlierSums(width) for name, width in widths.items()}
        self._rewards = (np.inf, -np.inf)
        self._terminates = False

    def add(self, chunk: Chunk) -> None:
        """Add rows that follow those added before; at least one."""
        self.reset_rows.add(chunk)
        self._ends.add(chunk)
        self._order.add(chunk)
        self._units.add(chunk.actions)
        self._resolution.add(chunk.observations)
        for name, sums in self._outliers.items():
            sums.add(getattr(chunk, name), chunk.episodes, chunk.steps)
        low, high = self._rewards
        self._rewards = min(low, float(chunk.rewards.min())), max(high, float(chunk.rewards.max()))
        self._terminates |= bool(chunk.terminations.any())

    def findings(self) -> list[Finding]:
        """What is wrong with the rows added so far; what is refused comes first."""
        units = self._units.finding()
        refused = [self._resets(), units if self._units.is_far else None]
        told = [
            None if self._units.is_far else units,
            self._units.equal(),
            self._order.finding(),
            None if self._ends_are_successes else self._ends.finding(),
            self._units.small(),
            *self._resolution.findings(),
            self._equal_rewards(),
            *(self._outlier(name) for name in self._outliers),
        ]
        return [Finding(text, True) for text in refused if text] + [Finding(text, False) for text in told if text]

    def _resets(self) -> str | None:
        if not self.reset_rows.found:
            return None
        return (
            f"{self.reset_rows.count:,} rows after the ends of episodes are no steps but resets: they begin where the "
            "episode before ended, with a reward of 0, as a vector environment of Gymnasium records them. Drop them "
            "(`data.drop_reset_rows: true`), or record with `AutoresetMode.SAME_STEP` or without them."
        )

    def _equal_rewards(self) -> str | None:
        low, high = self._rewards
        if low != high:
            return None
        apart = " apart from when episodes terminate," if low != 0 and self._terminates else ""
        return f"All rewards are equal ({low:g}):{apart} only cloning is meaningful. Were they recorded?"

    def _outlier(self, name: str) -> str | None:
        found = self._outliers[name].worst()
        if found is None:
            return None
        more = f" ({found.dimensions} dimensions have such values)" if found.dimensions > 1 else ""
        return (
            f"`{name}` is {found.value:.4g} in dimension {found.dimension} at step {found.step} of episode "
            f"{found.episode}, {found.ratio:.2g} times as far from the middle as others{more}: beside such a value all "
            "others look the same. Repair or remove that episode."
        )
