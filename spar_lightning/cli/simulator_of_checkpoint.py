"""The environment that a checkpoint's policy is evaluated in: told by the checkpoint, without the data."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from lightning.pytorch.utilities import rank_zero_warn

from spar_lightning.cli.data_of_checkpoint import EVALUATED_DATA, check_not_fetched, check_not_imported
from spar_lightning.datasets.dataset import check_time_limit
from spar_lightning.replay import OfflineDataModule
from spar_lightning.simulators.environments import make_environment, register_environments
from spar_lightning.simulators.observations import default_keys
from spar_lightning.simulators.simulator import Simulator
from spar_lightning.training import AlgorithmModule
from spar_lightning.training.checkpoints import SIMULATOR_KEY, read_checkpoint
from spar_lightning.types import CheckpointError, UserError


def simulator_of(
    path: str | Path,
    policy: AlgorithmModule,
    environment: str | None = None,
    max_episode_steps: int | None = None,
    observation_keys: Sequence[str] | None = None,
) -> Simulator:
    """Where a policy is evaluated: what the user names, else what its checkpoint says.

    Args:
        path: of the checkpoint.
        policy: that is in it.
        environment: a Gymnasium id; `module:Id` imports the module first.
        max_episode_steps: time limit, instead of the environment's own.
        observation_keys: parts of dict observations, where they are not those that the checkpoint or the task says.

    Raises:
        UserError: if the checkpoint does not say it, the time limit is none, or would have a module imported.
        CheckpointError: if what it says cannot be read.
    """
    check_time_limit(max_episode_steps)
    found = _stated(path, policy) if environment is None else _named(environment, policy, _recorded_keys(path))
    if observation_keys is not None:
        found = dataclasses.replace(found, observation_keys=tuple(observation_keys))
    if max_episode_steps is not None:
        spec = dataclasses.replace(found.spec, max_episode_steps=max_episode_steps)
        found = dataclasses.replace(found, spec=spec, stated=None)  # returns of as many steps have another scale
    return found


def _stated(path: str | Path, policy: AlgorithmModule) -> Simulator:
    checkpoint = read_checkpoint(path)
    if SIMULATOR_KEY not in checkpoint:
        return _of_earlier_version(path, checkpoint, policy)
    try:
        found = Simulator.from_entry(checkpoint[SIMULATOR_KEY])
    except CheckpointError as error:
        raise CheckpointError(f"{path} is no sound checkpoint: {error}. Name the one with --environment") from error
    if found.module:
        check_not_imported(path, f"{found.module}:{found.spec.id}", "--environment")
    return found


def _of_earlier_version(path: str | Path, checkpoint: dict[str, Any], policy: AlgorithmModule) -> Simulator:
    """As `test` finds it, from the data; where these are not here, by the id that the run has noted."""
    recorded = checkpoint.get("datamodule_hyper_parameters", {})
    named = recorded.get("environment")
    check_not_imported(path, named, "--environment")
    try:
        check_not_fetched(path, recorded.get("dataset"))
        return OfflineDataModule(**{key: recorded[key] for key in EVALUATED_DATA if key in recorded}).simulator
    except UserError as error:
        rollouts = checkpoint.get("callbacks", {}).get("RolloutEvaluation", {})
        noted = named or (rollouts.get("environment_id") if isinstance(rollouts, dict) else None)
        if not isinstance(noted, str):
            raise UserError(
                f"{path} does not say in which environment its policy is evaluated, and its data cannot tell ({error}):"
                " name it with --environment"
            ) from error
        rank_zero_warn(f"{path} is of an earlier version, and its data are not here: {noted} is taken as registered")
        return _named(noted, policy, recorded.get("observation_keys"))


def _recorded_keys(path: str | Path) -> list[str] | None:
    checkpoint = read_checkpoint(path)
    entry = checkpoint.get(SIMULATOR_KEY) or checkpoint.get("datamodule_hyper_parameters", {})
    keys: list[str] | None = entry.get("observation_keys")
    return keys


def _named(environment: str, policy: AlgorithmModule, keys: Sequence[str] | None) -> Simulator:
    module, _, name = environment.rpartition(":")
    register_environments(module)
    try:
        spec = EnvSpec(name)
    except gym.error.Error as error:
        raise UserError(
            f"`environment` is {environment}, expected the id of a Gymnasium environment, such as Hopper-v5"
        ) from error
    if keys is None:
        with contextlib.closing(make_environment(spec)) as made:
            if isinstance(made.observation_space, gym.spaces.Dict):
                keys = default_keys(made.observation_space, name)
    return Simulator(spec, None if keys is None else tuple(keys), policy.observation_dim, policy.action_dim, module)
