"""The data sets of D4RL: their names, and where their files are.

Sources: `d4rl/infos.py`, `d4rl/locomotion/__init__.py` and `d4rl/hand_manipulation_suite/__init__.py` of
Farama-Foundation/D4RL. The data are licensed CC BY 4.0.

What the files of some tasks hold is not what one expects:

- AntMaze: recording goes on at the goal, and every step near it has reward 1 and a termination. So each is an episode
  of one step; the transitions are those of D4RL's `qlearning_dataset`. Minari's recordings never terminate.
- Maze2D: one long walk, without terminations; a time-out marks that the walker has reached its own goal of the moment.
- Medium-replay: a time-out may also mark that an iteration of the recorded training had its 1000 steps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from spar_lightning.simulators.d4rl_environments import d4rl_environment

PREFIX = "d4rl:"
_ROOT = "http://rail.eecs.berkeley.edu/datasets/offline_rl"


def _locomotion() -> Iterator[tuple[str, str]]:
    for agent in ("halfcheetah", "hopper", "walker2d", "ant"):
        for kind in ("random", "medium", "expert", "medium-replay", "medium-expert", "full-replay"):
            yield f"{agent}-{kind}-v2", f"gym_mujoco_v2/{agent}_{kind.replace('-', '_')}-v2.hdf5"


def _antmaze() -> Iterator[tuple[str, str]]:
    mazes = {"umaze": "u-maze", "medium": "big-maze", "large": "hardest-maze"}
    for task in ("umaze", "umaze-diverse", "medium-play", "medium-diverse", "large-play", "large-diverse"):
        size, starts, goals = task.split("-")[0], task != "umaze", "diverse" in task
        yield (
            f"antmaze-{task}-v2",
            f"ant_maze_v2/Ant_maze_{mazes[size]}_noisy_multistart_{starts}_multigoal_{goals}_sparse_fixed.hdf5",
        )


def _adroit() -> Iterator[tuple[str, str]]:
    files = {"human": "{}-v0_demos_clipped", "cloned": "{}-demos-v0-bc-combined", "expert": "{}-v0_expert_clipped"}
    for task in ("pen", "hammer", "door", "relocate"):
        for kind, file in files.items():
            yield f"{task}-{kind}-v0", f"hand_dapg/{file.format(task)}.hdf5"
            yield f"{task}-{kind}-v1", f"hand_dapg_v1/{task}-{kind}-v1.hdf5"


def _maze2d() -> Iterator[tuple[str, str]]:
    for size in ("umaze", "medium", "large"):
        yield f"maze2d-{size}-v1", f"maze2d/maze2d-{size}-sparse-v1.hdf5"
        yield f"maze2d-{size}-dense-v1", f"maze2d/maze2d-{size}-dense-v1.hdf5"


_KITCHEN = {
    "kitchen-complete-v0": "kitchen/mini_kitchen_microwave_kettle_light_slider-v0.hdf5",
    "kitchen-partial-v0": "kitchen/kitchen_microwave_kettle_light_slider-v0.hdf5",
    "kitchen-mixed-v0": "kitchen/kitchen_microwave_kettle_bottomburner_light-v0.hdf5",
}

KNOWN_D4RL: Mapping[str, str] = MappingProxyType(
    {
        name: f"{_ROOT}/{place}"
        for name, place in (*_locomotion(), *_antmaze(), *_adroit(), *_maze2d(), *_KITCHEN.items())
    }
)
"""Name, without the prefix -> address of its file."""

_BY_FILE = {address.rpartition("/")[2]: name for name, address in KNOWN_D4RL.items()}
_TASKS = {name.rpartition("-")[0] for name in KNOWN_D4RL}


def d4rl_name_of(file_name: str) -> str | None:
    """What D4RL calls the data set in a file of this name; None if the name is not one of D4RL's.

    >>> d4rl_name_of("walker2d_medium-v2.hdf5"), d4rl_name_of("walker2d-medium-v2.h5"), d4rl_name_of("mine.hdf5")
    ('walker2d-medium-v2', 'walker2d-medium-v2', None)
    """
    if file_name in _BY_FILE:
        return _BY_FILE[file_name]
    name = re.sub(r"\.(hdf5|h5|npz)$", "", file_name).replace("_", "-")
    older = name.rpartition("-")[0] in _TASKS and d4rl_environment(name) is not None
    return name if name in KNOWN_D4RL or older else None
