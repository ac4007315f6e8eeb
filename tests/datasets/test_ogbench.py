"""OGBench's files, written as `load_dataset` and `relabel_dataset` of OGBench describe them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import pytest

from spar_lightning.datasets import import_dataset, open_dataset
from spar_lightning.datasets.sources.ogbench import ogbench_source
from spar_lightning.inspection import describe
from spar_lightning.replay import OfflineDataModule, PackedTransitions
from spar_lightning.types import DataError

Arrays = dict[str, Any]


def arrays(**changes: Any) -> Arrays:
    """Trajectories of 4 and 2 steps, 5 and 3 rows; the first reaches its goal in row 2, the second in its last row."""
    time = np.arange(8, dtype=np.float32)
    success = np.isin(time, [2, 7])
    table = {
        "observations": np.stack([time, time + 0.5], axis=1),
        "actions": np.where(np.isin(time, [4, 7]), 99, time / 10).astype(np.float32)[:, None],
        "terminals": np.isin(time, [4, 7]),
        "qpos": np.stack([time, time + 0.5], axis=1).astype(np.float64),
        "qvel": np.zeros((8, 2)),
        "rewards": success - 1.0,
        "masks": 1.0 - success,
    } | changes
    return {name: values for name, values in table.items() if values is not None}


def write(folder: Path, **changes: Any) -> str:
    np.savez(folder / "antmaze-medium-navigate-v0.npz", **arrays(**changes))
    return str(folder / "antmaze-medium-navigate-v0.npz")


def transitions(name: str, **settings: Any) -> PackedTransitions:
    dataset = open_dataset(name, **settings)
    found = PackedTransitions.from_episodes(dataset.episodes(), dataset.num_transitions)
    assert (len(found), found.num_episodes) == (dataset.num_transitions, dataset.num_episodes)
    return found


def regular() -> Arrays:
    """What OGBench's loader makes of it, stored: rows that are observations alone are gone."""
    whole, kept = arrays(), np.array([0, 1, 2, 3, 5, 6])
    rows = {name: values[kept] for name, values in whole.items()}
    return rows | {"next_observations": whole["observations"][kept + 1], "terminals": np.isin(kept, [3, 6])}


COMPACT = {"terminals": np.isin(np.arange(8), [3, 4, 6, 7]), "valids": ~np.isin(np.arange(8), [4, 7])}


@pytest.mark.parametrize("changes", [{}, COMPACT, regular()], ids=["as published", "compact", "regular"])
def test_a_goal_is_an_end_and_a_trajectory_goes_on(tmp_path: Path, changes: Arrays) -> None:
    """`terminals` end no task, and rows that are observations alone are no transitions."""
    found = transitions(write(tmp_path, **changes))
    assert found.observations[:, 0].tolist() == [0, 1, 2, 3, 5, 6]
    assert found.next_observations[:, 0].tolist() == [1, 2, 3, 4, 6, 7]
    assert found.actions[:, 0].tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.5, 0.6])
    assert found.rewards.tolist() == [-1, -1, 0, -1, -1, -1]
    assert found.terminations.tolist() == [0, 0, 1, 0, 0, 0]
    assert found.episode_ends.nonzero()[:, 0].tolist() == [2, 3, 5]


@pytest.mark.parametrize("block", [1, 4, 7])
def test_blocks_make_no_difference(tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = transitions(write(tmp_path))
    monkeypatch.setattr(ogbench_source, "_BLOCK", block)
    again = transitions(str(tmp_path / "antmaze-medium-navigate-v0.npz"))
    assert all((whole.column(name) == again.column(name)).all() for name in whole.widths)


def test_without_masks_nothing_ends_the_task(tmp_path: Path) -> None:
    """A file that has neither is nobody's known layout, and is asked for time-outs."""
    with pytest.raises(DataError, match=r"no `timeouts` .*all 0 only if every `terminals` says that the task ended"):
        open_dataset(write(tmp_path, masks=None))
    name = write(tmp_path, masks=None, **COMPACT)
    assert not transitions(name).terminations.any()
    assert open_dataset(name).notes == ("there are no `masks`: no step is taken to end the task",)


def test_a_file_without_rewards_needs_a_task(tmp_path: Path) -> None:
    for changes in ({}, {"qpos": None, "qvel": None}):
        with pytest.raises(
            DataError, match=r"no `rewards`. If it is one of OGBench's goal-conditioned files, name the task"
        ):
            open_dataset(write(tmp_path, rewards=None, masks=None, **changes))


@pytest.fixture
def ogbench(monkeypatch: pytest.MonkeyPatch) -> str:
    """What stands for OGBench: its task is to get to the place 2.5."""

    class Maze(gym.Env[Any, Any]):
        observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
        goal = None

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            self.goal = 2.5
            return np.zeros(2, np.float32), {}

        def step(self, action: Any) -> Any:
            return np.zeros(2, np.float32), -1.0, False, False, {}

    def relabel_dataset(env_name: str, env: gym.Env[Any, Any], dataset: Arrays) -> None:
        assert env_name == task
        env.reset()
        near = np.abs(dataset["qpos"][:, 0] - env.unwrapped.goal) <= 0.6  # type: ignore[attr-defined]
        dataset |= {"rewards": near - 1.0, "masks": 1.0 - near}

    task = "linemaze-singletask-task1-v0"
    package, rules = ModuleType("ogbench"), ModuleType("ogbench.relabel_utils")
    rules.relabel_dataset = relabel_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ogbench", package)
    monkeypatch.setitem(sys.modules, "ogbench.relabel_utils", rules)
    monkeypatch.setitem(gym.registry, task, gym.envs.registration.EnvSpec(task, Maze, max_episode_steps=7))
    return task


def test_a_task_rewards_such_a_file(tmp_path: Path, ogbench: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spar_lightning.datasets.sources.ogbench.task._BLOCK", 3)
    name = write(tmp_path, rewards=None, masks=None)
    found = transitions(name, task=ogbench)
    assert found.rewards.tolist() == [-1, -1, 0, 0, -1, -1]
    assert found.terminations.tolist() == [0, 0, 1, 1, 0, 0]
    data = OfflineDataModule(name, task=ogbench, validation_fraction=0)
    with pytest.warns(UserWarning, match=f"rewards are those of `{ogbench}`, which 2 of 8 states have done"):
        data.setup("fit")
    assert data.environment_id == ogbench
    assert data.make_environment().spec is not None
    with pytest.raises(DataError, match=f"There are `rewards`, and `task` is {ogbench}: leave it out"):
        open_dataset(write(tmp_path), task=ogbench)
    with pytest.raises(DataError, match=f"`task` is {ogbench}, but there is no `qpos`"):
        open_dataset(write(tmp_path, rewards=None, masks=None, qpos=None), task=ogbench)


def test_without_ogbench_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ogbench", None)
    with pytest.raises(DataError, match=r"`pip install ogbench` brings it"):
        open_dataset(write(tmp_path, rewards=None, masks=None), task="antmaze-medium-singletask-task1-v0")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"terminals": COMPACT["terminals"]}, r"two rows that follow one another, .*no `valids`: add them"),
        ({"masks": np.full(8, 0.5)}, "`masks` is 0.5 in row 0, expected 0 or 1"),
        ({"actions": np.zeros((8, 1), dtype=np.int32)}, "discrete actions are not supported"),
        ({"observations": np.zeros((8, 64, 64, 3), dtype=np.uint8)}, r"`observations` has shape \(8, 64, 64, 3\)"),
        ({"rewards": np.zeros(6)}, "`rewards` has 6 rows, `observations` has 8"),
    ],
    ids=range(5),
)
def test_arrays_that_do_not_fit(tmp_path: Path, changes: Arrays, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_dataset(write(tmp_path, **changes))


def test_ones_own_file_is_none_of_ogbench(tmp_path: Path) -> None:
    """Time-outs tell: there a terminal is the end of a task."""
    found = transitions(write(tmp_path, timeouts=np.zeros(8)))
    assert found.terminations.sum() == 2
    assert found.actions.max() == 99


def test_it_is_described_and_becomes_a_minari_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    name = write(tmp_path)
    described = describe(open_dataset(name))
    assert (described.episodes, described.transitions, described.ends.terminated) == (3, 6, 1)
    assert not described.defects
    import_dataset(name, id="mazes/medium-v0", progress=False)
    assert minari.load_dataset("mazes/medium-v0").total_steps == 6
    assert transitions("mazes/medium-v0").next_observations.tolist() == transitions(name).next_observations.tolist()
