"""Whether the environment of a data set can be made on this machine, and fits the data."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from spar_lightning.data.dataset import OfflineDataset
from spar_lightning.data.simulators.environments import make_environment
from spar_lightning.types import UserError


@dataclass(frozen=True)
class EnvironmentReport:
    """What is known of the environment in which policies are evaluated."""

    id: str | None  # None where the data name none
    time_limit: int | None  # steps; None: unknown or none
    available: bool  # whether it can be made here
    note: str  # why not, or in what it differs from the data; empty where there is nothing to say


def inspect_environment(dataset: OfflineDataset) -> EnvironmentReport:
    """Make the environment of a data set, look at it, and close it; what fails is reported, not raised."""
    spec = dataset.environment_spec
    if spec is None:
        return EnvironmentReport(None, None, False, "the data name none: policies are trained, not evaluated")
    try:
        environment = make_environment(spec, dataset.observation_keys)
    except UserError as error:
        return EnvironmentReport(spec.id, spec.max_episode_steps, False, str(error))
    with contextlib.closing(environment):
        limit = environment.spec.max_episode_steps if environment.spec else spec.max_episode_steps
        return EnvironmentReport(spec.id, limit, True, _differences(dataset, environment))


def _differences(dataset: OfflineDataset, environment: gym.Env[Any, Any]) -> str:
    found = {
        "observations": (environment.observation_space, dataset.observation_dim),
        "actions": (environment.action_space, dataset.action_dim),
    }
    differences = [
        f"its {name} have the shape {space.shape}, those of the data ({width},)"
        for name, (space, width) in found.items()
        if isinstance(space, gym.spaces.Box) and space.shape != (width,)
    ]
    return " and ".join(differences)
