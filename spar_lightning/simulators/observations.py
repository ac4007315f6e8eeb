"""Dict observations as vectors: the same ones for data and for environments.

Goal-conditioned tasks give a dict, and which of its parts a policy needs differs from task to task. So the parts are
named by keys, and put side by side in the order of the keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from spar_lightning.types import DataError, EnvironmentUnavailableError

FloatArray = npt.NDArray[np.float32]

_FAMILIES: dict[str, tuple[str, ...]] = {
    # The achieved goal is the ant's (x, y), which the 27 (v5: 105) numbers of `observation` leave out.
    "antmaze": ("achieved_goal", "observation", "desired_goal"),
    # The achieved goal is part of `observation`.
    "fetch": ("observation", "desired_goal"),
    "handmanipulate": ("observation", "desired_goal"),
    "handreach": ("observation", "desired_goal"),
    "pointmaze": ("observation", "desired_goal"),
    # The goals are the same in every episode; the achieved ones are joints and objects, part of `observation`.
    "frankakitchen": ("observation",),
    "kitchen": ("observation",),
}
"""How the name of an environment or data set begins -> the keys that a policy needs.

Source: what the environments of gymnasium-robotics 1.4.2 (`envs/`) put into their dicts.
"""


def default_keys(space: gym.spaces.Dict, name: str | None) -> tuple[str, ...]:
    """The keys that the family of an environment or data set needs; of an unknown one all, in the space's order.

    Args:
        space: of the observations.
        name: id of an environment, such as `AntMaze_UMaze-v4`, or of a data set, such as `D4RL/antmaze/umaze-v1`.

    >>> box = gym.spaces.Box(-1, 1, (2,))
    >>> goals = gym.spaces.Dict(observation=box, achieved_goal=box, desired_goal=box)
    >>> default_keys(goals, "AntMaze_UMaze-v4")
    ('achieved_goal', 'observation', 'desired_goal')
    >>> default_keys(goals, None)
    ('observation', 'achieved_goal', 'desired_goal')
    """
    parts = (name or "").lower().split("/")
    for family, keys in _FAMILIES.items():
        if any(part.startswith(family) for part in parts) and all(key in space.spaces for key in keys):
            return keys
    return tuple(space.spaces)


def flat_dimension(space: gym.Space[Any], keys: Sequence[str]) -> int:
    """The number of dimensions, O, of the parts `keys` side by side.

    Raises:
        DataError: the space is no dict, has no such part, or a part is no box of floats.
    """
    return sum(int(np.prod(box.shape)) for _, box in _boxes(space, keys))


def flatten_observations(space: gym.Space[Any], observations: Mapping[str, Any], keys: Sequence[str]) -> FloatArray:
    """The parts `keys` of T observations side by side, (T, O) float32.

    A part that is a dict itself is flattened in the order of its space, as `gymnasium.spaces.flatten` does.

    Args:
        space: of one observation.
        observations: nested dict of arrays, (T, ...) each.
        keys: the parts, in the order of the result.

    Raises:
        DataError: the space does not have these parts, or the observations are not of this space or differ in length.
    """
    columns: list[FloatArray] = []
    for path, box in _boxes(space, keys):
        found = np.asarray(_at(observations, path))
        if found.shape[1:] != box.shape or (columns and len(found) != len(columns[0])):
            raise DataError(
                f"`{'.'.join(path)}` of the observations has shape {found.shape}, expected "
                f"{(len(columns[0]) if columns else 'T', *box.shape)}: the recording is damaged."
            )
        columns.append(found.reshape(len(found), -1).astype(np.float32))
    return np.concatenate(columns, axis=1)


class FlatObservations(gym.ObservationWrapper[FloatArray, Any, Any]):
    """The parts `keys` of the dict observations of an environment side by side, (O,) float32.

    Args:
        env: whose observations are dicts.
        keys: the parts, in this order.

    Raises:
        EnvironmentUnavailableError: the observations are no dicts, lack a part, or a part is no box of floats.
    """

    def __init__(self, env: gym.Env[Any, Any], keys: Sequence[str]) -> None:
        super().__init__(env)
        try:
            self._paths, boxes = zip(*_boxes(env.observation_space, keys), strict=True)
        except DataError as error:
            name = env.spec.id if env.spec else type(env.unwrapped).__name__
            raise EnvironmentUnavailableError(f"The environment `{name}` does not fit: {error}") from error
        with np.errstate(over="ignore"):  # a float64 that is too large becomes infinite, that is unbounded
            low, high = (
                np.concatenate([getattr(box, side).ravel() for box in boxes]).astype(np.float32)
                for side in ("low", "high")
            )
        self.observation_space = gym.spaces.Box(low, high, dtype=np.float32)

    def observation(self, observation: Mapping[str, Any]) -> FloatArray:
        """The vector (O,) of one observation."""
        return np.concatenate([np.ravel(_at(observation, path)) for path in self._paths]).astype(np.float32)


def _boxes(space: gym.Space[Any], keys: Sequence[str]) -> Iterator[tuple[tuple[str, ...], gym.spaces.Box]]:
    """The boxes that make up the parts `keys`, each with the keys that lead to it."""
    if not isinstance(space, gym.spaces.Dict):
        raise DataError(
            f"`observation_keys` is {list(keys)}, but the observations are {space}, which has no parts: leave out "
            "`observation_keys`."
        )
    if not keys or len(set(keys)) < len(keys):
        raise DataError(f"`observation_keys` is {list(keys)}, expected one or more different keys.")
    for key in keys:
        if key not in space.spaces:
            raise DataError(
                f"`observation_keys` names `{key}`, but the observations have {', '.join(map(repr, space.spaces))}."
            )
        yield from _leaves(space.spaces[key], (key,))


def _leaves(space: gym.Space[Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], gym.spaces.Box]]:
    if isinstance(space, gym.spaces.Dict):
        for key, part in space.spaces.items():
            yield from _leaves(part, (*path, key))
    elif isinstance(space, gym.spaces.Box) and np.issubdtype(space.dtype, np.floating):
        yield path, space
    else:
        raise DataError(
            f"The part `{'.'.join(path)}` of the observations has the space {space}, expected a Box of floats: choose "
            "other parts with `observation_keys`."
        )


def _at(observations: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(observations, Mapping) or key not in observations:
            raise DataError(f"The observations lack `{'.'.join(path)}`, which their space states: they are damaged.")
        observations = observations[key]
    return observations
