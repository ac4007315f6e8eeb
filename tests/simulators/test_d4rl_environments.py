from __future__ import annotations

import sys

import numpy as np
import pytest

from spar_lightning.simulators import make_environment
from spar_lightning.simulators.d4rl_environments import d4rl_environment
from spar_lightning.simulators.reference_scores import score_scale

# Dimensions of D4RL's data sets, and the time limits of its environments.
NAMES = {
    "halfcheetah-medium-v2": ("HalfCheetah-v4", 1000, 17, 6),
    "hopper-medium-replay-v2": ("Hopper-v4", 1000, 11, 3),
    "walker2d-full-replay-v0": ("Walker2d-v4", 1000, 17, 6),
    "ant-medium-expert-v2": ("Ant-v4", 1000, 111, 8),
    "pen-human-v1": ("AdroitHandPen-v1", 100, 45, 24),
    "door-cloned-v0": ("AdroitHandDoor-v1", 200, 39, 28),
    "hammer-expert-v1": ("AdroitHandHammer-v1", 200, 46, 26),
    "relocate-human-v1": ("AdroitHandRelocate-v1", 200, 39, 30),
    "antmaze-umaze-v2": ("AntMaze_UMaze-v5", 700, 29, 8),
    "antmaze-umaze-diverse-v2": ("AntMaze_UMaze-v5", 700, 29, 8),
    "antmaze-medium-play-v2": ("AntMaze_Medium-v5", 1000, 29, 8),
    "antmaze-large-diverse-v0": ("AntMaze_Large-v5", 1000, 29, 8),
    "maze2d-umaze-v1": ("PointMaze_UMaze-v3", 300, 4, 2),
    "maze2d-medium-v1": ("PointMaze_Medium-v3", 600, 4, 2),
    "maze2d-large-dense-v1": ("PointMaze_LargeDense-v3", 800, 4, 2),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_gives_its_environment_with_d4rls_shapes(name: str) -> None:
    found = d4rl_environment(name)
    assert found is not None
    spec, keys = found
    environment = make_environment(spec, keys)
    observation, _ = environment.reset(seed=0)
    assert (spec.id, spec.max_episode_steps, *observation.shape, *environment.action_space.shape) == NAMES[name]
    assert environment.spec is not None
    assert environment.spec.max_episode_steps == spec.max_episode_steps
    assert score_scale(spec).reference is not None


@pytest.mark.parametrize(
    "name",
    [
        "kitchen-partial-v0",
        "carla-lane-v0",
        "antmaze-eval-umaze-v0",
        "antmaze-ultra-play-v2",
        "maze2d-umaze-v0",
        "bullet-hopper-medium-v0",
        "walker2d-medium",
        "walker2d-v2",
        "walker2d-medium-v5",
        "",
    ],
)
def test_other_names_have_none(name: str) -> None:
    assert d4rl_environment(name) is None


def test_a_spec_needs_no_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gymnasium_robotics", None)
    assert d4rl_environment("antmaze-umaze-v2") is not None


@pytest.mark.parametrize(
    ("name", "start", "goal"),
    [
        # In D4RL's coordinates: the ant starts at the origin, and a cell is 4 wide.
        ("antmaze-umaze-v2", (0, 0), (0, 8)),
        ("antmaze-medium-play-v2", (0, 0), (20, 20)),
        ("antmaze-large-play-v2", (0, 0), (32, 24)),
        ("maze2d-umaze-v1", None, (1, 1)),
        ("maze2d-medium-v1", None, (6, 6)),
        ("maze2d-large-v1", None, (7, 9)),
    ],
)
def test_mazes_have_d4rls_coordinates(name: str, start: tuple[int, int] | None, goal: tuple[int, int]) -> None:
    found = d4rl_environment(name)
    assert found is not None
    environment = make_environment(found[0])
    width = 4 if name.startswith("antmaze") else 1
    for seed in range(5):
        observation, _ = environment.reset(seed=seed)
        np.testing.assert_allclose(observation["desired_goal"], goal, atol=0.25 * width)
        if start is not None:
            np.testing.assert_allclose(observation["achieved_goal"], start, atol=0.25 * width)


def test_the_ball_starts_in_free_cells_only() -> None:
    found = d4rl_environment("maze2d-umaze-v1")
    assert found is not None
    environment = make_environment(found[0])
    cells = {tuple(np.round(environment.reset(seed=seed)[0]["achieved_goal"]).astype(int)) for seed in range(60)}
    assert cells == {(1, 2), (1, 3), (2, 3), (3, 1), (3, 2), (3, 3)}  # (row, column) of D4RL's map, without the goal


def test_the_ant_has_d4rls_strength_and_pace() -> None:
    found = d4rl_environment("antmaze-umaze-v2")
    assert found is not None
    environment = make_environment(*found)
    environment.reset(seed=0)
    environment.step(np.ones(8, dtype=np.float32))
    ant = environment.unwrapped.ant_env  # type: ignore[attr-defined]
    torques = ant.data.ctrl * ant.model.actuator_gear[:, 0]
    np.testing.assert_allclose(torques, 30, rtol=1e-6)
    assert ant.dt == pytest.approx(0.1)


def test_reaching_the_goal_ends_the_episode_with_a_return_of_1() -> None:
    found = d4rl_environment("antmaze-umaze-v2")
    assert found is not None
    environment = make_environment(*found)
    environment.reset(seed=0)
    maze = environment.unwrapped
    maze.goal = np.zeros(2)  # type: ignore[attr-defined]
    maze.ant_env.set_state(maze.ant_env.init_qpos * [0, 0, *[1] * 13], maze.ant_env.init_qvel)  # type: ignore[attr-defined]
    _, reward, terminated, truncated, _ = environment.step(np.zeros(8, dtype=np.float32))
    assert (reward, terminated, truncated) == (1, True, False)
