"""Whether the environment of a data set can be made on this machine, and fits the data."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from spar_lightning.datasets.dataset import FloatArray, OfflineDataset
from spar_lightning.replay.quality import action_bounds
from spar_lightning.simulators.environments import make_environment
from spar_lightning.types import UserError


@dataclass(frozen=True)
class EnvironmentReport:
    """What is known of the environment in which policies are evaluated."""

    id: str | None  # None where the data name none
    time_limit: int | None  # steps; None: unknown or none
    available: bool  # whether it can be made here
    note: str  # why not, or in what it differs from the data; empty where there is nothing to say
    differs: bool = False  # whether the data cannot be of it


def inspect_environment(dataset: OfflineDataset) -> tuple[EnvironmentReport, tuple[FloatArray, FloatArray]]:
    """Make the environment of a data set, look at it, and close it; what fails is reported, not raised.

    Returns:
        What is known of it, and the bounds (A,) that the actions should keep.
    """
    spec, bounds = dataset.environment_spec, action_bounds(dataset, None)
    if spec is None:
        note = "the data name none: policies are trained, not evaluated"
        return EnvironmentReport(None, None, False, note), bounds
    try:
        environment = make_environment(spec, dataset.observation_keys)
    except UserError as error:
        return EnvironmentReport(spec.id, spec.max_episode_steps, False, str(error)), bounds
    with contextlib.closing(environment):
        limit = environment.spec.max_episode_steps if environment.spec else spec.max_episode_steps
        differences = _differences(dataset, environment)
        report = EnvironmentReport(spec.id, limit, True, differences, bool(differences))
        return report, action_bounds(dataset, environment if dataset.environment_named else None)


def _differences(dataset: OfflineDataset, environment: gym.Env[Any, Any]) -> str:
    found = {
        "observations": (environment.observation_space, dataset.observation_dim),
        "actions": (environment.action_space, dataset.action_dim),
    }
    differences = [
        f"its {name} have the shape {space.shape}, those of the data ({width},)"
        if isinstance(space, gym.spaces.Box)
        else f"its {name} are {space}, those of the data {width} numbers"
        for name, (space, width) in found.items()
        if not isinstance(space, gym.spaces.Box) or space.shape != (width,)
    ]
    return " and ".join(differences)
