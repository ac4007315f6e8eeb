"""Episodes whose numbers tell where they belong."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from spar_lightning.data import Episode


@pytest.fixture
def make_episode() -> Callable[..., Episode]:
    """Makes an episode of 3 observations and 2 actions whose values tell where they belong."""

    def make(length: int, termination: bool, start: float = 0.0, lacks_last: bool = False) -> Episode:
        times = start + np.arange(length + 1, dtype=np.float32)
        observations = np.stack([times, times + 0.25, times + 0.5], axis=1)
        return Episode(
            observations=observations[:-1],
            actions=np.stack([times, -times], axis=1)[:-1] / 1000,
            rewards=times[:-1] * 10,
            next_observations=observations[1:-1] if lacks_last else observations[1:],
            termination=termination,
        )

    return make
