"""Trajectories that go on after their task was done: each such end begins another episode."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from spar_lightning.datasets.dataset import Episode, FloatArray


def cut_trajectory(
    observations: FloatArray,
    actions: FloatArray,
    rewards: FloatArray,
    next_observations: FloatArray,
    terminations: npt.NDArray[np.bool_],
) -> Iterator[Episode]:
    """The episodes of a trajectory, in order.

    Args:
        observations: (T, O).
        actions: (T, A).
        rewards: (T,).
        next_observations: (T, O), or (T-1, O) where nobody knows the last one.
        terminations: (T,), any number of them.
    """
    stops = np.flatnonzero(terminations) + 1
    if len(stops) == 0 or stops[-1] < len(rewards):
        stops = np.append(stops, len(rewards))
    start = 0
    for stop in stops.tolist():
        part = slice(start, stop)
        yield Episode(
            observations[part], actions[part], rewards[part], next_observations[part], bool(terminations[stop - 1])
        )
        start = stop
