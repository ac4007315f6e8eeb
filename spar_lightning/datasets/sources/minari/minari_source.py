"""Minari data sets: those on this machine, and published ones, which are downloaded on first use."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from minari.dataset.minari_dataset import MinariDataset

from spar_lightning.datasets.dataset import FloatArray, OfflineDataset, fingerprint_of
from spar_lightning.datasets.sources.minari.episodes import Shape, read_episodes
from spar_lightning.datasets.sources.minari.loading import check_minari_id, load_minari, remedy
from spar_lightning.simulators.observations import default_keys, flat_dimension, flatten_observations
from spar_lightning.simulators.reference_scores import ScoreScale, score_scale
from spar_lightning.types import DataError


def open_minari(name: str, observation_keys: Sequence[str] | None = None) -> OfflineDataset:
    """Open a Minari data set with continuous observations and actions, reading metadata only.

    One that is not on this machine is downloaded first. Episodes keep their ends: Minari's AntMaze does not terminate
    at the goal but rewards every step there until the time limit (`continuing_task`), whereas D4RL's terminates.

    Args:
        name: id of the data set, such as `mujoco/walker2d/medium-v0`.
        observation_keys: the parts of dict observations that become the vectors, in this order; by default those that
            the environment's family needs (`default_keys`). For AntMaze these are `achieved_goal`, `observation` and
            `desired_goal`; D4RL's own has the state without the goal, which `achieved_goal` and `observation` give.

    Raises:
        DataError: the name is no id of Minari's, the data set is neither here nor can it be downloaded, it is
            incomplete, its metadata cannot be read or make no sense, its spaces are of another kind, or its
            observations lack a key.
    """
    check_minari_id(name)
    stored = load_minari(name)
    spec = _environment_spec(name, stored)
    actions = _vector_space(name, "action", stored.action_space)
    keys, shape = _shape(name, stored, spec, actions, observation_keys)
    return OfflineDataset(
        name=name,
        observation_dim=shape.observation_dim,
        action_dim=shape.action_dim,
        action_low=_float32(actions.low),
        action_high=_float32(actions.high),
        num_episodes=int(stored.total_episodes),
        num_transitions=int(stored.total_steps),
        environment_spec=spec,
        observation_keys=keys,
        scale=_scale(name, stored, spec),
        fingerprint=fingerprint_of(stored.storage.data_path.iterdir()),
        read=partial(read_episodes, name, stored, shape, remedy(name, stored.storage.data_path.parent)),
    )


def _environment_spec(name: str, stored: MinariDataset) -> EnvSpec | None:
    """The environment for evaluation, where the data set names one beside that in which it was recorded."""
    evaluation: EnvSpec | None = stored._eval_env_spec  # Minari itself only gives out an environment made from it
    spec: EnvSpec | None = stored.env_spec if evaluation is None else evaluation
    if spec is not None:
        _check_spec(name, "kwargs", spec.kwargs, dict, "names and values")
        _check_spec(name, "max_episode_steps", spec.max_episode_steps, int | None, "a number of steps, or none")
    return spec


def _check_spec(name: str, setting: str, found: Any, kind: Any, expected: str) -> None:
    if not isinstance(found, kind):
        raise DataError(
            f"`{name}` has an environment in its metadata whose `{setting}` is {found!r}, expected {expected}: correct "
            "or remove it in `env_spec` (`eval_env_spec`)."
        )


def _shape(
    name: str,
    stored: MinariDataset,
    spec: EnvSpec | None,
    actions: gym.spaces.Box,
    observation_keys: Sequence[str] | None,
) -> tuple[tuple[str, ...] | None, Shape]:
    """The keys that are used, if observations are dicts, and what the arrays must look like."""
    space = stored.observation_space
    as_vectors: Callable[[Any], FloatArray]
    if isinstance(space, gym.spaces.Dict) or observation_keys is not None:
        keys = default_keys(space, spec.id if spec else name) if observation_keys is None else tuple(observation_keys)
        try:
            dimension = flat_dimension(space, keys)
        except DataError as error:
            raise DataError(f"`{name}` cannot be opened so: {error}") from error
        as_vectors = partial(flatten_observations, space, keys=keys)
        return keys, Shape(dimension, actions.shape[0], as_vectors)
    box = _vector_space(name, "observation", space)
    return None, Shape(box.shape[0], actions.shape[0], _as_stored)


def _as_stored(observations: Any) -> Any:
    return observations


def _vector_space(name: str, role: str, space: gym.Space[Any]) -> gym.spaces.Box:
    if isinstance(space, gym.spaces.Box) and len(space.shape) == 1 and np.issubdtype(space.dtype, np.floating):
        if space.shape[0] == 0:
            raise DataError(f"`{name}` has the {role} space {space}, expected at least one dimension.")
        return space
    raise DataError(
        f"`{name}` has the {role} space {space}; expected a one-dimensional Box of floats, since the policies here "
        "take vectors and give continuous actions. Discrete and image spaces are not supported."
    )


def _float32(bounds: np.ndarray[Any, Any]) -> FloatArray:
    with np.errstate(over="ignore"):  # a float64 that is too large becomes infinite, that is unbounded
        return bounds.astype(np.float32)


def _scale(name: str, stored: MinariDataset, spec: EnvSpec | None) -> ScoreScale:
    metadata = stored.storage.metadata
    stated = metadata.get("ref_min_score"), metadata.get("ref_max_score")
    known = score_scale(spec)
    if None not in stated:
        try:
            low, high = map(float, stated)
        except (TypeError, ValueError, OverflowError):
            low = high = math.nan
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise DataError(
                f"`{name}` has the reference scores {stated[0]!r} and {stated[1]!r} in its metadata, expected finite "
                "numbers, the first below the second: correct or remove `ref_min_score` and `ref_max_score`."
            )
        return known if known.reference == (low, high) else ScoreScale((low, high), "stated by the data set")
    return known
