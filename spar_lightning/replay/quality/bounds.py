"""Whose bounds of the actions count."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from spar_lightning.datasets.dataset import FloatArray, OfflineDataset


def action_bounds(dataset: OfflineDataset, environment: gym.Env[Any, Any] | None) -> tuple[FloatArray, FloatArray]:
    """Lower and upper bounds (A,): those that the data state, else those of the environment that the user named.

    Args:
        dataset: whose bounds are infinite where it states none.
        environment: that the user named; None if none was.
    """
    space = None if environment is None else environment.action_space
    stated = np.isfinite([dataset.action_low, dataset.action_high]).any()
    if stated or not isinstance(space, gym.spaces.Box) or space.shape != dataset.action_low.shape:
        return dataset.action_low, dataset.action_high
    return space.low.astype(np.float32), space.high.astype(np.float32)
