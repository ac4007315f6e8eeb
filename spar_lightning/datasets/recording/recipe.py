"""What every bundled data set has: a way to record it, and what to say of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gymnasium.envs.registration import EnvSpec

from spar_lightning.datasets.recording.rollout import RecordedEpisode


class Recipe(Protocol):
    """One bundled data set."""

    @property
    def dataset_id(self) -> str:
        """`spar/...`."""
        ...

    @property
    def algorithm(self) -> str:
        """By which the behaviour came about."""
        ...

    @property
    def reference(self) -> tuple[float, float]:
        """Returns that score 0 and 100."""
        ...

    @property
    def row_size(self) -> int:
        """Numbers that a transition takes."""
        ...

    def record(
        self, steps: int, seed: int, num_envs: int, report: Callable[[int], object]
    ) -> tuple[list[RecordedEpisode], EnvSpec]:
        """Record exactly `steps` transitions, which depend on steps and seed alone; `report` is told how many are.

        Raises:
            EnvironmentUnavailableError: the simulator is missing.
        """
        ...

    def description(self, steps: int, seed: int) -> str:
        """What such a recording is, for its metadata."""
        ...
