"""Making the simulator that belongs to a data set."""

from __future__ import annotations

import functools
import importlib
import logging
import os
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib import metadata
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from spar_lightning.simulators.guarded import WITHOUT_ROLLOUTS, Guarded
from spar_lightning.simulators.observations import FlatObservations
from spar_lightning.simulators.trusted_specs import ENVIRONMENT_PACKAGES, trusted_spec
from spar_lightning.types import DataError, EnvironmentUnavailableError, failure

_log = logging.getLogger(__name__)

_FAILURES = (
    *(gym.error.Error, ImportError, OSError, RuntimeError),
    *(ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError),
)
"""What environments raise that are not installed, or whose arguments make no sense."""

_SIMULATORS = ("gymnasium", "gymnasium-robotics", "mujoco")


@functools.cache
def silence_mujoco() -> None:
    """Send MuJoCo's C warnings to the log, at DEBUG.

    By itself it prints them and appends them to a file in the working folder.
    """
    mujoco = _import_mujoco()
    if mujoco is not None:
        mujoco.set_mju_user_warning(lambda message: _log.debug("MuJoCo: %s", message))


def _import_mujoco() -> Any:
    """MuJoCo, without its rendering where that cannot be had; None where it is not installed.

    It imports what `MUJOCO_GL` names together with itself, and fails with an error of that library. Only drawing needs
    it, and Gymnasium imports it again when it draws.
    """
    try:
        return importlib.import_module("mujoco")
    except ImportError:
        return None
    except Exception:  # such as PyOpenGL's AttributeError where there is no EGL
        with _environment_variable("MUJOCO_GL", "disable"):
            return importlib.import_module("mujoco")


@contextmanager
def _environment_variable(name: str, value: str) -> Generator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def make_environment(
    spec: EnvSpec | str, observation_keys: Sequence[str] | None = None, render_mode: str | None = None
) -> gym.Env[Any, Any]:
    """Make a fresh environment, with the spec's own time limit.

    Args:
        spec: a Gymnasium spec, such as a data set carries, or the id of an environment; those of gymnasium-robotics
            need no import. Of a spec only the id, the time limit, the arguments and harmless wrappers are used; its
            entry point is never called.
        observation_keys: parts of dict observations to put side by side, in this order, which makes them vectors; None
            leaves the observations as they are.
        render_mode: as Gymnasium's; None draws nothing.

    Raises:
        EnvironmentUnavailableError: the id is not registered, the spec is not the one that is registered, its
            arguments do not fit, its observations lack a key, or a package that it needs is missing.
    """
    silence_mujoco()
    drawing: dict[str, Any] = {} if render_mode is None else {"render_mode": render_mode}  # not all know the argument
    try:
        with warnings.catch_warnings():
            # The version is the data's: a later one would be another environment.
            warnings.filterwarnings("ignore", message=".*is out of date", category=DeprecationWarning)
            warnings.filterwarnings("ignore", message=".*precision lowered by casting", category=UserWarning)
            environment = gym.make(trusted_spec(spec), disable_env_checker=True, **drawing)
            if not isinstance(spec, str) and spec.kwargs:
                _try_out(environment)
    except _FAILURES as error:
        if isinstance(error, EnvironmentUnavailableError):
            raise
        name = spec if isinstance(spec, str) else spec.id
        raise EnvironmentUnavailableError(
            f"The environment `{name}` cannot be made here: {_reason(error)}. {_remedy(error)}"
        ) from error
    if observation_keys is None:
        return environment
    return FlatObservations(environment, tuple(observation_keys))


def _try_out(environment: gym.Env[Any, Any]) -> None:
    """Make one step: some arguments are looked at no earlier."""
    environment.action_space.seed(0)
    environment.reset(seed=0)
    environment.step(environment.action_space.sample())


def make_fitting_environment(
    spec: EnvSpec,
    observation_keys: Sequence[str] | None,
    observation_dim: int,
    action_dim: int,
    module: str = "",
    render_mode: str | None = None,
) -> gym.Env[Any, Any]:
    """`make_environment`, for policies that were trained on vectors of these dimensions; what it does wrong is told.

    `module` registers the environment, where it is the user's own; this may be another process than the user's.

    Raises:
        DataError: its observations or actions are of other shapes, or its actions are not continuous.
        EnvironmentUnavailableError: as `make_environment`.
    """
    register_environments(module)
    environment = make_environment(spec, observation_keys, render_mode)
    spaces = environment.observation_space, environment.action_space
    found = tuple(getattr(space, "shape", None) for space in spaces)
    if found != ((observation_dim,), (action_dim,)):
        parts = " (a dict: choose its parts with `observation_keys`)" if found[0] is None else ""
        environment.close()
        raise DataError(
            f"The environment `{spec.id}` has observations of shape {found[0]}{parts} and actions of shape {found[1]}, "
            f"the data ({observation_dim},) and ({action_dim},): name the one that they come from with `environment`, "
            f"or {WITHOUT_ROLLOUTS}."
        )
    if not isinstance(spaces[1], gym.spaces.Box):
        environment.close()
        raise DataError(
            f"The environment `{spec.id}` has actions {spaces[1]}, expected a Box, since policies give continuous "
            f"actions: name another with `environment`, or {WITHOUT_ROLLOUTS}."
        )
    if not np.issubdtype(spaces[1].dtype, np.floating):
        environment.close()
        raise DataError(
            f"The environment `{spec.id}` takes actions of type {spaces[1].dtype}, expected floats, since policies "
            f"give continuous actions: name another with `environment`, or {WITHOUT_ROLLOUTS}."
        )
    return Guarded(environment)


def register_environments(module: str) -> None:
    """Import the module of the user's own environments, if one is named. Never for what a data set names.

    Raises:
        EnvironmentUnavailableError: there is no such module, or it fails.
    """
    try:
        if module:
            silence_mujoco()  # imports it in a way that does not fail for want of what draws
            importlib.import_module(module)
    except Exception as error:  # it is the user's code
        raise EnvironmentUnavailableError(
            f"The module `{module}` cannot be imported ({failure(error)}). Expected one that registers the "
            "environment, installed or in `PYTHONPATH`."
        ) from error


def installed_simulators() -> dict[str, str]:
    """Package -> installed version, of those that the environments come from."""
    versions = {}
    for package in _SIMULATORS:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _reason(error: Exception) -> str:
    return str(error).rstrip(".?") or failure(error)


def _remedy(error: Exception) -> str:
    module = error.name if isinstance(error, ImportError) else None
    if module is not None:
        package = ENVIRONMENT_PACKAGES.get(module.partition(".")[0])
        remedy = f"install it with `pip install '{package}'`" if package else "expected it to be installed"
        return f"The Python module `{module}` is missing: {remedy}."
    if isinstance(error, gym.error.DependencyNotInstalled):
        return "A package that it needs is missing: the usual remedy is `pip install 'gymnasium[mujoco]'`."
    if isinstance(error, AssertionError):
        # FrankaKitchen and Fetch of gymnasium-robotics 1.4.2: they look for a NumPy integer in a tuple of MuJoCo's
        # enumerations, which since MuJoCo 3.12 are equal to Python's integers only.
        versions = ", ".join(f"{package} {version}" for package, version in installed_simulators().items())
        return (
            f"Installed are {versions}; expected versions that work together: gymnasium-robotics 1.4.2 needs "
            "`pip install 'mujoco<3.12'` for its kitchen and Fetch."
        )
    if not isinstance(error, gym.error.Error):
        return "Expected arguments that it takes: is its version here the one of the data set?"
    return (
        "Expected an id that Gymnasium knows (`gymnasium.pprint_registry()` lists them): install the package that "
        "registers it (Adroit, kitchen and maze environments: `pip install gymnasium-robotics`), or name the module of "
        "your own that does before it, as in `my_module:my/Plant-v0`."
    )
