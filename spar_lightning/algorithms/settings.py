"""Ranges of settings that would otherwise fail late, or silently train something else."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from spar_lightning.types import UserError

FRACTIONS = {"discount", "trace_decay", "start_fraction"}
"""Settings in [0, 1]."""

RATES = {"target_tau", "critic_tau", "averaged_share", "step"}
"""Settings in (0, 1]: an average that never moves would be the initial network, a step of 0 no improvement."""

QUANTILES = {"expectile", "bootstrap_expectile", "start_decay"}
"""Settings in (0, 1)."""

POSITIVE = {
    "sigma",
    "latent_bound",
    "fit_temperature",
    "learning_rate",
    "critic_learning_rate",
    "actor_learning_rate",
    "gradient_clip_norm",
    "largest_weight",
}
"""Settings greater than 0."""

AT_LEAST = {
    "num_critics": 1,
    "num_check_critics": 0,
    "num_candidates": 2,  # the policy's own latent and one to compare it with
    "actor_every": 1,
    "lsi_batch": 1,
    "latent_dim": 1,
    "refresh_every": 1,
    "warmup_steps": 0,
    "manifold_steps": 0,
    "conservative_deviations": 0,
    "kappa": 0,
    "beta": 0,
    "critic_weight_decay": 0,
    "min_residual_scale": 0,
    "target_noise": 0,
    "target_noise_bound": 0,
    "alpha": 0,
    "actor_penalty": 0,
    "critic_penalty": 0,
}
"""Lower bounds of the others."""


LARGEST = 2**31 - 1
"""Of whole numbers: no count of anything here is larger."""


def check_settings(settings: Mapping[str, Any], constructor: Callable[..., None] | None = None) -> None:
    """See that numbers are in their ranges, and names among those to choose from; None for a number passes.

    Args:
        settings: by name; others than those listed here pass.
        constructor: whose parameters they are, if some are of a `Literal` type.

    Raises:
        UserError: naming the setting, what it is and what it may be.
    """
    if settings.get("freeze_critic") and settings.get("critic_target", "returns") != "returns":
        _refuse("freeze_critic", True, f"False with critic_target {settings['critic_target']}, which would never start")
    choices = {} if constructor is None else _choices(constructor)
    for name, value in settings.items():
        if value not in choices.get(name, [value]):
            _refuse(name, repr(value), f"one of {', '.join(map(repr, choices[name]))}")
        if name in ("hidden_dims", "critic_hidden_dims") and not all(1 <= width <= LARGEST for width in value):
            _refuse(name, list(value), f"widths from 1 to {LARGEST}")
        if value is None or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if isinstance(value, int) and value > LARGEST:
            _refuse(name, value, f"at most {LARGEST}")
        if name in FRACTIONS and not 0 <= value <= 1:
            _refuse(name, value, "a number from 0 to 1")
        if name in RATES and not 0 < value <= 1:
            _refuse(name, value, "a number greater than 0, up to 1")
        if name in QUANTILES and not 0 < value < 1:
            _refuse(name, value, "a number between 0 and 1")
        if name in POSITIVE and not 0 < value < math.inf:
            _refuse(name, value, "a positive number")
        if name in AT_LEAST and not AT_LEAST[name] <= value < math.inf:
            _refuse(name, value, f"at least {AT_LEAST[name]}")


def _choices(constructor: Callable[..., None]) -> dict[str, list[str | bool]]:
    """What parameters may be, where their types list it."""
    found: dict[str, list[str | bool]] = {}
    for name, hint in get_type_hints(constructor).items():
        parts = get_args(hint) if get_origin(hint) is not Literal else [hint]
        if literals := [value for part in parts if get_origin(part) is Literal for value in get_args(part)]:
            found[name] = [*literals, *([True, False] if bool in parts else [])]
    return found


def _refuse(name: str, found: Any, expected: str) -> None:
    raise UserError(f"`{name}` is {found}, expected {expected}")
