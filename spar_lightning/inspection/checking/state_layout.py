"""Where MuJoCo's state is in an observation, for the environments whose observations hold all of it that matters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from spar_lightning.inspection.checking.hand_starts import HAND_STARTS
from spar_lightning.types import DataError

FloatArray = npt.NDArray[np.float32]


class _Body(NamedTuple):
    """One family of environments: its observation begins with positions, and velocities follow."""

    hidden: int  # leading positions that the observation leaves out; rewards and motion do not depend on them
    velocity_bound: float = math.inf  # to which the observation clips velocities
    lags: bool = False  # whether its reward measures from where the body was some frames before the observation


_BODIES = {
    "Hopper": _Body(1, 10.0),
    "Walker2d": _Body(1, 10.0),
    "HalfCheetah": _Body(1),
    "Ant": _Body(2, lags=True),
    "Swimmer": _Body(2),
    "Humanoid": _Body(2, lags=True),
    "InvertedPendulum": _Body(0),
}
"""Source: `_get_obs` and `step` of `gymnasium/envs/mujoco` 1.4.0, versions 4 and 5.

Ant and Humanoid measure their speed from the positions of bodies, which MuJoCo's Runge-Kutta steps leave behind the
joints' by a fraction of a frame; the others from a joint.
"""

_MAZES = {
    "PointMaze": "point_env",
    "AntMaze": "ant_env",
}  # attribute with the simulator, as of gymnasium-robotics 1.4.2
REBUILT = (*_BODIES, *_MAZES)


class StateLayout(NamedTuple):
    """Positions and velocities within an observation (O,), and the simulator whose state they are."""

    simulator: Any  # gymnasium.envs.mujoco.MujocoEnv, which mypy cannot see through the registry
    hidden: int
    positions: npt.NDArray[np.intp]
    velocities: npt.NDArray[np.intp]
    velocity_bound: float
    lags: bool = False
    goal_owner: Any = None  # the maze, where there is a goal
    goal: npt.NDArray[np.intp] | None = None  # where the goal is in the observation, if it is there

    @property
    def tells_rewards(self) -> bool:
        """Whether the observation holds all that the reward depends on."""
        return self.goal_owner is None or self.goal is not None

    def restore(self, observation: FloatArray) -> None:
        """Put the simulator into the state that an observation (O,) describes, with hidden positions at 0."""
        seen = observation.astype(np.float64)
        positions = np.concatenate([np.zeros(self.hidden), seen[self.positions]])
        self.simulator.set_state(positions, seen[self.velocities])
        if self.goal is not None:
            self.goal_owner.goal = seen[self.goal]

    def is_clipped(self, observation: FloatArray) -> bool:
        """Whether a velocity may have been larger than the observation (O,) says."""
        return bool((np.abs(observation[self.velocities]) >= self.velocity_bound).any())


def state_layout(environment: gym.Env[Any, Any], observation_keys: Sequence[str] | None) -> StateLayout:
    """Where the state of an environment is in its observations.

    Args:
        environment: with vectors as observations.
        observation_keys: the parts of the dict that were put side by side to get them; None where there was no dict.

    Raises:
        DataError: the observations of this environment do not hold its state.
    """
    assert environment.spec is not None  # made from a spec
    stem = environment.spec.id.rpartition("/")[2].rpartition("-v")[0]
    if stem in _BODIES:
        body = _BODIES[stem]
        whole = environment.spec.kwargs.get("exclude_current_positions_from_observation", True) is False
        simulator: Any = environment.unwrapped
        hidden = 0 if whole else body.hidden
        places = np.arange(simulator.model.nq - hidden + simulator.model.nv)
        return _layout(simulator, hidden, places)._replace(velocity_bound=body.velocity_bound, lags=body.lags)
    attribute = _MAZES.get(stem.partition("_")[0])
    if attribute is None:
        raise DataError(
            f"The state of `{environment.spec.id}` cannot be rebuilt from its observations, so its data cannot be "
            f"replayed. That is possible for {', '.join((*REBUILT, *HAND_STARTS))}."
        )
    return _maze_layout(environment, getattr(environment.unwrapped, attribute), observation_keys or ())


def _maze_layout(environment: gym.Env[Any, Any], simulator: Any, keys: Sequence[str]) -> StateLayout:
    maze: Any = environment.unwrapped
    spaces: Mapping[str, gym.spaces.Box] = maze.observation_space.spaces
    sizes = [spaces[key].shape[0] for key in keys]
    ends = np.cumsum([0, *sizes])
    parts = {key: np.arange(start, start + size) for key, start, size in zip(keys, ends, sizes, strict=False)}
    # The ant's x and y are the achieved goal only; the ball's are in the observation too.
    needed = ("observation",) if spaces["observation"].shape[0] == 4 else ("achieved_goal", "observation")
    missing = [key for key in needed if key not in parts]
    if missing:
        raise DataError(
            f"The state of `{maze.spec.id}` cannot be rebuilt from the keys {', '.join(keys)}: expected "
            f"{', '.join(needed)} among the observation keys."
        )
    places = np.concatenate([parts[key] for key in needed])
    return _layout(simulator, 0, places)._replace(goal_owner=maze, goal=parts.get("desired_goal"))


def _layout(simulator: Any, hidden: int, places: npt.NDArray[np.intp]) -> StateLayout:
    positions = simulator.model.nq - hidden
    velocities = places[positions : positions + simulator.model.nv]
    return StateLayout(simulator, hidden, places[:positions], velocities, velocity_bound=math.inf)
