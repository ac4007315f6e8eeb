"""PointMaze with one start and one goal, far apart: the task of `spar/pointmaze/stitch-v0`."""

from __future__ import annotations

from gymnasium.envs.registration import EnvSpec

START, GOAL = (1, 1), (6, 6)  # row, column
STITCHING_STEPS = 400  # a controller without noise takes some 220

_WALLS = ("########", "#..##..#", "#..#...#", "##...###", "#..#...#", "#.#..#.#", "#...#..#", "########")


def stitching_map() -> list[list[int | str]]:
    """gymnasium-robotics' medium maze, "r" at the start and "g" at the goal."""
    cells: list[list[int | str]] = [[1 if cell == "#" else 0 for cell in row] for row in _WALLS]
    cells[START[0]][START[1]], cells[GOAL[0]][GOAL[1]] = "r", "g"
    return cells


def stitching_maze() -> EnvSpec:
    """Reaching the goal is rewarded with 1 and ends the episode."""
    arguments = {"maze_map": stitching_map(), "continuing_task": False}
    return EnvSpec("PointMaze_Medium-v3", max_episode_steps=STITCHING_STEPS, kwargs=arguments)
