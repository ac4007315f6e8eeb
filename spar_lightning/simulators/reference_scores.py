"""Whether a return becomes a normalized score in an environment, and by which reference returns."""

from __future__ import annotations

from typing import NamedTuple

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from spar_lightning.simulators.reference_table import (
    REFERENCE_SCORES,
    REFERENCE_TABLE,
    TABLE_VERSION,
    ReferenceScore,
)
from spar_lightning.simulators.trusted_specs import DRAWING_ARGUMENTS, registered_spec
from spar_lightning.types import EnvironmentUnavailableError

__all__ = ["REFERENCE_SCORES", "REFERENCE_TABLE", "TABLE_VERSION", "ScoreScale", "score_scale"]


class ScoreScale(NamedTuple):
    """How the returns of a data set's policies become normalized scores, if they do."""

    reference: tuple[float, float] | None  # returns that score 0 and 100; None where none are defined
    note: str  # where they come from and for what they were defined, or why there are none


_OBSERVATIONS_ONLY = (
    "exclude_current_positions_from_observation",
    "include_cfrc_ext_in_observation",
    "include_cinert_in_observation",
    "include_cvel_in_observation",
    "include_qfrc_actuator_in_observation",
)
_HARMLESS = DRAWING_ARGUMENTS.union(_OBSERVATIONS_ONLY)
"""Arguments of environments that change neither rewards nor what happens."""

_CHANGING_REWARDS = frozenset({"ClipReward", "NormalizeReward"})


def score_scale(spec: EnvSpec | None) -> ScoreScale:
    """The scale for an environment with its time limit and arguments: only where they are those of the reference.

    Source of the rules: D4RL defined its scores for the environments of 2020. An environment that is accepted as their
    successor has them, with a note of what differs; a later version of the same task is on their scale, and the note
    says that it is another benchmark.

    Args:
        spec: of the environment that gives the returns. Where it has no time limit, the registered one counts.

    >>> score_scale(EnvSpec("Walker2d-v4", max_episode_steps=1000))
    ScoreScale(reference=(1.629008, 4592.3), note="D4RL's walker2d")
    >>> score_scale(EnvSpec("AdroitHandPen-v1", max_episode_steps=200)).note
    "no normalized score: D4RL's pen is 100 steps long, this environment 200"
    """
    if spec is None:
        return ScoreScale(None, "no normalized score: no environment is known")
    name = spec.id.rpartition("/")[2]
    row = next((row for row in REFERENCE_TABLE if name in (*row.environments, *row.relatives)), None)
    if row is None:
        return ScoreScale(None, f"no normalized score: no reference returns are defined for {spec.id}")
    reason = _wrong_limit(spec, row) or _other_arguments(spec, row)
    if reason is not None:
        return ScoreScale(None, f"no normalized score: {reason}")
    return ScoreScale((row.low, row.high), _note(name, row))


def _note(name: str, row: ReferenceScore) -> str:
    if name in row.relatives:
        return f"on the scale of D4RL's {row.task}, but {name} is another benchmark"
    difference = row.environments[name]
    return f"D4RL's {row.task}" + (f", but {difference}" if difference else "")


def _wrong_limit(spec: EnvSpec, row: ReferenceScore) -> str | None:
    steps = _registered_limit(spec.id) if spec.max_episode_steps is None else spec.max_episode_steps
    if steps == row.steps:
        return None
    here = "has no known limit" if steps is None else str(steps)
    return f"D4RL's {row.task} is {row.steps} steps long, this environment {here}"


def _registered_limit(name: str) -> int | None:
    try:
        return registered_spec(name).max_episode_steps
    except (gym.error.Error, ImportError, EnvironmentUnavailableError):
        return None


def _other_arguments(spec: EnvSpec, row: ReferenceScore) -> str | None:
    """Which argument or wrapper makes it another task than the reference's, if one does."""
    for name, value in spec.kwargs.items():
        if name not in _HARMLESS and value not in row.arguments.get(name, ()):
            return f"D4RL's {row.task} is another task than {spec.id} with this `{name}`"
    for name in row.required:
        if name not in spec.kwargs:
            return f"D4RL's {row.task} is another task than {spec.id} without `{name}`"
    changed = [wrapper.name for wrapper in spec.additional_wrappers if wrapper.name in _CHANGING_REWARDS]
    return f"{changed[0]} changes the rewards of {spec.id}" if changed else None
