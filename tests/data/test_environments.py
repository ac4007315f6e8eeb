from __future__ import annotations

import sys
from pathlib import Path

import gymnasium as gym
import pytest
from gymnasium.envs.registration import EnvSpec

from spar_lightning.data import make_environment
from spar_lightning.types import EnvironmentUnavailableError


def test_an_unknown_id_is_named() -> None:
    with pytest.raises(EnvironmentUnavailableError, match=r"`NoSuchThing-v0` cannot be made here.*gymnasium-robotics"):
        make_environment("NoSuchThing-v0")


def test_a_missing_package_is_named_with_its_remedy() -> None:
    spec = EnvSpec("AdroitHandPen-v1", entry_point="gymnasium_robotics.envs.adroit_hand:AdroitHandPenEnv")
    with pytest.raises(
        EnvironmentUnavailableError, match=r"`AdroitHandPen-v1`.*`gymnasium_robotics` is missing.*'gymnasium-robotics'"
    ):
        make_environment(spec)


def test_a_missing_simulator_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("gymnasium.envs.mujoco")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(EnvironmentUnavailableError, match=r"`Hopper-v5`.*gymnasium\[mujoco\]"):
        make_environment("Hopper-v5")


def test_mujoco_is_silent(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_environment("HalfCheetah-v5").reset(seed=0)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_without_the_silencer_mujoco_is_not_silent(tmp_path: Path) -> None:
    """If this fails, a newer MuJoCo has stopped printing, and `silence_mujoco` can go."""
    import subprocess

    code = "import gymnasium; gymnasium.make('HalfCheetah-v5')"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "settotalmass" in result.stdout + result.stderr


def test_the_time_limit_is_the_specs() -> None:
    spec = gym.spec("Hopper-v5")
    spec.max_episode_steps = 5
    environment = make_environment(spec)
    assert environment.spec is not None
    assert environment.spec.max_episode_steps == 5
