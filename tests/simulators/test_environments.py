from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec, WrapperSpec

from spar_lightning.simulators import make_environment
from spar_lightning.types import EnvironmentUnavailableError


def test_an_unknown_id_is_named() -> None:
    with pytest.raises(EnvironmentUnavailableError, match=r"`NoSuchThing-v0` cannot be made here.*gymnasium-robotics"):
        make_environment("NoSuchThing-v0")


@pytest.mark.parametrize("entry_point", [None, "gymnasium_robotics.envs.adroit_hand:AdroitHandPenEnv"])
def test_a_missing_package_is_named_with_its_remedy(entry_point: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(gym.registry, "AdroitHandPen-v1", raising=False)
    monkeypatch.setitem(sys.modules, "gymnasium_robotics", None)
    spec = EnvSpec("AdroitHandPen-v1", entry_point=entry_point)
    with pytest.raises(
        EnvironmentUnavailableError, match=r"`AdroitHandPen-v1`.*`gymnasium_robotics` is missing.*'gymnasium-robotics'"
    ):
        make_environment(spec)


def test_commands_import_no_simulator_nothing_that_draws_and_lightning_only_where_they_train() -> None:
    code = """if True:
        import sys
        from importlib import import_module
        from spar_lightning.cli.dispatch import FUNCTIONS

        def imported(commands):
            for name in commands:
                module, _, function = FUNCTIONS[name].partition(":")
                getattr(import_module(f"spar_lightning.{module}"), function)
            return sorted({"lightning", "mujoco", "OpenGL", "glfw"} & sys.modules.keys())

        print(imported(["benchmark", "collect", "data", "import", "report", "summarize"]))
        import spar_lightning.cli.stages.staged
        print(imported(FUNCTIONS))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines() == ["[]", "['lightning']"]


def test_a_simulator_needs_nothing_that_draws() -> None:
    """As on a machine without an EGL library: `import mujoco` then fails with PyOpenGL's error."""
    code = """if True:
        import os, sys
        from importlib.abc import MetaPathFinder

        class NoLibrary(MetaPathFinder):
            def find_spec(self, name, path=None, target=None):
                if name == "OpenGL":
                    raise AttributeError("'NoneType' object has no attribute 'eglQueryString'")

        sys.meta_path.insert(0, NoLibrary())
        from spar_lightning.simulators import make_environment

        environment = make_environment("Hopper-v5")
        environment.reset(seed=0)
        print(environment.step(environment.action_space.sample())[2], os.environ["MUJOCO_GL"])
    """
    variables = os.environ | {"MUJOCO_GL": "egl"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False, env=variables
    )
    assert done.stdout.split() == ["False", "egl"], done.stderr


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
    code = "import gymnasium; gymnasium.make('HalfCheetah-v5')"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "settotalmass" in result.stdout + result.stderr


def test_the_time_limit_is_the_specs() -> None:
    spec = dataclasses.replace(gym.spec("Hopper-v5"), max_episode_steps=5)
    environment = make_environment(spec)
    assert environment.spec is not None
    assert environment.spec.max_episode_steps == 5


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that exists as soon as the module `trap_module` is imported or called."""
    file = tmp_path / "executed"
    (tmp_path / "trap_module.py").write_text(
        f"from pathlib import Path\nPath({str(file)!r}).touch()\n"
        f"def spring(*_, **__):\n    Path({str(file)!r}).touch()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return file


HOPPER = "gymnasium.envs.mujoco.hopper_v5:HopperEnv"
FOREIGN = {
    "entry point": EnvSpec("Hopper-v5", entry_point="trap_module:spring"),
    "entry point of an unknown id": EnvSpec("Trap-v0", entry_point="trap_module:spring"),
    "function of the library": EnvSpec("Hopper-v5", entry_point="os:system", kwargs={"command": "true"}),
    "module in the id": EnvSpec("trap_module:Hopper-v5", entry_point=HOPPER),
    "wrapper": EnvSpec(
        "Hopper-v5", entry_point=HOPPER, additional_wrappers=(WrapperSpec("trap", "trap_module:spring", {}),)
    ),
    "wrapper that writes": EnvSpec(
        "Hopper-v5",
        entry_point=HOPPER,
        additional_wrappers=(WrapperSpec("RecordVideo", "gymnasium.wrappers.rendering:RecordVideo", {}),),
    ),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_spec_cannot_run_code_of_its_choice(kind: str, trap: Path) -> None:
    with pytest.raises(EnvironmentUnavailableError, match=r"is not made: its spec has|cannot be made here"):
        make_environment(FOREIGN[kind])
    assert not trap.exists()


def test_an_id_imports_nothing(trap: Path) -> None:
    with pytest.raises(EnvironmentUnavailableError, match="a `:` in its id"):
        make_environment("trap_module:Hopper-v5")
    assert not trap.exists()


def test_pip_is_advised_for_known_packages_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gym.registry, "Odd-v0", EnvSpec("Odd-v0", entry_point="no_such_module:Env"))
    with pytest.raises(EnvironmentUnavailableError, match="`no_such_module` is missing") as caught:
        make_environment("Odd-v0")
    assert "pip" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"kwargs": {"no_such_argument": 1}},
        {"kwargs": {"frame_skip": "many"}},
        {"kwargs": {"xml_file": "/no/such/file.xml"}},
        {"kwargs": {"frame_skip": 0}},
        {"kwargs": {"frame_skip": 1_000_000_000}},  # which would not come back
        {"kwargs": {"reset_noise_scale": "a"}},  # of these two a reset, or a step, knows first
        {"kwargs": {"healthy_z_range": 5}},
        {"max_episode_steps": -1},
        {"max_episode_steps": "long"},
    ],
)
def test_settings_that_do_not_fit_are_an_error_of_ours(changes: dict[str, Any]) -> None:
    with pytest.raises(EnvironmentUnavailableError, match="`Hopper-v5`"):
        make_environment(EnvSpec("Hopper-v5", entry_point=HOPPER, **changes))


def test_arguments_and_harmless_wrappers_are_the_specs() -> None:
    wrapper = WrapperSpec("ClipAction", "gymnasium.wrappers.transform_action:ClipAction", {})
    spec = EnvSpec("Hopper-v5", entry_point=HOPPER, kwargs={"frame_skip": 2}, additional_wrappers=(wrapper,))
    environment = make_environment(spec)
    assert isinstance(environment, gym.wrappers.ClipAction)
    assert environment.unwrapped.frame_skip == 2  # type: ignore[attr-defined]
    assert environment.spec is not None
    assert environment.spec.max_episode_steps == 1000  # the registry's, where the data set states none


def test_nothing_is_drawn_because_a_data_set_says_so() -> None:
    drawing = {"render_mode": "human", "width": 64, "camera_name": "track"}
    environment = make_environment(EnvSpec("Hopper-v5", entry_point=HOPPER, kwargs={**drawing, "frame_skip": 2}))
    assert environment.render_mode is None
    assert environment.spec is not None
    assert environment.spec.kwargs.keys() & drawing.keys() == set()
    assert environment.unwrapped.frame_skip == 2  # type: ignore[attr-defined]


ROBOTICS = """
import sys, warnings
from gymnasium.envs.registration import EnvSpec
from spar_lightning.simulators import make_environment

assert "gymnasium_robotics" not in sys.modules
spec = EnvSpec("AntMaze_UMaze-v4", entry_point=f"{ENTRY}")
for spec in ("AdroitHandDoor-v1", spec, EnvSpec("PointMaze_UMaze-v3"), "Walker2d-v4"):
    make_environment(spec).reset(seed=0)
"""


@pytest.mark.parametrize(
    "entry_point", ["gymnasium_robotics.envs.maze.ant_maze_v4:AntMazeEnv", "gymnasium_robotics.envs.maze:AntMazeEnv"]
)
def test_robotics_needs_no_import_and_says_nothing(entry_point: str, tmp_path: Path) -> None:
    """In a fresh Python, as the package registers and prints at its first import."""
    code = ROBOTICS.replace('f"{ENTRY}"', repr(entry_point))
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_versions_that_do_not_work_together_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(**_: Any) -> Any:
        raise AssertionError

    monkeypatch.setitem(gym.registry, "Odd-v0", EnvSpec("Odd-v0", entry_point=stop))
    with pytest.raises(
        EnvironmentUnavailableError,
        match=r"AssertionError in test_environments\.py, line \d+.*gymnasium-robotics \d.*mujoco \d",
    ):
        make_environment("Odd-v0")


def test_observation_keys_make_vectors() -> None:
    environment = make_environment("PointMaze_UMaze-v3", ("desired_goal", "observation"))
    observation, _ = environment.reset(seed=0)
    assert observation.shape == environment.observation_space.shape == (6,)
    maze: Any = environment.unwrapped
    np.testing.assert_array_equal(observation[:2], maze.goal.astype(np.float32))


def test_observation_keys_do_not_fit_vectors() -> None:
    with pytest.raises(EnvironmentUnavailableError, match="`Hopper-v5`"):
        make_environment("Hopper-v5", ("observation",))
