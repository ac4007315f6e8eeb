"""A user's own simulator, named on the command line: imported, measured against the data, its bounds taken."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from spar_lightning.datasets import import_dataset, open_dataset
from spar_lightning.inspection import check_dataset, describe
from spar_lightning.replay import OfflineDataModule
from spar_lightning.types import DataError, EnvironmentUnavailableError

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
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "own_plant.py").write_text(PLANT)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "own_plant"
    sys.modules.pop("own_plant", None)
    gym.registry.pop("my/Plant-v0", None)


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
        ("Nope-v5", EnvironmentUnavailableError, "`Nope-v5`"),
        ("Walker2d-v5", DataError, r"observations of shape \(17,\).* the data \(3,\) and \(2,\)"),
    ],
)
def test_one_that_cannot_be_had_is_refused_before_training(
    logs: str, environment: str, error: type[Exception], message: str
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
    assert import_dataset(logs, id="my/logs-v0", env=environment, progress=False) == "my/logs-v0"
    imported = OfflineDataModule("my/logs-v0", environment=environment)
    imported.setup("fit")
    assert imported.statistics.action_high.tolist() == [3, 3]
    assert imported.make_environment().spec is not None
