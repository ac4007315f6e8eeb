"""A user's own simulator, named on the command line: imported, measured against the data, its bounds taken."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from spar_lightning.datasets import import_dataset, open_dataset
from spar_lightning.evaluation import rollout
from spar_lightning.inspection import check_dataset, describe
from spar_lightning.replay import OfflineDataModule
from spar_lightning.types import DataError, EnvironmentUnavailableError, UserError

PLANT = """
import gymnasium as gym
import numpy as np

class Plant(gym.Env):
    observation_space = gym.spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = gym.spaces.Box(-2.0, 3.0, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(3, dtype=np.float32), {}

    def step(self, action):
        return np.zeros(3, dtype=np.float32), 0.0, False, False, {}

gym.register("my/Plant-v0", entry_point=Plant, max_episode_steps=5)


class Odd(Plant):
    def __init__(self, fault=None, render_mode=None):
        self.fault = fault
        if fault == "init":
            raise RuntimeError("no licence")
        if fault == "discrete":
            self.action_space = gym.spaces.MultiDiscrete([3, 3])
        if fault == "whole":
            self.action_space = gym.spaces.Box(-2, 3, (2,), np.int64)
        if fault == "spaceless":
            self.action_space = None

    def reset(self, *, seed=None, options=None):
        if self.fault == "reset":
            raise ConnectionError("socket closed")
        if self.fault == "bare_reset":
            return np.zeros(3, dtype=np.float32)
        return (np.full(3, np.nan) if self.fault == "NaN_observation" else np.zeros(3)), {}

    def step(self, action):
        if self.fault == "step":
            raise ValueError("joint limit hit")
        observation = np.array([None] * 3) if self.fault == "objects" else np.zeros(2 if self.fault == "short" else 3)
        reward = {"NaN": np.nan, "two": np.zeros(2), "none": None}.get(self.fault, 0.0)
        if self.fault == "four":
            return observation, reward, False, {}
        if self.fault == "leaves":
            raise SystemExit(0)
        terminated = {"ends": np.array([0, 0]), "text": "False"}.get(self.fault, False)
        return observation, reward, terminated, self.fault != "endless", {}

    def close(self):
        if self.fault == "close":
            raise OSError("cannot close")

CLASS = "init discrete whole spaceless close".split()
CALLS = "reset bare_reset NaN_observation step short objects NaN two none ends text leaves four endless".split()
for fault in CLASS + CALLS:
    gym.register(f"odd/{fault}-v0", entry_point=Odd, kwargs={"fault": fault})
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "own_plant.py").write_text(PLANT)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "own_plant"
    sys.modules.pop("own_plant", None)
    for name in [name for name in gym.registry if name.startswith(("my/", "odd/"))]:
        gym.registry.pop(name)


@pytest.fixture
def logs(tmp_path: Path) -> str:
    random = np.random.default_rng(0)
    np.savez(
        tmp_path / "logs.npz",
        observations=random.normal(size=(40, 3)),
        actions=random.uniform(-0.5, 0.5, size=(40, 2)),
        rewards=random.normal(size=40),
        truncations=np.arange(40) % 10 == 9,
    )
    return str(tmp_path / "logs.npz")


def test_its_module_is_imported_and_its_bounds_count(own_module: str, logs: str) -> None:
    data = OfflineDataModule(logs, environment=f"{own_module}:my/Plant-v0")
    data.setup("fit")
    assert data.statistics.action_low.tolist() == [-2, -2]
    assert data.statistics.action_high.tolist() == [3, 3]
    environment = data.environment_maker()()
    assert environment.spec is not None
    assert environment.spec.max_episode_steps == 5
    assert data.environment_id == "my/Plant-v0"


def test_without_an_environment_the_data_bound_the_actions(logs: str) -> None:
    data = OfflineDataModule(logs)
    data.setup("fit")
    assert (data.statistics.action_high < 0.5).all()


@pytest.mark.parametrize(
    ("environment", "error", "message"),
    [
        (".relative:my/Plant-v0", EnvironmentUnavailableError, r"`\.relative` cannot be imported"),
        ("no_such_module:my/Plant-v0", EnvironmentUnavailableError, "`no_such_module` cannot be imported"),
        ("own_plant:odd/init-v0", EnvironmentUnavailableError, "cannot be made here: no licence"),
        ("own_plant:odd/discrete-v0", DataError, r"actions MultiDiscrete\(\[3 3\]\), expected a Box"),
        ("own_plant:odd/spaceless-v0", DataError, "actions of shape None"),
        ("Nope-v5", EnvironmentUnavailableError, "`Nope-v5`"),
        ("Walker2d-v5", DataError, r"observations of shape \(17,\).* the data \(3,\) and \(2,\)"),
    ],
)
def test_one_that_cannot_be_had_is_refused_before_training(
    own_module: str, logs: str, environment: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        OfflineDataModule(logs, environment=environment).setup("fit")


def test_other_commands_know_it_as_well(
    own_module: str, logs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    environment = f"{own_module}:my/Plant-v0"
    described = describe(open_dataset(logs).evaluated_in(environment, None))
    assert (described.environment.id, described.environment.available) == ("my/Plant-v0", True)
    assert described.environment.time_limit == 5
    assert described.action_bounds.high.tolist() == [3, 3]
    with pytest.raises(DataError, match="cannot be rebuilt"):  # it is made, and has no state that could be set
        check_dataset(logs, environment)
    assert import_dataset(logs, id="my/logs-v0", environment=environment, progress=False) == "my/logs-v0"
    imported = OfflineDataModule("my/logs-v0", environment=environment)
    imported.setup("fit")
    assert imported.statistics.action_high.tolist() == [3, 3]
    assert imported.make_environment().spec is not None


@pytest.mark.parametrize("content", ["undefined_name", "def broken(:"])
def test_a_module_that_fails_is_named_with_the_line(
    content: str, logs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "faulty_plant.py").write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(EnvironmentUnavailableError, match=r"`faulty_plant` cannot be imported .*(Name|Syntax)Error"):
        OfflineDataModule(logs, environment="faulty_plant:my/Plant-v0").setup("fit")


class Still:
    """A policy that does nothing."""

    def act(self, observations: np.ndarray) -> np.ndarray:
        return np.zeros((len(observations), 2), dtype=np.float32)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("reset", r"`reset` of .*`odd/reset-v0` failed \(ConnectionError in own_plant.py, line \d+: socket closed\)"),
        ("bare_reset", "gave one ndarray, expected an observation and a dict"),
        ("NaN_observation", r"gave the observation \[nan, nan, nan\], expected finite numbers"),
        ("step", "`step` of .* failed .*joint limit hit"),
        ("short", r"gave an observation of shape \(2,\), expected its space's, \(3,\)"),
        ("NaN", "gave the reward nan, expected a finite number"),
        ("two", "gave the reward array.* expected a number and two truth values"),
        ("none", "gave the reward None"),
        ("ends", r"terminated array\(\[0, 0\]\) .* expected a number and two truth values"),
        ("text", "terminated 'False' .* expected a number and two truth values"),
        ("leaves", "`step` of .* failed .*SystemExit"),
        ("objects", r"gave the observation \[None, None, None\], expected finite numbers"),
        ("four", "gave 4 values, expected observation, reward, terminated"),
        ("endless", "has gone on for 100,000 steps without a time limit"),
    ],
)
def test_what_it_does_wrong_in_an_episode_is_told(own_module: str, logs: str, fault: str, message: str) -> None:
    data = OfflineDataModule(logs, environment=f"{own_module}:odd/{fault}-v0")
    data.setup("fit")
    with pytest.raises(UserError, match=message):
        rollout(Still(), data.make_environment, seeds=[0])


def test_one_that_cannot_be_closed_is_no_reason_to_lose_what_was_computed(own_module: str, logs: str) -> None:
    data = OfflineDataModule(logs, environment=f"{own_module}:odd/close-v0")
    with pytest.warns(UserWarning, match="`odd/close-v0` could not be closed .*cannot close"):
        data.setup("fit")
    with pytest.warns(UserWarning, match="could not be closed"):
        rollouts = rollout(Still(), data.make_environment, seeds=[0])
    assert rollouts.lengths.tolist() == [1]
