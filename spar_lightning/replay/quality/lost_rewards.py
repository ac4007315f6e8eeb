"""Rewards of last steps that are left out, since nothing says what came after them, and that are unlike all others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from spar_lightning.datasets.dataset import Episode

_SLIPS = 2  # last rewards beyond all others that are let pass in any case
_SHARE = 0.01  # of the last rewards, likewise: some are the largest by chance


class LostRewards:
    """Gathers the last rewards of episodes that lack their last next observation: one number each."""

    def __init__(self) -> None:
        self._lost: list[float] = []
        self._low, self._high = np.inf, -np.inf  # of the rewards that are kept

    def add(self, episode: Episode) -> None:
        """Add an episode."""
        kept = episode.rewards
        if len(episode.next_observations) < len(kept) and not episode.termination:
            self._lost.append(float(kept[-1]))
            kept = kept[:-1]
        if len(kept):
            self._low, self._high = min(self._low, float(kept.min())), max(self._high, float(kept.max()))

    def watched(self, episodes: Iterable[Episode]) -> Iterator[Episode]:
        """The same episodes, added on the way."""
        for episode in episodes:
            self.add(episode)
            yield episode

    def finding(self) -> str | None:
        """What is lost, and what saves it."""
        if self._low > self._high:  # nothing is kept, as is told elsewhere
            return None
        lost = np.array(self._lost)
        beyond = lost[(lost < self._low) | (lost > self._high)]
        if len(beyond) <= max(_SLIPS, _SHARE * len(lost)):
            return None
        farthest = beyond[np.argmax(np.maximum(self._low - beyond, beyond - self._high))]
        return (
            f"The last steps of {len(lost):,} episodes are left out, since no next observation follows them and "
            f"nothing says that the task ended there; in {len(beyond):,} of them the reward, such as {farthest:g}, is "
            f"unlike all that are kept, {self._low:g} to {self._high:g}: is it what the task is about? Flag "
            "`terminations` there, or give `next_observations`."
        )
