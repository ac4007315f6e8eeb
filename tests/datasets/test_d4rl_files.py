"""Files of D4RL's: their names, where they are evaluated, and those that are older than `timeouts`."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from array_files import flat_arrays, write_arrays

from spar_lightning.datasets import open_dataset
from spar_lightning.datasets.sources.d4rl_names import KNOWN_D4RL, d4rl_name_of
from spar_lightning.replay import PackedTransitions
from spar_lightning.types import DataError


@pytest.mark.parametrize("file_name", ["walker2d_medium-v2.hdf5", "walker2d-medium-v2.h5", "walker2d_medium-v2.npz"])
def test_a_file_is_known_by_its_name(tmp_path: Path, file_name: str) -> None:
    dataset = open_dataset(write_arrays(tmp_path / file_name, **flat_arrays()))
    assert dataset.environment_spec is not None
    assert (dataset.environment_spec.id, dataset.environment_spec.max_episode_steps) == ("Walker2d-v4", 1000)
    assert dataset.scale.reference == (1.629008, 4592.3)
    assert dataset.action_low.tolist() == [-1, -1]
    assert dataset.action_high.tolist() == [1, 1]


def test_a_state_without_its_goal(tmp_path: Path) -> None:
    """D4RL's vectors are flat; the environment's dict observations have to be made so."""
    name = write_arrays(
        tmp_path / "Ant_maze_u-maze_noisy_multistart_False_multigoal_False_sparse_fixed.hdf5", **flat_arrays()
    )
    dataset = open_dataset(name)
    assert dataset.environment_spec is not None
    assert dataset.environment_spec.id.startswith("AntMaze_UMaze")
    assert dataset.observation_keys == ("achieved_goal", "observation")
    assert open_dataset(name, ["observation"]).observation_keys == ("observation",)


@pytest.mark.parametrize(
    ("file_name", "name"),
    [
        ("hopper_medium_replay-v2.hdf5", "hopper-medium-replay-v2"),
        ("hopper_medium_replay-v1.hdf5", "hopper-medium-replay-v1"),
        ("pen-human-v1.hdf5", "pen-human-v1"),
        ("pen-demos-v0-bc-combined.hdf5", "pen-cloned-v0"),
        ("kitchen_microwave_kettle_light_slider-v0.hdf5", "kitchen-partial-v0"),
        ("maze2d-large-sparse-v1.hdf5", "maze2d-large-v1"),
        ("hopper_medium.hdf5", None),
        ("hopper-mine-v2.hdf5", None),
        ("walker2d_medium-v7.hdf5", None),
        ("door_human.npz", None),
    ],
)
def test_names_of_files(file_name: str, name: str | None) -> None:
    assert d4rl_name_of(file_name) == name


def test_every_known_name_is_known_by_its_file() -> None:
    """63 names: 24 of locomotion, 6 of AntMaze, 24 of hands, 6 of Maze2D and 3 of kitchens."""
    assert len(KNOWN_D4RL) == 24 + 6 + 24 + 6 + 3
    for name, address in KNOWN_D4RL.items():
        url = urlsplit(address)
        assert (url.scheme, url.netloc, url.path[:21]) == ("http", "rail.eecs.berkeley.edu", "/datasets/offline_rl/")
        assert d4rl_name_of(url.path.rpartition("/")[2]) == name


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("walker2d-medium-expert-v2", "gym_mujoco_v2/walker2d_medium_expert-v2.hdf5"),
        (
            "antmaze-umaze-diverse-v2",
            "ant_maze_v2/Ant_maze_u-maze_noisy_multistart_True_multigoal_True_sparse_fixed.hdf5",
        ),
        (
            "antmaze-large-play-v2",
            "ant_maze_v2/Ant_maze_hardest-maze_noisy_multistart_True_multigoal_False_sparse_fixed.hdf5",
        ),
        ("door-cloned-v0", "hand_dapg/door-demos-v0-bc-combined.hdf5"),
        ("door-cloned-v1", "hand_dapg_v1/door-cloned-v1.hdf5"),
        ("maze2d-umaze-v1", "maze2d/maze2d-umaze-sparse-v1.hdf5"),
    ],
)
def test_addresses(name: str, place: str) -> None:
    """As `d4rl/infos.py` has them."""
    assert KNOWN_D4RL[name] == f"http://rail.eecs.berkeley.edu/datasets/offline_rl/{place}"


def test_unknown_names() -> None:
    with pytest.raises(DataError, match="did you mean `d4rl:walker2d-medium-v2`"):
        open_dataset("d4rl:walker2d-medum-v2")


def test_without_time_outs_episodes_are_cut_at_the_time_limit(tmp_path: Path) -> None:
    """As D4RL's `qlearning_dataset` cuts them: 1000 steps after the last end; the last step's next is unknown."""
    arrays = flat_arrays(2600, terminals=(99, 1599))
    del arrays["timeouts"]
    dataset = open_dataset(write_arrays(tmp_path / "hopper_medium-v1.hdf5", **arrays))
    assert [len(episode.rewards) for episode in dataset.episodes()] == [100, 1000, 500, 1000]
    assert [episode.termination for episode in dataset.episodes()] == [True, False, True, False]
    transitions = PackedTransitions.from_episodes(dataset.episodes())
    missing = set(range(2600)) - {int(row) for row in transitions.observations[:, 0]}
    assert missing == {1099, 2599}


def test_an_end_at_the_time_limit_begins_one_episode(tmp_path: Path) -> None:
    arrays = flat_arrays(2001, terminals=(999,))
    del arrays["timeouts"]
    dataset = open_dataset(write_arrays(tmp_path / "hopper_medium-v1.hdf5", **arrays))
    assert [len(episode.rewards) for episode in dataset.episodes()] == [1000, 1000, 1]
    assert dataset.num_transitions == 1999


def test_flags_that_are_never_set(tmp_path: Path) -> None:
    """One walk of 3000 steps, or lost flags? Nobody can tell, so nobody guesses."""
    arrays = flat_arrays(3000, terminals=(), timeouts=())
    path = tmp_path / "hopper_medium-v2.hdf5"
    with pytest.raises(DataError, match=r"No row of 3,000 ends an episode, .* 1000 steps"):
        open_dataset(write_arrays(path, **arrays))
    assert open_dataset(write_arrays(path, **arrays, episode=np.zeros(3000, int))).num_episodes == 1
    assert open_dataset(write_arrays(tmp_path / "mine.hdf5", **arrays)).num_episodes == 1
    assert open_dataset(write_arrays(path, **flat_arrays(1000, (), ()))).num_episodes == 1


def test_rows_near_the_goal_are_terminations(tmp_path: Path) -> None:
    """AntMaze goes on at the goal, every step of it a termination: the transitions are those of D4RL's loader."""
    arrays = flat_arrays(10, terminals=(3, 4, 5), timeouts=(7,))
    dataset = open_dataset(write_arrays(tmp_path / "antmaze-umaze-v2.hdf5", **arrays))
    transitions = PackedTransitions.from_episodes(dataset.episodes())
    assert [int(row) for row in transitions.observations[:, 0]] == [0, 1, 2, 3, 4, 5, 6, 8]
    assert transitions.terminations.tolist() == [0, 0, 0, 1, 1, 1, 0, 0]


def test_the_transitions_of_the_documented_loader(tmp_path: Path) -> None:
    """`qlearning_dataset`, row by row: a time-out is skipped, any other row goes with the next row's observation.

    It also skips the file's last row, and takes the next episode's observation after a termination, which no target
    depends on; a row with both flags it skips, here it is a termination.
    """
    random = np.random.default_rng(0)
    terminals, timeouts = np.flatnonzero(random.random(500) < 0.05), np.flatnonzero(random.random(500) < 0.05)
    timeouts = np.setdiff1d(timeouts, terminals)
    arrays = flat_arrays(500, tuple(terminals), tuple(timeouts))
    transitions = PackedTransitions.from_episodes(open_dataset(write_arrays(tmp_path / "x.hdf5", **arrays)).episodes())
    found = [
        (int(row), None if ended else int(following), bool(ended))
        for row, following, ended in zip(
            transitions.observations[:, 0], transitions.next_observations[:, 0], transitions.terminations, strict=True
        )
    ]
    assert found == [
        (row, None if row in terminals else row + 1, row in terminals) for row in range(499) if row not in timeouts
    ]
