"""Reading a data set to its end, or to where it breaks."""

from __future__ import annotations

from collections.abc import Iterator

from spar_lightning.datasets.dataset import Episode, OfflineDataset
from spar_lightning.inspection.description.episodes import EpisodeSums
from spar_lightning.replay.quality import LostRewards
from spar_lightning.types import DataError

COLUMNS = ("observations", "actions", "rewards", "next_observations")


class Reading:
    """The episodes of a data set that make sense, and what is wrong with the others."""

    def __init__(self, dataset: OfflineDataset) -> None:
        self.sums = EpisodeSums()
        self._lost_rewards = LostRewards()
        self._dataset = dataset
        self._read = 0
        self._empty = 0
        self._unsound: list[str] = []
        self._stopped = ""

    def sound_episodes(self) -> Iterator[tuple[int, Episode]]:
        """Episodes with at least one transition and arrays of equal lengths, with their numbers."""
        episodes = self._dataset.episodes()
        while (episode := self._next(episodes)) is not None:
            number, self._read = self._read, self._read + 1
            problem = _problem(episode, self._dataset)
            if problem:
                self._unsound.append(f"episode {number} {problem}")
            elif len(episode.rewards) == 0:
                self._empty += 1
            else:
                self.sums.add(episode)
                self._lost_rewards.add(episode)
                yield number, episode

    def _next(self, episodes: Iterator[Episode]) -> Episode | None:
        try:
            return next(episodes, None)
        except DataError as error:
            if not self._read:
                raise
            self._stopped = str(error)
            return None

    def defects(self) -> list[str]:
        """What is wrong, apart from single values."""
        found = []
        if self._unsound:
            found.append(f"{len(self._unsound)} episode(s) are left out here; {self._unsound[0]}.")
        if self._empty:
            found.append(f"{self._empty} episode(s) hold no transition.")
        if self._stopped:
            found.append(f"Reading stopped after {self._read} episode(s): {self._stopped}")
        elif self._read != self._dataset.num_episodes:
            found.append(f"The data set states {self._dataset.num_episodes:,} episodes and holds {self._read:,}.")
        elif not self._unsound and self._dataset.num_transitions not in self._lengths():
            stated, held = self._dataset.num_transitions, self.sums.transitions
            found.append(f"The data set states {stated:,} transitions and holds {held:,}.")
        if (lost := self._lost_rewards.finding()) is not None:
            found.append(lost)
        return found

    def _lengths(self) -> tuple[int, int]:
        """Transitions with and without those that lack their next observation: sources state either."""
        return self.sums.transitions, self.sums.transitions - self.sums.lacking


def _problem(episode: Episode, dataset: OfflineDataset) -> str:
    steps = len(episode.observations)
    lengths = {name: len(getattr(episode, name)) for name in COLUMNS}
    if not (lengths["actions"] == lengths["rewards"] == steps and steps - 1 <= lengths["next_observations"] <= steps):
        return f"has arrays of different lengths: {', '.join(f'{count} {name}' for name, count in lengths.items())}"
    widths = episode.observations.shape[1:], episode.actions.shape[1:]
    if widths != ((dataset.observation_dim,), (dataset.action_dim,)):
        return f"has observations and actions of shapes {widths}, unlike the data set"
    return ""
