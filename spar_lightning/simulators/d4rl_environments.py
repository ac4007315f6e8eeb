"""Where policies of D4RL's data sets are evaluated today, without D4RL's own packages.

Source of names, time limits and tasks: the `register` calls of Farama-Foundation/D4RL (`d4rl/gym_mujoco`,
`d4rl/hand_manipulation_suite`, `d4rl/locomotion`, `d4rl/pointmaze`).
"""

from __future__ import annotations

import re

from gymnasium.envs.registration import EnvSpec, WrapperSpec

from spar_lightning.simulators.d4rl_mazes import ant_maze_map, ball_maze_map

_LOCOMOTION = {"halfcheetah": "HalfCheetah-v4", "hopper": "Hopper-v4", "walker2d": "Walker2d-v4", "ant": "Ant-v4"}
_ADROIT = {
    "pen": ("AdroitHandPen-v1", 100),
    "door": ("AdroitHandDoor-v1", 200),
    "hammer": ("AdroitHandHammer-v1", 200),
    "relocate": ("AdroitHandRelocate-v1", 200),
}
_MAZE_NAMES = {"umaze": "UMaze", "medium": "Medium", "large": "Large"}
ANT_MAZE_STEPS = {"umaze": 700, "medium": 1000, "large": 1000}
BALL_MAZE_STEPS = {"umaze": 300, "medium": 600, "large": 800}

_TORQUE_RATIO = 5.0  # gear 150 with actions in [-1, 1] against gear 1 with actions in [-30, 30]

D4rlEnvironment = tuple[EnvSpec, tuple[str, ...] | None]
"""The environment, and the parts of dict observations that put side by side are D4RL's vectors; None for vectors."""


def d4rl_environment(name: str) -> D4rlEnvironment | None:
    """The environment that evaluates policies of a D4RL data set, with D4RL's time limit.

    The specs name no entry point, so that they can be built and stored where the simulator is not installed. None of
    them is D4RL's to the last bit; `data check` tells by how much a data set and its environment differ.

    - `halfcheetah`, `hopper`, `walker2d`: the `-v4` ids, which have the models and rewards of D4RL's `-v2`, in a newer
      MuJoCo. `ant` has the contact forces in its 111 observations too; D4RL's simulator may have reported zeros there.
    - `pen`, `door`, `hammer`, `relocate`: the hands of gymnasium-robotics. There a dropped pen does not end the
      episode, and the small reward for reaching the object has the other sign since its 1.2.1 (not for the pen).
    - `antmaze`: D4RL's ant is weaker and slower than that of gymnasium-robotics (torques up to 30, not 150; 0.1 s per
      action, not 0.05 s) and its maze is mirrored, so the spec is AntMaze-v5 with actions scaled, two times the frames
      per action and the maze in D4RL's coordinates. Contacts are harder than D4RL's, the goal is reached within 0.45
      and not 0.5, start and goal are drawn from one unit around their cells. The episode ends at the goal.
    - `maze2d`: PointMaze with the maze in D4RL's coordinates; the goal is within 0.25 of D4RL's, reached within 0.45
      and not 0.5, and the walls are 0.2 further along x and y.

    Args:
        name: without a prefix, such as `walker2d-medium-v2`, `antmaze-umaze-diverse-v2` or `maze2d-umaze-dense-v1`.

    Returns:
        The spec and the observation keys; None for a name that is not D4RL's or has no successor: `kitchen`, whose 60
        observations (joints and goal) FrankaKitchen-v1 does not give, driving and traffic.
    """
    family, _, rest = name.partition("-")
    kind, _, version = rest.rpartition("-")
    if not re.fullmatch(r"v[0-2]", version) or not kind:
        return None
    if family in _LOCOMOTION:
        kwargs = {"use_contact_forces": True} if family == "ant" else {}
        return EnvSpec(_LOCOMOTION[family], max_episode_steps=1000, kwargs=kwargs), None
    if family in _ADROIT:
        environment_id, steps = _ADROIT[family]
        return EnvSpec(environment_id, max_episode_steps=steps), None
    maze, _, variant = kind.partition("-")
    if family == "antmaze" and maze in ANT_MAZE_STEPS and variant in ("", "play", "diverse"):
        return _ant_maze(maze), ("achieved_goal", "observation")
    if family == "maze2d" and version == "v1" and maze in BALL_MAZE_STEPS and variant in ("", "dense"):
        return _ball_maze(maze, dense=variant == "dense"), ("observation",)
    return None


def _ant_maze(maze: str) -> EnvSpec:
    bounds = {"min_action": -_TORQUE_RATIO, "max_action": _TORQUE_RATIO}
    return EnvSpec(
        f"AntMaze_{_MAZE_NAMES[maze]}-v5",
        max_episode_steps=ANT_MAZE_STEPS[maze],
        kwargs={
            "maze_map": ant_maze_map(maze),
            "continuing_task": False,
            "frame_skip": 10,
            "include_cfrc_ext_in_observation": False,
        },
        additional_wrappers=(WrapperSpec("RescaleAction", "gymnasium.wrappers:RescaleAction", bounds),),
    )


def _ball_maze(maze: str, dense: bool) -> EnvSpec:
    return EnvSpec(
        f"PointMaze_{_MAZE_NAMES[maze]}{'Dense' if dense else ''}-v3",
        max_episode_steps=BALL_MAZE_STEPS[maze],
        kwargs={"maze_map": ball_maze_map(maze), "continuing_task": True, "reset_target": False},
    )
