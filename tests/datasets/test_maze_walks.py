"""`spar/pointmaze/stitch-v0`: nobody walks from the start to the goal, and the pieces of the way are there."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from spar_lightning.datasets import collect, open_dataset
from spar_lightning.datasets.recording.maze_walks import GOAL, START, WALKS, path, walk
from spar_lightning.simulators import make_environment
from spar_lightning.simulators.stitching_maze import stitching_maze

NAME = "spar/pointmaze/stitch-v0"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("datasets")
    collect(NAME, steps=2000, root=folder, progress=False)
    return folder


def test_no_walk_leads_from_the_start_to_the_goal(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    dataset = open_dataset(NAME)
    episodes = list(dataset.episodes())
    with_goal = [episode.termination for episode in episodes[:9]]
    assert with_goal == [walk[1] == GOAL for walk in WALKS] * 3
    for episode in episodes[:9]:
        assert episode.rewards.sum() == episode.rewards[-1] == float(episode.termination)
    start, goal = (np.array(position) for position in ((-2.5, 2.5), (2.5, -2.5)))  # of START and GOAL, in metres
    for episode in episodes:
        positions, goals = np.split(episode.observations, [4], axis=1)
        assert np.abs(goals - goal).max() <= 0.25  # the environment's noise on it
        begins = np.abs(positions[0, :2] - start).max() <= 0.25
        assert not (begins and np.linalg.norm(positions[:, :2] - goals, axis=1).min() < 1)
    assert (dataset.observation_keys, dataset.scale.reference) == (("observation", "desired_goal"), (0.0, 1.0))


def test_the_way_is_made_of_pieces_of_walks() -> None:
    assert (START, GOAL) not in WALKS
    pieces = [step for first, last in WALKS for step in pairwise(path(first, last))]
    reached = {START}
    while after := {second for first, second in pieces if first in reached} - reached:
        reached |= after
    assert GOAL in reached


def test_the_goal_can_be_reached_from_the_start_in_time() -> None:
    environment = make_environment(stitching_maze())
    lengths = [len(episode) for episode in (walk(environment, START, GOAL, 0, number) for number in range(5))]
    environment.close()
    assert max(lengths) < 300


def test_an_episode_of_the_task_begins_at_the_start() -> None:
    environment = make_environment(stitching_maze())
    for seed in range(5):
        observation, _ = environment.reset(seed=seed)
        assert np.abs(observation["achieved_goal"] - (-2.5, 2.5)).max() <= 0.25
        assert np.abs(observation["desired_goal"] - (2.5, -2.5)).max() <= 0.25
    environment.close()


def test_recordings_are_the_same_again(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collect(NAME, steps=2000, root=tmp_path, num_envs=3, progress=False)
    found = []
    for folder in (root, tmp_path):
        monkeypatch.setenv("MINARI_DATASETS_PATH", str(folder))
        found.append(list(open_dataset(NAME).episodes()))
    for one, other in zip(*found, strict=True):
        np.testing.assert_equal(one, other)
