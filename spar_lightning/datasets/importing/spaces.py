"""Which spaces a data set of vectors states, so that it fits the environment it comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from spar_lightning.datasets.dataset import FloatArray, OfflineDataset
from spar_lightning.simulators.observations import default_keys, flat_dimension
from spar_lightning.types import DataError


class StatedSpaces(NamedTuple):
    """Spaces of observations and actions, and how vectors become what the former has."""

    observations: gym.Space[Any]
    actions: gym.spaces.Box
    as_stored: Callable[[FloatArray], Any]  # (T, O) -> (T, O), or a dict of (T, ...)


def stated_spaces(dataset: OfflineDataset, environment: gym.Env[Any, Any] | None) -> StatedSpaces:
    """The environment's spaces; without one, boxes as wide as the data set says.

    Of an environment with dict observations the parts are stated that the vectors hold.

    Raises:
        DataError: the environment's observations or actions have other numbers of dimensions.
    """
    if environment is None:
        observations = gym.spaces.Box(-np.inf, np.inf, (dataset.observation_dim,), np.float32)
        return StatedSpaces(
            observations, gym.spaces.Box(dataset.action_low, dataset.action_high, dtype=np.float32), _unchanged
        )
    actions, space = environment.action_space, environment.observation_space
    keys = dataset.observation_keys or ()
    if not keys and isinstance(space, gym.spaces.Dict):
        keys = default_keys(space, environment.spec.id if environment.spec else None)
    found = (flat_dimension(space, keys) if keys else _size(space), _size(actions))
    if found != (dataset.observation_dim, dataset.action_dim) or not isinstance(actions, gym.spaces.Box):
        name = environment.spec.id if environment.spec else str(environment)
        raise DataError(
            f"`{dataset.name}` has {dataset.observation_dim} observation and {dataset.action_dim} action dimensions, "
            f"`{name}` has {found[0]} and {found[1]}{f' (of {list(keys)})' if keys else ''}: name the environment that "
            "the data come from, and the parts of its dict observations with `--observation_keys`."
        )
    if not keys:
        return StatedSpaces(space, actions, _unchanged)
    parts = gym.spaces.Dict([(key, _part(space, key)) for key in keys])
    return StatedSpaces(parts, actions, partial(_split, parts.spaces))


def _size(space: gym.Space[Any]) -> int | None:
    return space.shape[0] if isinstance(space, gym.spaces.Box) and len(space.shape) == 1 else None


def _part(space: gym.Space[Any], key: str) -> gym.spaces.Box:
    part = space.spaces[key] if isinstance(space, gym.spaces.Dict) else space
    if not isinstance(part, gym.spaces.Box):
        raise DataError(
            f"The part `{key}` of the observations is {part}, into which vectors cannot be split; expected a Box."
        )
    return part


def _unchanged(observations: FloatArray) -> FloatArray:
    return observations


def _split(parts: Mapping[str, Any], observations: FloatArray) -> dict[str, FloatArray]:
    ends = np.cumsum([int(np.prod(part.shape)) for part in parts.values()])
    columns = np.split(observations, ends[:-1], axis=1)
    return {
        key: column.reshape(len(column), *part.shape)
        for (key, part), column in zip(parts.items(), columns, strict=True)
    }
