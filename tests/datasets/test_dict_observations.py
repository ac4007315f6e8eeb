"""Data and environments must make the same vectors of the same dict observations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, flatten
from minari.data_collector import EpisodeBuffer

from spar_lightning.datasets.sources.minari.minari_source import open_minari
from spar_lightning.simulators.environments import make_environment
from spar_lightning.simulators.observations import (
    FlatObservations,
    default_keys,
    flat_dimension,
    flatten_observations,
)
from spar_lightning.types import DataError, EnvironmentUnavailableError

MakeMinari = Callable[..., str]


def box(size: int) -> Box:
    return Box(-np.inf, np.inf, (size,), np.float64)


class Reach(gym.Env[Any, Any]):
    """As Fetch's tasks: the achieved goal is a part of the observation, and everything is float64."""

    observation_space = Dict(observation=box(4), desired_goal=box(3), achieved_goal=box(3))
    action_space = Box(-1, 1, (4,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.goal, self.state = self.np_random.normal(size=3), np.zeros(4)
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.state = self.state + 0.1 * action
        return self._observe(), float(-np.linalg.norm(self.state[:3] - self.goal)), False, False, {}

    def _observe(self) -> dict[str, Any]:
        return {"observation": self.state, "achieved_goal": self.state[:3], "desired_goal": self.goal}


class Kitchen(Reach):
    """As FrankaKitchen: the goals are dicts themselves, an entry for each task."""

    observation_space = Dict(
        observation=box(4),
        achieved_goal=Dict({"slide cabinet": box(1), "kettle": box(2)}),
        desired_goal=Dict({"slide cabinet": box(1), "kettle": box(2)}),
    )

    def _observe(self) -> dict[str, Any]:
        achieved = {"kettle": self.state[:2], "slide cabinet": self.state[2:3]}
        goal = {"kettle": self.goal[:2], "slide cabinet": self.goal[2:]}
        return {"observation": self.state, "achieved_goal": achieved, "desired_goal": goal}


TOYS = {"FetchReach_Toy-v0": Reach, "FrankaKitchen_Toy-v0": Kitchen, "Other-v0": Reach}


@pytest.fixture(scope="module", autouse=True)
def _registered() -> Iterator[None]:
    for name, kind in TOYS.items():
        gym.register(name, f"{__name__}:{kind.__name__}")
    yield
    for name in TOYS:
        del gym.registry[name]


def environment_of(name: str) -> gym.Env[Any, Any]:
    return gym.make(name, disable_env_checker=True) if name in TOYS else make_environment(name)


def roll(environment: gym.Env[Any, Any], steps: int = 8) -> tuple[list[Any], list[Any]]:
    environment.action_space.seed(3)
    observations, actions = [environment.reset(seed=3)[0]], []
    for _ in range(steps):
        actions.append(environment.action_space.sample())
        observations.append(environment.step(actions[-1])[0])
    return observations, actions


def stacked(observations: list[Any]) -> Any:
    if isinstance(observations[0], dict):
        return {key: stacked([observation[key] for observation in observations]) for key in observations[0]}
    return np.stack(observations)


def record(name: str, make_minari: MakeMinari) -> str:
    environment = environment_of(name)
    observations, actions = roll(environment)
    ends = np.arange(len(actions)) == len(actions) - 1
    buffer = EpisodeBuffer(
        observations=stacked(observations),
        actions=np.stack(actions),  # type: ignore[arg-type]
        rewards=np.zeros(len(actions)),  # type: ignore[arg-type]
        terminations=ends & False,
        truncations=ends,
    )
    dataset = make_minari([buffer], environment.observation_space, environment.action_space)
    assert environment.spec is not None
    storage = minari.load_dataset(dataset).storage
    storage.update_metadata({"env_spec": environment.spec.to_json()})
    return dataset


DEFAULTS = {
    "AntMaze_UMaze-v4": (("achieved_goal", "observation", "desired_goal"), 2 + 27 + 2),
    "AntMaze_UMaze-v5": (("achieved_goal", "observation", "desired_goal"), 2 + 105 + 2),
    "PointMaze_UMaze-v3": (("observation", "desired_goal"), 4 + 2),
    "FetchReach_Toy-v0": (("observation", "desired_goal"), 4 + 3),
    "FrankaKitchen_Toy-v0": (("observation",), 4),
    "Other-v0": (("achieved_goal", "desired_goal", "observation"), 3 + 3 + 4),
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_by_default_a_family_has_what_its_policies_need(name: str, make_minari: MakeMinari) -> None:
    keys, dimension = DEFAULTS[name]
    dataset = open_minari(record(name, make_minari))
    assert set(dataset.observation_keys or ()) == set(keys)
    if name != "Other-v0":
        assert dataset.observation_keys == keys
    assert dataset.observation_dim == dimension


@pytest.mark.parametrize("name", DEFAULTS)
def test_data_and_environment_give_the_same_vectors(name: str, make_minari: MakeMinari) -> None:
    dataset = open_minari(record(name, make_minari))
    (episode,) = dataset.episodes()
    environment = FlatObservations(environment_of(name), dataset.observation_keys or ())
    observations = np.stack(roll(environment)[0])
    assert observations.dtype == episode.observations.dtype == np.float32
    np.testing.assert_array_equal(episode.observations, observations[:-1])
    np.testing.assert_array_equal(episode.next_observations, observations[1:])
    assert environment.observation_space.shape == (dataset.observation_dim,)
    assert observations[0] in environment.observation_space


def test_the_state_of_the_ant_is_that_of_its_simulator(make_minari: MakeMinari) -> None:
    """D4RL's observation of AntMaze: 15 positions, of which the first two are x and y, and 14 velocities."""
    keys = ("achieved_goal", "observation")
    environment = make_environment("AntMaze_UMaze-v4", keys)
    observation = roll(environment)[0][-1]
    data = environment.unwrapped.ant_env.unwrapped.data  # type: ignore[attr-defined]
    np.testing.assert_allclose(observation, np.concatenate([data.qpos[:15], data.qvel[:14]]), rtol=1e-6)
    assert open_minari(record("AntMaze_UMaze-v4", make_minari), keys).observation_dim == 29


@pytest.mark.parametrize("name", ["PointMaze_UMaze-v3", "FetchReach_Toy-v0"])
def test_the_achieved_goal_is_left_out_where_the_observation_has_it(name: str) -> None:
    observation = roll(environment_of(name))[0][-1]
    goal = observation["achieved_goal"]
    np.testing.assert_array_equal(observation["observation"][: len(goal)], goal)


def test_the_order_of_the_keys_is_that_of_the_vector(make_minari: MakeMinari) -> None:
    name = record("FetchReach_Toy-v0", make_minari)
    goal_first = open_minari(name, ["desired_goal", "observation"])
    assert goal_first.observation_keys == ("desired_goal", "observation")
    (by_default,), (reversed_,) = open_minari(name).episodes(), goal_first.episodes()
    np.testing.assert_array_equal(np.roll(by_default.observations, 3, axis=1), reversed_.observations)


def test_nested_parts_are_flattened_as_gymnasium_does() -> None:
    environment = Kitchen()
    space, keys = environment.observation_space, tuple(environment.observation_space.spaces)
    observations = roll(environment)[0]
    found = flatten_observations(space, stacked(observations), keys)
    assert found.shape == (9, flat_dimension(space, keys))
    for row, observation in zip(found, observations, strict=True):
        np.testing.assert_array_equal(row, flatten(space, observation).astype(np.float32))


def test_a_name_tells_the_family_where_no_environment_is_named() -> None:
    space = Reach.observation_space
    assert default_keys(space, "D4RL/antmaze/umaze-v1") == ("achieved_goal", "observation", "desired_goal")
    assert default_keys(space, "D4RL/pointmaze/open-v2") == ("observation", "desired_goal")
    assert default_keys(space, "D4RL/kitchen/mixed-v2") == ("observation",)
    assert default_keys(Dict(image=box(3)), "D4RL/kitchen/mixed-v2") == ("image",)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["goal"], "names `goal`, but the observations have 'achieved_goal', 'desired_goal', 'observation'"),
        ([], "expected one or more different keys"),
        (["observation", "observation"], "expected one or more different keys"),
    ],
    ids=["unknown", "none", "twice"],
)
def test_keys_that_make_no_sense_are_refused(make_minari: MakeMinari, keys: list[str], message: str) -> None:
    name = record("FetchReach_Toy-v0", make_minari)
    with pytest.raises(DataError, match=f"`{name}` .*{re.escape(message)}"):
        open_minari(name, keys)


def test_vectors_have_no_keys(make_minari: MakeMinari) -> None:
    with pytest.raises(DataError, match=r"`observation_keys` is \['observation'\].*no parts: leave out"):
        open_minari(make_minari(), ["observation"])


def test_parts_of_another_kind_are_left_out_by_keys(make_minari: MakeMinari) -> None:
    arrays: dict[str, Any] = {
        "observations": {"state": np.zeros((4, 2)), "room": np.zeros(4, dtype=np.int64)},
        "actions": np.zeros((3, 2)),
        "rewards": np.zeros(3),
        "terminations": np.zeros(3, dtype=bool),
        "truncations": np.arange(3) == 2,
    }
    name = make_minari([EpisodeBuffer(**arrays)], Dict(state=box(2), room=Discrete(4)))
    with pytest.raises(DataError, match=r"part `room` .* Discrete\(4\), expected a Box of floats.*`observation_keys`"):
        open_minari(name)
    assert open_minari(name, ["state"]).observation_dim == 2


def test_a_damaged_part_is_named() -> None:
    space, keys = Reach.observation_space, ("observation", "desired_goal")
    whole = {"observation": np.zeros((5, 4)), "desired_goal": np.zeros((5, 3))}
    with pytest.raises(DataError, match=r"`desired_goal` .* has shape \(5, 2\), expected \(5, 3\)"):
        flatten_observations(space, {**whole, "desired_goal": np.zeros((5, 2))}, keys)
    with pytest.raises(DataError, match=r"`desired_goal` .* has shape \(4, 3\), expected \(5, 3\)"):
        flatten_observations(space, {**whole, "desired_goal": np.zeros((4, 3))}, keys)
    with pytest.raises(DataError, match="lack `desired_goal`"):
        flatten_observations(space, {"observation": np.zeros((5, 4))}, keys)


@pytest.mark.parametrize(
    ("environment", "message"),
    [("PointMaze_UMaze-v3", "names `image`"), ("Pendulum-v1", "has no parts: leave out `observation_keys`")],
)
def test_an_environment_that_lacks_a_key_is_refused(environment: str, message: str) -> None:
    with pytest.raises(EnvironmentUnavailableError, match=f"`{environment}` does not fit: .*{message}"):
        FlatObservations(make_environment(environment), ("image",))
