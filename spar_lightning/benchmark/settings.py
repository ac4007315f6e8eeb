"""What is compared: contenders, and the settings that they run under."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from spar_lightning.types import UserError

OBSERVATION_DIM, ACTION_DIM = 17, 6
"""Walker2d's."""

PRECISIONS = ("32-true", "bf16-mixed")
LOADERS = ("packed", "dataloader", "columns")
SCALES = ("batch_size", "hidden_dim", "num_critics")
"""What the size of an update depends on."""

_EVERYWHERE = {"threads", "batch_size", "hidden_dim"}
_UNDER_LIGHTNING = {*_EVERYWHERE, "precision", "loader"}
_OF_MODULES = {*_UNDER_LIGHTNING, "num_critics", "updates_per_batch", "compile", "capture", "num_seeds"}

APPLIES: dict[str, set[str]] = {
    "spar": _OF_MODULES,
    "spar_in_sample": _OF_MODULES,
    "spar_warmup": _OF_MODULES,
    "td3_bc": _OF_MODULES - {"num_critics"},
    "bc": _UNDER_LIGHTNING,
    "plain": _EVERYWHERE,
    "d3rlpy_td3_bc": _EVERYWHERE,
    "d3rlpy_iql": _EVERYWHERE,
    "jax_td3_bc": {*_EVERYWHERE, "num_seeds"},
}
"""Contender -> the settings that mean something to it; the others stand at their defaults."""

REFERENCES = ("plain", "jax_td3_bc")
"""What the others' speed is divided by, where it is measured too."""

PACKAGES = {"d3rlpy_td3_bc": "d3rlpy", "d3rlpy_iql": "d3rlpy", "jax_td3_bc": "jax"}
"""What contenders need beyond this project's requirements."""


@dataclass(frozen=True)
class Setting:
    """One contender under one setting: what one child process runs."""

    contender: str
    threads: int = 1
    precision: str = "32-true"
    batch_size: int = 256
    hidden_dim: int = 256  # width of both hidden layers
    num_critics: int = 8  # of SPAR, half as wide; the others have two, as their authors do
    updates_per_batch: int = 1
    compile: bool = False
    capture: bool = True  # on a GPU; means nothing elsewhere
    num_seeds: int = 1  # trained at once; an update of each is one update
    loader: str = "packed"
    transitions: int = 200_000
    accelerator: str = "cpu"  # or `gpu`

    @property
    def references(self) -> dict[str, Setting]:
        """Those of `REFERENCES` that run under the same threads, batch size, width, data and accelerator, by name."""
        return {name: canonical(replace(self, contender=name)) for name in REFERENCES}

    def name(self, others: Sequence[Setting] = ()) -> str:
        """The contender, with the settings in which the compared ones differ and that mean something to it."""
        parts = [self.contender]
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in APPLIES[self.contender] and any(getattr(other, field.name) != value for other in others):
                parts.append(f"{field.name}={value}")
        return " ".join(parts)


def canonical(setting: Setting) -> Setting:
    """The same, with all that means nothing to the contender at its default."""
    kept = {*APPLIES[setting.contender], "contender", "transitions", "accelerator"}
    return Setting(**{name: value for name, value in asdict(setting).items() if name in kept})


def grid(contenders: Sequence[str], one_at_a_time: bool = False, **lists: Sequence[Any]) -> list[Setting]:
    """Every contender under every combination of settings, each once.

    Args:
        contenders: their names.
        one_at_a_time: leave out combinations in which more than one of `SCALES` is not the first of its list.
        lists: values by the names of `Setting`'s fields, at least one each.

    Raises:
        UserError: for a name or value that is not known, or a combination that does not exist.
    """
    _check("modules", contenders, APPLIES)
    _check("precisions", lists["precision"], PRECISIONS)
    _check("loader", lists["loader"], LOADERS)
    for name in ("threads", "batch_size", "hidden_dim", "num_critics", "updates_per_batch", "num_seeds", "transitions"):
        at_least(1, **{name: min(lists[name])})
    settings = dict.fromkeys(_combinations(contenders, lists))
    if one_at_a_time:
        first = {name: lists[name][0] for name in SCALES if name in lists}
        return [setting for setting in settings if _departures(setting, first) <= 1]
    return list(settings)


def _departures(setting: Setting, first: dict[str, Any]) -> int:
    means = APPLIES[setting.contender]
    return sum(getattr(setting, name) != value for name, value in first.items() if name in means)


def missing_package(contender: str) -> str | None:
    """The package that a contender needs and that is not installed here, if any."""
    package = PACKAGES.get(contender)
    return package if package is not None and importlib.util.find_spec(package) is None else None


def at_least(least: int, **arguments: int) -> None:
    """See that arguments are large enough.

    Raises:
        UserError: naming the argument.
    """
    for name, value in arguments.items():
        if value < least:
            raise UserError(f"`{name}` is {value}, expected at least {least}")


def _combinations(contenders: Sequence[str], lists: dict[str, Sequence[Any]]) -> Iterator[Setting]:
    for values in itertools.product(*lists.values()):
        for contender in contenders:
            setting = canonical(Setting(contender, **dict(zip(lists, values, strict=True))))
            if setting.loader == "columns" and setting.updates_per_batch > 1:
                raise UserError(
                    f"loader `columns` gathers one batch at a time, `updates_per_batch` is {setting.updates_per_batch}:"
                    " compare it in a run of its own with 1"
                )
            yield setting


def _check(name: str, found: Sequence[str], known: Sequence[str] | dict[str, Any]) -> None:
    for value in found:
        if value not in known:
            remedy = f": write several as [{value}]" if "," in value else ""
            raise UserError(f"`{name}` holds `{value}`, expected some of {', '.join(known)}{remedy}")
