"""Walks through a maze, none of which leads from the start to the goal: pieces of several have to be joined."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.envs.registration import EnvSpec

from spar_lightning.datasets.recording.rollout import RecordedEpisode, fit_to
from spar_lightning.simulators.environments import make_environment
from spar_lightning.simulators.stitching_maze import GOAL, START, stitching_maze

Cell = tuple[int, int]  # row, column
FloatArray = npt.NDArray[np.float64]

CORNER, SIDE = (1, 6), (6, 1)
WALKS: tuple[tuple[Cell, Cell], ...] = ((START, CORNER), (CORNER, SIDE), (SIDE, GOAL))
"""From where to where, each as often as the others. The way from start to goal begins as the first does, goes on as the
second and ends as the third; no reward follows on the first two."""

_PUSH, _DAMPING = 10.0, 1.0  # of the controller: per unit of distance, and of speed
_NOISE, _MEMORY = 0.8, 0.95  # deviation of what is added to its actions, and how much of it stays from step to step
_REACHED = 0.4  # distance at which it turns to the next cell


@dataclass(frozen=True)
class MazeWalks:
    """A ball that is pushed from cell to cell, by a controller with noise on its actions, for the goal's rewards."""

    dataset_id: str
    algorithm = "noisy waypoint controller"
    reference = (0.0, 1.0)  # a score is the share of episodes that reach the goal, in percent
    row_size = 4 + 2 + 2 + 2 + 2

    def record(
        self,
        steps: int,
        seed: int,
        num_envs: int,  # noqa: ARG002 - one after another: the simulation is fast
        report: Callable[[int], object],
    ) -> tuple[list[RecordedEpisode], EnvSpec]:
        """Walk after walk."""
        environment = make_environment(stitching_maze())
        assert environment.spec is not None  # it is made from one
        episodes: list[RecordedEpisode] = []
        recorded = 0
        with contextlib.closing(environment):
            while recorded < steps:
                number = len(episodes)
                episodes.append(walk(environment, *WALKS[number % len(WALKS)], seed, number))
                recorded += len(episodes[-1])
                report(min(recorded, steps))
            return fit_to(episodes, steps), environment.spec

    def description(self, steps: int, seed: int) -> str:
        """Which walks."""
        walks = ", ".join(f"{first} to {last}" for first, last in WALKS)
        return (
            f"{steps:,} transitions of PointMaze_Medium-v3 with one start {START} and one goal {GOAL}, collected by"
            f" spar-lightning with seed {seed} from a waypoint controller with correlated noise on its actions, which"
            f" walks from cell to cell: {walks} (row, column). Rewards and terminations are those of the goal. No walk"
            " leads from the start to the goal. A score is the share of episodes that reach it, in percent."
        )


def walk(environment: gym.Env[Any, Any], first: Cell, last: Cell, seed: int, number: int) -> RecordedEpisode:
    """One walk, until its last cell is reached, which ends the recording, or the goal, which ends the task.

    Args:
        environment: of the maze.
        first: the cell where it begins.
        last: where it leads.
        seed: of the collection.
        number: of the walk in it.
    """
    reset_seed, noise_seed = np.random.SeedSequence((seed, number)).generate_state(2)
    random = np.random.default_rng(noise_seed)
    cells = {"reset_cell": np.array(first), "goal_cell": np.array(GOAL)}
    observation, _ = environment.reset(seed=int(reset_seed), options=cells)
    episode = RecordedEpisode(int(reset_seed), [observation])
    to_position: Any = environment.unwrapped.maze.cell_rowcol_to_xy  # type: ignore[attr-defined]
    ahead = deque(np.asarray(to_position(np.array(cell))) for cell in path(first, last)[1:])
    if last == GOAL:
        ahead[-1] = observation["desired_goal"]
    noise = np.zeros(2)
    while not (episode.terminated or episode.truncated):
        position, speed = np.split(observation["observation"], 2)
        noise = _MEMORY * noise + _NOISE * (1 - _MEMORY**2) ** 0.5 * random.standard_normal(2)
        action = np.clip(_PUSH * (ahead[0] - position) - _DAMPING * speed + noise, -1, 1).astype(np.float32)
        observation, reward, terminated, truncated, _ = environment.step(action)
        episode.observations.append(observation)
        episode.actions.append(action)
        episode.rewards.append(float(reward))
        episode.terminated, episode.truncated = bool(terminated), bool(truncated)
        if not terminated and np.linalg.norm(observation["achieved_goal"] - ahead[0]) < _REACHED:
            if len(ahead) > 1:
                ahead.popleft()
            else:
                episode.truncated |= last != GOAL
    return episode


def path(first: Cell, last: Cell) -> list[Cell]:
    """The shortest way between two cells, both included.

    >>> path((1, 1), (2, 2))
    [(1, 1), (1, 2), (2, 2)]
    """
    walls = stitching_maze().kwargs["maze_map"]
    before: dict[Cell, Cell] = {last: last}
    found = deque([last])
    while first not in before:
        row, column = cell = found.popleft()
        for neighbour in ((row - 1, column), (row, column - 1), (row, column + 1), (row + 1, column)):
            if neighbour not in before and walls[neighbour[0]][neighbour[1]] != 1:
                before[neighbour] = cell
                found.append(neighbour)
    way = [first]
    while way[-1] != last:
        way.append(before[way[-1]])
    return way
