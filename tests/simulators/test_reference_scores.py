from __future__ import annotations

import re
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.envs.registration import EnvSpec, WrapperSpec

from spar_lightning.simulators import REFERENCE_SCORES
from spar_lightning.simulators.d4rl_mazes import ant_maze_map
from spar_lightning.simulators.reference_scores import REFERENCE_TABLE, TABLE_VERSION, score_scale


def _spec(name: str, steps: int | None = 1000, **arguments: Any) -> EnvSpec:
    return EnvSpec(name, max_episode_steps=steps, kwargs=arguments)


def test_the_table_is_whole() -> None:
    assert TABLE_VERSION == 2
    assert len(REFERENCE_SCORES) == len(REFERENCE_TABLE)  # no task twice
    ids = [name for row in REFERENCE_TABLE for name in (*row.environments, *row.relatives)]
    assert len(ids) == len(set(ids))
    assert all(row.low < row.high and row.steps > 0 and "d4rl/infos.py" in row.source for row in REFERENCE_TABLE)


@pytest.mark.parametrize(
    ("spec", "task", "note"),
    [
        (_spec("Walker2d-v4"), "walker2d", "D4RL's walker2d"),
        (_spec("Hopper-v2"), "hopper", "D4RL's hopper"),
        (_spec("Hopper-v4", None), "hopper", "D4RL's hopper"),  # the registered limit
        (_spec("Walker2d-v5"), "walker2d", "on the scale of D4RL's walker2d, but Walker2d-v5 is another benchmark"),
        (_spec("Ant-v5", include_cfrc_ext_in_observation=False), "ant", "on the scale of D4RL's ant, but Ant-v5 is .*"),
        (_spec("HalfCheetah-v5", render_mode="rgb_array"), "halfcheetah", "on the scale .*"),
        (_spec("AdroitHandPen-v1", 100), "pen", "D4RL's pen, but a dropped pen does not end the episode"),
        (_spec("AdroitHandDoor-v1", 200), "door", "D4RL's door, but reaching is rewarded with the other sign .*"),
        (_spec("AdroitHandDoor-v2", 200, reward_type="dense"), "door", "D4RL's door"),
        (
            _spec("AntMaze_UMaze-v4", 700, continuing_task=False, maze_map=ant_maze_map("umaze"), reward_type="sparse"),
            "antmaze-umaze",
            "D4RL's antmaze-umaze, but a maze is solved within 0.45 .*",
        ),
        (
            _spec("FrankaKitchen-v1", 280, tasks_to_complete=["microwave", "kettle", "bottom burner", "light switch"]),
            "kitchen",
            "D4RL's kitchen, .*",
        ),
    ],
)
def test_defined(spec: EnvSpec, task: str, note: str) -> None:
    scale = score_scale(spec)
    assert scale.reference == REFERENCE_SCORES[task]
    assert re.fullmatch(note, scale.note)


MAZE: dict[str, Any] = {"continuing_task": False, "maze_map": ant_maze_map("umaze")}


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (None, "no environment is known"),
        (_spec("Humanoid-v5"), "no reference returns are defined for Humanoid-v5"),
        (_spec("Hopper-v9"), "no reference returns are defined for Hopper-v9"),
        (_spec("AdroitHandPen-v1", None), "D4RL's pen is 100 steps long, this environment 200"),  # the registered limit
        (_spec("AdroitHandPen-v1", 200), "D4RL's pen is 100 steps long, this environment 200"),
        (_spec("AdroitHandDoor-v2", None), "D4RL's door is 200 steps long, this environment has no known limit"),
        (_spec("AntMaze_UMaze-v4", 1000, **MAZE), "D4RL's antmaze-umaze is 700 steps long, this environment 1000"),
        (_spec("Hopper-v4", forward_reward_weight=2.0), "with this `forward_reward_weight`"),
        (_spec("Hopper-v5", healthy_reward=0.0), "with this `healthy_reward`"),
        (_spec("Walker2d-v5", terminate_when_unhealthy=False), "with this `terminate_when_unhealthy`"),
        (_spec("Walker2d-v5", xml_file="walker2d.xml"), "with this `xml_file`"),
        (_spec("AntMaze_UMaze-v4", 700), "is another task than AntMaze_UMaze-v4 "),
        (_spec("AntMaze_UMaze-v4", 700, **{**MAZE, "continuing_task": True}), "with this `continuing_task`"),
        (_spec("AntMaze_UMaze-v4", 700, **{**MAZE, "maze_map": [[1, 1], [1, 1]]}), "with this `maze_map`"),
        (_spec("AntMaze_UMaze-v4", 700, **MAZE, reward_type="dense"), "with this `reward_type`"),
        (_spec("AntMaze_UMazeDense-v4", 700, **MAZE), "no reference returns are defined for AntMaze_UMazeDense-v4"),
        (_spec("AdroitHandDoorSparse-v1", 200), "no reference returns are defined"),
        (_spec("FrankaKitchen-v1", 280), "is another task than FrankaKitchen-v1 without `tasks_to_complete`"),
    ],
)
def test_not_defined_and_why(spec: EnvSpec | None, reason: str) -> None:
    scale = score_scale(spec)
    assert scale.reference is None
    assert scale.note.startswith("no normalized score: ")
    assert reason in scale.note
    assert "\n" not in scale.note


def test_a_wrapper_that_changes_rewards_undoes_the_scale() -> None:
    wrapper = WrapperSpec("NormalizeReward", "gymnasium.wrappers:NormalizeReward", {})
    spec = EnvSpec("Hopper-v4", max_episode_steps=1000, additional_wrappers=(wrapper,))
    assert score_scale(spec).reference is None


def test_the_spec_of_a_made_environment_is_defined() -> None:
    environment = gym.make("HalfCheetah-v5")
    assert score_scale(environment.spec).reference == REFERENCE_SCORES["halfcheetah"]
