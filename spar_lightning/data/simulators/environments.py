"""Making the simulator that belongs to a data set.

A data set's metadata are foreign: a Gymnasium spec may name any function of any module, which `gymnasium.make` would
import and call. So what is made is always what this Python's own registry has under the id.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import logging
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, WrapperSpec

from spar_lightning.types import EnvironmentUnavailableError

_log = logging.getLogger(__name__)

_PACKAGES = {
    "gymnasium_robotics": "gymnasium-robotics",
    "mujoco": "gymnasium[mujoco]",
    "mujoco_py": "gymnasium[mujoco]",
    "Box2D": "gymnasium[box2d]",
    "ale_py": "gymnasium[atari]",
}
"""Python module -> what to install; no other module is imported or advised because a data set names it."""

_WRAPPERS = frozenset(
    {
        "ClipAction",
        "ClipReward",
        "DtypeObservation",
        "FilterObservation",
        "FlattenObservation",
        "NormalizeObservation",
        "NormalizeReward",
        "OrderEnforcing",
        "PassiveEnvChecker",
        "RecordEpisodeStatistics",
        "RescaleAction",
        "RescaleObservation",
        "ReshapeObservation",
        "TimeAwareObservation",
        "TimeLimit",
    }
)
"""Gymnasium's wrappers that a data set may ask for: they write no files and take no functions."""


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
        spec: a Gymnasium spec, such as a data set carries, or the id of a registered environment. Of a spec only the
            id, the time limit, the arguments and harmless wrappers are used; its entry point is never called.

    Raises:
        EnvironmentUnavailableError: the id is not registered, the spec is not the one that is registered, its
            arguments do not fit, or a package that it needs is missing.
    """
    silence_mujoco()
    try:
        return gym.make(_trusted(spec), disable_env_checker=True)
    except (gym.error.Error, ImportError, AttributeError, TypeError, ValueError, AssertionError, OSError) as error:
        if isinstance(error, EnvironmentUnavailableError):
            raise
        name = spec if isinstance(spec, str) else spec.id
        reason = str(error).rstrip(".") or type(error).__name__
        raise EnvironmentUnavailableError(
            f"The environment `{name}` cannot be made here: {reason}. {_remedy(error)}"
        ) from error


def _trusted(spec: EnvSpec | str) -> EnvSpec:
    """The registry's own spec, with the settings of `spec` that call nothing."""
    if isinstance(spec, str):
        return _registered(spec, entry_point=None)
    registered = _registered(spec.id, spec.entry_point)
    if spec.entry_point != registered.entry_point:
        raise _refusal(
            spec.id, f"the entry point {spec.entry_point!r}, expected the registered {registered.entry_point!r}"
        )
    limit = registered.max_episode_steps if spec.max_episode_steps is None else spec.max_episode_steps
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise _refusal(spec.id, f"the time limit {limit!r}, expected at least 1 step")
    wrappers = tuple(_trusted_wrapper(spec.id, wrapper) for wrapper in spec.additional_wrappers)
    return dataclasses.replace(
        registered, max_episode_steps=limit, kwargs={**registered.kwargs, **spec.kwargs}, additional_wrappers=wrappers
    )


def _registered(name: str, entry_point: Any) -> EnvSpec:
    if ":" in name:
        raise _refusal(name, "a `:` in its id, expected a plain id: no module is imported by an id")
    module = entry_point.partition(":")[0].partition(".")[0] if isinstance(entry_point, str) else None
    if name not in gym.registry and module in _PACKAGES:
        importlib.import_module(module)  # which registers its environments
    return gym.spec(name)


def _trusted_wrapper(name: str, wrapper: WrapperSpec) -> WrapperSpec:
    module, _, kind = str(wrapper.entry_point).partition(":")
    if not f"{module}.".startswith("gymnasium.wrappers.") or kind not in _WRAPPERS:
        raise _refusal(name, f"the wrapper {wrapper.entry_point!r}, expected one of {', '.join(sorted(_WRAPPERS))}")
    return WrapperSpec(kind, f"gymnasium.wrappers:{kind}", wrapper.kwargs)


def _refusal(name: str, found: str) -> EnvironmentUnavailableError:
    return EnvironmentUnavailableError(
        f"The environment `{name}` is not made: its spec has {found}. A data set must not choose what code runs here; "
        "train without rollouts, or make the environment yourself."
    )


def _remedy(error: Exception) -> str:
    module = error.name if isinstance(error, ImportError) else None
    if module is not None:
        package = _PACKAGES.get(module.partition(".")[0])
        remedy = f"install it with `pip install '{package}'`" if package else "expected it to be installed"
        return f"The Python module `{module}` is missing: {remedy}."
    if isinstance(error, gym.error.DependencyNotInstalled):
        return "A package that it needs is missing: the usual remedy is `pip install 'gymnasium[mujoco]'`."
    if not isinstance(error, gym.error.Error):
        return "Expected arguments that it takes: is its version here the one of the data set?"
    return (
        "Expected an id that Gymnasium knows (`gymnasium.pprint_registry()` lists them): install the package that "
        "registers it (Adroit, kitchen and maze environments: `pip install gymnasium-robotics`)."
    )
