"""What is written here is read by Minari itself, without this package."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import pytest

from spar_lightning.datasets import open_dataset
from spar_lightning.datasets.importing import import_dataset
from spar_lightning.replay import PackedTransitions

DOOR = Path(__file__).parents[1] / "demonstrations" / "door.npz"


@pytest.fixture(scope="module")
def imported(datasets_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int, int], str]:
    """Imports 30 random rows, an episode each 10 of them, as data of an environment."""

    def make(environment: str, observation_dim: int, action_dim: int) -> str:
        random, file = np.random.default_rng(0), tmp_path_factory.mktemp("source") / "logs.npz"
        np.savez(
            file,
            observations=random.normal(size=(30, observation_dim)).astype(np.float32),
            actions=random.uniform(-1, 1, size=(30, action_dim)).astype(np.float32),
            rewards=random.normal(size=30),
            truncations=np.arange(30) % 10 == 9,
        )
        name = f"imported/{environment.rpartition('-')[0]}-v0"
        return import_dataset(str(file), id=name, environment=environment, progress=False, overwrite=True)

    return make


@pytest.fixture(params=["hopper", "cheetah", "Hopper-v5", "PointMaze_UMaze-v3", "AdroitHandDoor-v1"])
def name(request: pytest.FixtureRequest) -> str:
    """A data set that was collected, or imported for an environment with vectors or dicts as observations."""
    dimensions = {"Hopper-v5": (11, 3), "PointMaze_UMaze-v3": (6, 2), "AdroitHandDoor-v1": (39, 28)}
    if request.param in dimensions:
        make: Callable[..., str] = request.getfixturevalue("imported")
        return make(request.param, *dimensions[request.param])
    collected: str = request.getfixturevalue(request.param)
    return collected


def rows(values: Any, row: int) -> Any:
    return {key: rows(part, row) for key, part in values.items()} if isinstance(values, dict) else values[row]


def test_minari_lists_samples_and_iterates(name: str) -> None:
    stored = minari.load_dataset(name)
    assert name in minari.list_local_datasets()
    episodes = list(stored.iterate_episodes())
    assert len(episodes) == stored.total_episodes == len(stored)
    assert sum(map(len, episodes)) == stored.total_steps
    assert all(isinstance(episode, minari.EpisodeData) for episode in stored.sample_episodes(2))


def test_the_stated_spaces_hold_the_data(name: str) -> None:
    stored = minari.load_dataset(name)
    for episode in stored:
        for row in (0, len(episode) - 1, len(episode)):
            assert stored.observation_space.contains(rows(episode.observations, row))
        assert all(action in stored.action_space for action in episode.actions)
        assert episode.rewards.dtype.kind == "f"
        assert episode.terminations.dtype == episode.truncations.dtype == np.bool_
        assert (episode.terminations | episode.truncations).tolist() == [False] * (len(episode) - 1) + [True]


def test_the_environment_is_recovered(name: str) -> None:
    stored = minari.load_dataset(name)
    for evaluation in (False, True):
        with warnings.catch_warnings(action="ignore", category=UserWarning):
            environment = stored.recover_environment(eval_env=evaluation)
        observation, _ = environment.reset(seed=0)
        assert environment.action_space == stored.action_space
        if isinstance(stored.observation_space, gym.spaces.Dict):
            observation = {key: observation[key] for key in stored.observation_space}
        assert stored.observation_space.contains(observation)
        environment.step(stored[0].actions[0])
        environment.close()


def test_minari_and_this_package_agree_on_what_is_there(name: str) -> None:
    stored, dataset = minari.load_dataset(name), open_dataset(name)
    packed = PackedTransitions.from_episodes(dataset.episodes())
    assert (dataset.num_episodes, dataset.num_transitions) == (stored.total_episodes, stored.total_steps)
    assert (packed.num_episodes, len(packed)) == (stored.total_episodes, stored.total_steps)


@pytest.mark.skipif(not DOOR.exists(), reason="the demonstrations are not on this machine")
def test_human_demonstrations_with_their_start_states(datasets_root: Path) -> None:
    """The files are those of the door opened by hand; see the README beside them."""
    name = import_dataset(
        str(DOOR), id="door/human-v0", environment="AdroitHandDoor-v1", progress=False, overwrite=True
    )
    stored = minari.load_dataset(name)
    assert (stored.total_episodes, stored.total_steps) == (25, 6729 - 25)
    with np.load(DOOR, allow_pickle=False) as source:
        first = int(np.flatnonzero(source["truncations"])[0])
        np.testing.assert_array_equal(stored[0].observations, source["observations"][: first + 1])
        np.testing.assert_array_equal(stored[0].actions, source["actions"][:first])
    assert np.abs(stored[0].actions).max() > 1  # as they were logged
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        environment = stored.recover_environment()
    (metadata,) = stored.storage.get_episode_metadata([3])
    observation, _ = environment.reset(options=metadata["options"])
    handle = slice(32, 35)  # where the door is: the arm itself has moved before the first observation
    np.testing.assert_allclose(observation[handle], stored[3].observations[0][handle], atol=1e-3)
    dataset = open_dataset(name)
    assert dataset.environment_spec is not None
    assert (dataset.environment_spec.id, dataset.action_high.tolist()) == ("AdroitHandDoor-v1", [1.0] * 28)
