"""Turning the spec that a data set carries into one that may be made.

A data set's metadata are foreign: a Gymnasium spec may name any function of any module, which `gymnasium.make` would
import and call. So what is made is always what this Python's own registry has under the id.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import logging
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, WrapperSpec

from spar_lightning.types import EnvironmentUnavailableError

_log = logging.getLogger(__name__)

ENVIRONMENT_PACKAGES = {
    "gymnasium_robotics": "gymnasium-robotics",
    "mujoco": "gymnasium[mujoco]",
    "mujoco_py": "gymnasium[mujoco]",
    "Box2D": "gymnasium[box2d]",
    "ale_py": "gymnasium[atari]",
}
"""Python module -> what to install; no other module is imported or advised because a data set names it."""

_REGISTERED_BY = {
    "AdroitHand": "gymnasium_robotics",
    "AntMaze_": "gymnasium_robotics",
    "Fetch": "gymnasium_robotics",
    "FrankaKitchen-": "gymnasium_robotics",
    "HandManipulate": "gymnasium_robotics",
    "HandReach": "gymnasium_robotics",
    "PointMaze_": "gymnasium_robotics",
}
"""How an id begins -> the module that registers it when it is imported."""

DRAWING_ARGUMENTS = frozenset(
    {"camera_id", "camera_name", "default_camera_config", "height", "max_geom", "render_mode", "width"}
)
"""Arguments of environments that only say how they are drawn; here none is, and a window may not be had."""

_MOST_FRAMES = 1000
"""Simulator steps that one step of an environment may take: far more than any does, and an end in sight."""

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


def trusted_spec(spec: EnvSpec | str) -> EnvSpec:
    """The registry's own spec, with the settings of `spec` that call nothing: time limit, arguments, harmless wrappers.

    Arguments that only say how an environment is drawn are left out.

    Args:
        spec: of a data set, or an id. Without an entry point it stands for whatever is registered under its id.

    Raises:
        EnvironmentUnavailableError: the spec is not the one that is registered, or asks for foreign code.
        gymnasium.error.Error: the id is not registered.
        ImportError: the package that registers the id is missing.
    """
    if isinstance(spec, str):
        return registered_spec(spec)
    registered = registered_spec(spec.id, spec.entry_point)
    # Within a package modules move from release to release; across packages an id stands for something else.
    if spec.entry_point is not None and _package(spec.entry_point) != _package(registered.entry_point):
        raise _refusal(
            spec.id, f"the entry point {spec.entry_point!r}, expected the registered {registered.entry_point!r}"
        )
    limit = registered.max_episode_steps if spec.max_episode_steps is None else spec.max_episode_steps
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise _refusal(spec.id, f"the time limit {limit!r}, expected at least 1 step")
    frames = spec.kwargs.get("frame_skip", 1)
    if not isinstance(frames, int) or not 1 <= frames <= _MOST_FRAMES:
        raise _refusal(spec.id, f"the argument `frame_skip` {frames!r}, expected 1 to {_MOST_FRAMES:,} simulator steps")
    wrappers = tuple(_trusted_wrapper(spec.id, wrapper) for wrapper in spec.additional_wrappers)
    arguments = {name: value for name, value in spec.kwargs.items() if name not in DRAWING_ARGUMENTS}
    return dataclasses.replace(
        registered, max_episode_steps=limit, kwargs={**registered.kwargs, **arguments}, additional_wrappers=wrappers
    )


def registered_spec(name: str, entry_point: Any = None) -> EnvSpec:
    """What this Python has registered under an id, after importing the known package that registers it.

    Raises:
        EnvironmentUnavailableError: the id asks for the import of a module.
        gymnasium.error.Error: the id is not registered.
        ImportError: the package that registers the id is missing.
    """
    if ":" in name:
        raise _refusal(name, "a `:` in its id, expected a plain id: no module is imported by an id")
    module = _package(entry_point)
    if module not in ENVIRONMENT_PACKAGES:
        module = next((module for start, module in _REGISTERED_BY.items() if name.startswith(start)), None)
    if name not in gym.registry and isinstance(module, str):
        _import_silently(module)  # which registers its environments
    return gym.spec(name)


def _package(entry_point: Any) -> Any:
    """The top module of `module.part:Class`; anything but a text is only equal to itself."""
    return entry_point.partition(":")[0].partition(".")[0] if isinstance(entry_point, str) else entry_point


def _import_silently(module: str) -> None:
    """Import a package of environments; what it prints goes to the log.

    gymnasium-robotics 1.4.2 prints which reward functions of its changed without a new version; where that touches
    scores, `reference_scores` says it in its place.
    """
    printed = io.StringIO()
    with contextlib.redirect_stderr(printed):
        importlib.import_module(module)
    for line in printed.getvalue().splitlines():
        _log.debug("%s: %s", module, line)


def _trusted_wrapper(name: str, wrapper: WrapperSpec) -> WrapperSpec:
    module, _, kind = str(wrapper.entry_point).partition(":")
    if not f"{module}.".startswith("gymnasium.wrappers.") or kind not in _WRAPPERS:
        raise _refusal(name, f"the wrapper {wrapper.entry_point!r}, expected one of {', '.join(sorted(_WRAPPERS))}")
    return WrapperSpec(kind, f"gymnasium.wrappers:{kind}", wrapper.kwargs)


def _refusal(name: str, found: str) -> EnvironmentUnavailableError:
    return EnvironmentUnavailableError(
        f"The environment `{name}` is not made: its spec has {found}. A data set must not choose what runs here; "
        "train without rollouts, or make the environment yourself."
    )
