"""The table of reference scores: which returns score 0 and 100, and in which environments.

A change of the table changes scores, so it has a version, which changes with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from spar_lightning.simulators.d4rl_environments import ANT_MAZE_STEPS, BALL_MAZE_STEPS
from spar_lightning.simulators.d4rl_mazes import ant_maze_map, ball_maze_map

TABLE_VERSION = 2

_INFOS = "Farama-Foundation/D4RL, d4rl/infos.py"
_OTHER_SIGN = "reaching is rewarded with the other sign since gymnasium-robotics 1.2.1"
_NEAR_GOAL = "a maze is solved within 0.45 of the goal, in D4RL within 0.5"


@dataclass(frozen=True)
class ReferenceScore:
    """One task: the return of a random policy scores 0, that of D4RL's expert 100 (undiscounted sums of rewards)."""

    task: str
    low: float
    high: float
    steps: int  # time limit for which the two were defined
    environments: Mapping[str, str]  # the benchmark or its accepted successors -> what is known to differ, else ""
    relatives: tuple[str, ...] = ()  # on the same scale, but another benchmark
    arguments: Mapping[str, tuple[object, ...]] = field(default_factory=dict)  # values that leave the task as it is
    required: tuple[str, ...] = ()  # arguments whose defaults are another task
    source: str = _INFOS


def _locomotion(
    task: str, environment: str, low: float, high: float, **arguments: tuple[object, ...]
) -> ReferenceScore:
    same = dict.fromkeys((f"{environment}-v2", f"{environment}-v3", f"{environment}-v4"), "")
    return ReferenceScore(task, low, high, 1000, same, (f"{environment}-v5",), arguments)


def _adroit(task: str, environment: str, low: float, high: float, steps: int, v1: str, v2: str = "") -> ReferenceScore:
    successors = {f"{environment}-v1": v1, f"{environment}-v2": v2}
    return ReferenceScore(task, low, high, steps, successors, arguments={"reward_type": ("dense",)})


def _ant_maze(maze: str, environment: str) -> ReferenceScore:
    return ReferenceScore(
        f"antmaze-{maze}",
        0.0,
        1.0,
        ANT_MAZE_STEPS[maze],
        {f"AntMaze_{environment}-v5": _NEAR_GOAL, f"AntMaze_{environment}-v4": _NEAR_GOAL},
        arguments={
            "reward_type": ("sparse",),
            "continuing_task": (False,),
            "maze_map": (ant_maze_map(maze),),
            "reset_target": (False, True),  # without meaning where the goal ends the episode
            "frame_skip": (5, 10),
        },
        required=("continuing_task", "maze_map"),
    )


def _ball_maze(maze: str, environment: str, low: float, high: float, dense: bool = False) -> ReferenceScore:
    return ReferenceScore(
        f"maze2d-{maze}{'-dense' if dense else ''}",
        low,
        high,
        BALL_MAZE_STEPS[maze],
        {f"PointMaze_{environment}{'Dense' if dense else ''}-v3": "" if dense else _NEAR_GOAL},
        arguments={
            "reward_type": ("dense" if dense else "sparse",),
            "continuing_task": (True,),
            "reset_target": (False,),
            "maze_map": (ball_maze_map(maze),),
        },
        required=("maze_map",),
    )


REFERENCE_TABLE: tuple[ReferenceScore, ...] = (
    _locomotion("hopper", "Hopper", -20.272305, 3234.3),
    _locomotion("halfcheetah", "HalfCheetah", -280.178953, 12135.0),
    _locomotion("walker2d", "Walker2d", 1.629008, 4592.3),
    _locomotion("ant", "Ant", -325.6, 3879.7, use_contact_forces=(False, True)),
    _adroit(
        "pen", "AdroitHandPen", 96.262799, 3076.8331017826877, 100, *["a dropped pen does not end the episode"] * 2
    ),
    _adroit("hammer", "AdroitHandHammer", -274.856578, 12794.134825156867, 200, _OTHER_SIGN),
    _adroit("door", "AdroitHandDoor", -56.512833, 2880.5693087298737, 200, _OTHER_SIGN),
    _adroit("relocate", "AdroitHandRelocate", -6.425911, 4233.877797728884, 200, _OTHER_SIGN),
    _ant_maze("umaze", "UMaze"),
    _ant_maze("medium", "Medium"),
    _ant_maze("large", "Large"),
    _ball_maze("umaze", "UMaze", 23.85, 161.86),
    _ball_maze("medium", "Medium", 13.13, 277.39),
    _ball_maze("large", "Large", 6.7, 273.99),
    _ball_maze("umaze", "UMaze", 68.537689, 193.66285642381482, dense=True),
    _ball_maze("medium", "Medium", 44.264742, 297.4552547777125, dense=True),
    _ball_maze("large", "Large", 30.569041, 303.4857382709002, dense=True),
    ReferenceScore(
        "kitchen",
        0.0,
        4.0,
        280,
        {"FrankaKitchen-v1": "another simulation of the robot"},
        arguments={
            "tasks_to_complete": (
                ["microwave", "kettle", "light switch", "slide cabinet"],
                ["microwave", "kettle", "bottom burner", "light switch"],
            ),
            "terminate_on_tasks_completed": (True,),
            "remove_task_when_completed": (True,),
        },
        required=("tasks_to_complete",),
    ),
)
"""Source of the returns: `d4rl/infos.py` of Farama-Foundation/D4RL; of the time limits: its `register` calls.

`normalized score = 100 * (return - low) / (high - low)`.
"""

REFERENCE_SCORES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {row.task: (row.low, row.high) for row in REFERENCE_TABLE}
)
"""Task -> (low, high)."""
