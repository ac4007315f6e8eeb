"""The one shape that every source of data gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from gymnasium.envs.registration import EnvSpec

FloatArray = npt.NDArray[np.float32]


class Episode(NamedTuple):
    """T consecutive transitions; only a termination ends the task, a truncation merely ends the recording."""

    observations: FloatArray  # (T, O)
    actions: FloatArray  # (T, A)
    rewards: FloatArray  # (T,)
    next_observations: FloatArray  # (T, O), or (T-1, O) where the source lacks the last one
    termination: bool  # whether the last transition ended the task


@dataclass(frozen=True)
class OfflineDataset:
    """What is known of a data set before its transitions are read, and the way to read them."""

    name: str
    observation_dim: int
    action_dim: int
    action_low: FloatArray  # (A,), -inf where the source does not say
    action_high: FloatArray  # (A,), +inf where the source does not say
    num_episodes: int
    num_transitions: int
    environment_spec: EnvSpec | None
    reference_scores: tuple[float, float] | None  # returns that score 0 and 100
    read: Callable[[], Iterator[Episode]]

    def episodes(self) -> Iterator[Episode]:
        """Read the episodes, in the order in which they were recorded.

        Raises:
            DataError: the stored data cannot be read, or do not have the shapes that the data set states.
        """
        return self.read()
