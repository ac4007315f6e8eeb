"""Making the simulator that belongs to a data set."""

from __future__ import annotations

import functools
import logging
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from spar_lightning.types import EnvironmentUnavailableError

_log = logging.getLogger(__name__)

_PACKAGES = {
    "gymnasium_robotics": "gymnasium-robotics",
    "mujoco": "gymnasium[mujoco]",
    "mujoco_py": "gymnasium[mujoco]",
    "Box2D": "gymnasium[box2d]",
    "ale_py": "gymnasium[atari]",
}


@functools.cache
def silence_mujoco() -> None:
    """Send MuJoCo's C warnings to the log, at DEBUG.

    By itself it prints them and appends them to a file in the working folder.
    """
    try:
        import mujoco
    except ImportError:
        return
    mujoco.set_mju_user_warning(lambda message: _log.debug("MuJoCo: %s", message))


def make_environment(spec: EnvSpec | str) -> gym.Env[Any, Any]:
    """Make a fresh environment, with the spec's own time limit.

    Args:
        spec: a Gymnasium spec, such as a data set carries, or the id of a registered environment.

    Raises:
        EnvironmentUnavailableError: the id is not registered, or a package that it needs is missing.
    """
    silence_mujoco()
    try:
        return gym.make(spec, disable_env_checker=True)
    except (gym.error.Error, ImportError, AttributeError) as error:
        name = spec if isinstance(spec, str) else spec.id
        raise EnvironmentUnavailableError(
            f"The environment `{name}` cannot be made here: {error}. {_remedy(error)}"
        ) from error


def _remedy(error: Exception) -> str:
    module = error.name if isinstance(error, ImportError) else None
    if module is not None:
        package = _PACKAGES.get(module.partition(".")[0], module.partition(".")[0])
        return f"The Python module `{module}` is missing: install it with `pip install '{package}'`."
    if isinstance(error, gym.error.DependencyNotInstalled):
        return "A package that it needs is missing: the usual remedy is `pip install 'gymnasium[mujoco]'`."
    return (
        "Expected an id that Gymnasium knows (`gymnasium.pprint_registry()` lists them): install the package that "
        "registers it (Adroit, kitchen and maze environments: `pip install gymnasium-robotics`)."
    )
