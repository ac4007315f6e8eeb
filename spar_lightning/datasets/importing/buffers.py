"""From episodes of any source to the form in which Minari stores them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from minari.data_collector import EpisodeBuffer

from spar_lightning.datasets.dataset import Episode, FloatArray
from spar_lightning.types import DataError

StartStates = Mapping[str, np.ndarray[Any, Any]]
"""Part of the simulator's state -> (E, K), at the start of each of E episodes."""

START_OPTION = "initial_state_dict"
"""Under this name of the reset options Gymnasium-Robotics' hands take the state to start from (`adroit_hand`)."""


@dataclass
class Conversion:
    """What became of the episodes."""

    episodes: int = 0
    transitions: int = 0
    dropped: int = 0  # transitions
    repeated: int = 0  # observations
    outside: int = 0  # transitions whose action is outside the bounds
    not_finite: int = 0  # values that are NaN or infinite

    def counts(self) -> dict[str, int]:
        """What is different from the source, by name."""
        return {
            "dropped_transitions": self.dropped,
            "repeated_observations": self.repeated,
            "actions_outside_bounds": self.outside,
            "values_not_finite": self.not_finite,
        }

    def buffers(
        self,
        episodes: Iterable[Episode],
        as_stored: Callable[[FloatArray], Any],
        bounds: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]],
        starts: StartStates,
    ) -> Iterator[EpisodeBuffer]:
        """Convert episodes one by one, and count.

        Minari stores T+1 observations of an episode with T transitions. Where the last one is not known, the last
        transition is dropped; unless it is a termination, after which no observation matters: then the last known one
        is repeated.

        Args:
            episodes: of the source.
            as_stored: vectors (T+1, O) -> what the stated observation space has.
            bounds: of the actions, (A,) each.
            starts: states at the starts of the episodes; they become reset options.

        Raises:
            DataError: a next observation is not the observation that follows, which Minari cannot express.
        """
        for number, episode in enumerate(episodes):
            observations = self._observations(episode, number)
            steps = len(observations) - 1
            if steps < 1:
                continue
            actions, rewards = episode.actions[:steps], episode.rewards[:steps]
            self.episodes += 1
            self.transitions += steps
            self.outside += int(((actions < bounds[0]) | (actions > bounds[1])).any(axis=1).sum())
            self.not_finite += sum(int((~np.isfinite(part)).sum()) for part in (observations, actions, rewards))
            ends = np.arange(steps) == steps - 1
            arrays: dict[str, Any] = {
                "observations": as_stored(observations),
                "actions": actions,
                "rewards": rewards,
                "terminations": ends & episode.termination,
                "truncations": ends & (not episode.termination),
            }
            options = {START_OPTION: {name: values[number] for name, values in starts.items()}} if starts else None
            yield EpisodeBuffer(options=options, **arrays)

    def _observations(self, episode: Episode, number: int) -> FloatArray:
        """All observations of an episode, (T+1, O), where T may be one less than in the source."""
        following = episode.next_observations
        after, stated = episode.observations[1:], following[: len(episode.observations) - 1]
        differs = ((after != stated) & ~(np.isnan(after) & np.isnan(stated))).any(axis=1)
        if differs.any():
            raise DataError(
                f"`next_observations` of step {int(differs.argmax())} of episode {number} is not the observation of "
                "the step after it, as Minari's format needs it: mark the end of an episode there, or train on the "
                "source as it is."
            )
        if len(following) == len(episode.observations):
            return np.concatenate([episode.observations, following[-1:]])
        if episode.termination:
            self.repeated += 1
            return np.concatenate([episode.observations, episode.observations[-1:]])
        self.dropped += 1
        return episode.observations
