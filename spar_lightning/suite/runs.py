"""The runs of a suite: each a command line of `fit`, and a folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spar_lightning.documents import slug
from spar_lightning.suite.suite_file import ALL, SAME_BASE, SAME_WARMUP, Settings, Suite
from spar_lightning.types import UserError

FINAL_EPISODES = "callbacks.rollout.final_episodes"
DEFAULTS: Settings = {FINAL_EPISODES: 100}
"""Of every run, unless a suite says otherwise."""

OWN = ("seed_everything", "run_dir", "num_seeds", "ckpt_path", "stage", "resume", "allow_module")
"""Settings that are the benchmark's to give, or its user's."""

OF_IMPROVEMENT = {
    "improvement",
    "regression",
    "num_candidates",
    "sigma",
    "kappa",
    "step",
    "actor_every",
    "averaged_share",
    "lsi_batch",
    "start_fraction",
    "start_decay",
    "actor_learning_rate",
    "actor_decay",
    "compile",
    "capture",
}
"""Settings of `model` in which a run may differ from the one whose warm-up it takes over."""

DEFAULT_ALGORITHM = "spar"
"""Of a run that names none."""

OF_SPEED = {"data.updates_per_batch", "data.storage"}
"""Settings of the data that change no result."""

DATA_SET = "data.dataset"
"""Of which any name may be right: what there is of it here is told elsewhere."""

Refusal = Callable[[Sequence[str]], str | None]
"""What `fit` would say against a command line, None if nothing."""

_LONGEST = 150  # characters of a folder's name


@dataclass(frozen=True)
class Beginning:
    """What another run of the suite has made and a run takes over."""

    key: str  # as the suite has it
    method: str
    folder: Path

    @property
    def is_there(self) -> bool:
        """Whether the other run is done."""
        return (self.folder / "results.json").is_file()

    def arguments(self, folder: Path | None = None) -> list[str]:
        """Of `fit`; `folder` stands in for the other run's."""
        folder = folder or self.folder
        if self.key == SAME_BASE:
            return ["--bc.ckpt_path", str(folder / "base" / "checkpoints" / "last.ckpt")]
        return ["--stage", "improvement", "--ckpt_path", str(folder / "checkpoints" / "last.ckpt")]


@dataclass(frozen=True)
class Run:
    """One training with one seed."""

    suite: str
    data_set: str
    method: str
    variant: str  # name of its settings; empty where there is but one
    seed: int
    settings: Settings
    folder: Path
    beginning: Beginning | None = None

    @property
    def label(self) -> str:
        """How the method is called where all its settings stand side by side."""
        return f"{self.method}, {self.variant}" if self.variant else self.method

    @property
    def name(self) -> str:
        """In a line."""
        return f"{self.label}, {self.data_set}, seed {self.seed}"

    @property
    def modules(self) -> list[str]:
        """Modules that it imports for its algorithm or environment: others' code."""
        algorithm, environment = (str(self.settings.get(name) or "") for name in ("algorithm", "data.environment"))
        return [module for module in (algorithm.rpartition(".")[0], environment.rpartition(":")[0]) if module]

    def record(self) -> dict[str, Any]:
        """What is kept beside its results."""
        return {
            "suite": self.suite,
            "data_set": self.data_set,
            "method": self.method,
            "settings": self.variant,
            "seed": self.seed,
            "arguments": [*fit_arguments(self.settings), *self._same_as],
        }

    @property
    def _same_as(self) -> list[str]:
        return [] if self.beginning is None else [f"--{self.beginning.key}", self.beginning.method]


def plan(suite: Suite, out: Path, only: Mapping[str, Collection[str]] | None = None) -> list[Run]:
    """All runs, seed by seed, so that a suite that is stopped early has something of everything.

    Args:
        suite: what is to be run.
        out: folder of the runs' folders.
        only: names to which `data_sets`, `methods` or `settings` are limited.

    Raises:
        UserError: if a setting is not a suite's to give, or a name is not the suite's.
    """
    only = only or {}
    for part, names in only.items():
        if unknown := sorted(set(names) - set(getattr(suite, part))):
            raise UserError(
                f"there is no {unknown[0]} among the `{part}` of {suite.name}: {', '.join(_of(suite, part))}"
            )
    runs = [
        _run(suite, out, data_set, method, variant, seed)
        for seed in suite.seeds
        for data_set in _of(suite, "data_sets", only)
        for variant in _of(suite, "settings", only)
        for method in _of(suite, "methods", only)
    ]
    if not runs:
        raise UserError(f"nothing is left of {suite.name}, expected at least one run")
    folders = [run.folder for run in runs]
    if len({str(folder).casefold() for folder in folders}) < len(folders):
        raise UserError(
            f"two runs of {suite.name} have one folder, here or on another system: names of its differ only in signs"
            " or capitals, rename some"
        )
    return runs


def check_imports(runs: Collection[Run], allowed: Collection[str]) -> None:
    """See that modules that runs would import for their algorithm or environment are named by the user.

    On the command line of a run such a name would be taken for the user's own, and a suite may come from anywhere.

    Args:
        runs: of a suite.
        allowed: names of modules, each with all that is in it.

    Raises:
        UserError: if one is not named.
    """
    for run in runs:
        for module in run.modules:
            if not any(f"{module}.".startswith(f"{one}.") for one in allowed):
                raise UserError(
                    f"{run.label} of {run.suite} would import {module}, whose code would run: if you trust it, add"
                    f" --allow_module {module.partition('.')[0]}"
                )


def check_settings(runs: Collection[Run], refusal: Refusal) -> None:
    """See that `fit` would take the settings of all runs; those that differ in data set and seed only are tried once.

    Raises:
        UserError: naming the first run that it would refuse, and why.
    """
    tried = set[tuple[str, ...]]()
    for run in runs:
        line = fit_arguments({name: value for name, value in run.settings.items() if name != DATA_SET})
        line += [] if run.beginning is None else run.beginning.arguments(Path("another_run"))
        if tuple(line) not in tried and (reason := refusal(["fit", *line])) is not None:
            raise UserError(f"the run {run.name} of {run.suite} cannot be, and none is started: {reason}")
        tried.add(tuple(line))


def _of(suite: Suite, part: str, only: Mapping[str, Collection[str]] | None = None) -> list[str]:
    chosen = (only or {}).get(part)
    return [name for name in getattr(suite, part) if chosen is None or name in chosen]


def _settings(suite: Suite, data_set: str, method: str, variant: str) -> Settings:
    """Of a run, from all that speaks of it; what stands further down wins."""
    of_variant = suite.settings[variant]
    layers = (
        DEFAULTS,
        suite.common,
        suite.data_sets[data_set],
        suite.methods[method],
        of_variant.get(ALL, {}),
        of_variant.get(method, {}),
    )
    configs = [config for layer in layers for config in _several(layer.get("config"))]
    settings = {name: value for layer in layers for name, value in layer.items() if name != "config"}
    return settings | ({"config": configs} if configs else {})


def _check_beginning(method: str, beginning: Beginning, settings: Settings, others: Settings) -> None:
    """Refuse settings that a run's own base, or warm-up, would have, and another's has not.

    Raises:
        UserError: naming the first.
    """
    settings, others = ({"algorithm": DEFAULT_ALGORITHM, **one} for one in (settings, others))
    for name in dict.fromkeys([*settings, *others]):
        is_of_improvement = name.startswith("model.") and name.removeprefix("model.") in OF_IMPROVEMENT
        matters = name.startswith(("bc.", "data.")) or name in ("config", "algorithm")
        if beginning.key == SAME_WARMUP:
            matters = matters or (name.startswith("model.") and not is_of_improvement)
        if matters and name not in OF_SPEED and settings.get(name) != others.get(name):
            raise UserError(
                f"`{name}` of {method} is {settings.get(name, 'left out')}, of {beginning.method}"
                f" {others.get(name, 'left out')}, expected the same: {beginning.key} takes over what was made with it"
            )
    if "bc.ckpt_path" in settings:
        raise UserError(f"`bc.ckpt_path` of {method} and {beginning.key} name two bases, expected one: leave one out")


def _run(suite: Suite, out: Path, data_set: str, method: str, variant: str, seed: int) -> Run:
    settings = _settings(suite, data_set, method, variant)
    for name in OWN:
        if name in settings:
            raise UserError(f"`{name}` is set in {suite.name}, which the benchmark gives itself: leave it out")

    def folder(method: str) -> Path:
        return out / _folder(data_set) / _folder(method) / (_folder(variant) if variant else "") / f"seed_{seed}"

    beginning = None
    if method in suite.begins_with:
        key, other = suite.begins_with[method]
        beginning = Beginning(key, other, folder(other))
        _check_beginning(method, beginning, settings, _settings(suite, data_set, other, variant))
    return Run(suite.name, data_set, method, variant, seed, settings, folder(method), beginning)


def _folder(name: str) -> str:
    found = slug(name)
    if not 0 < len(found) <= _LONGEST:
        raise UserError(f"a name is {name[:60]!r}, expected one with letters or digits, of at most {_LONGEST} of them")
    return found


def _several(value: Any) -> list[str]:
    return [] if value is None else [str(item) for item in value] if isinstance(value, list) else [str(value)]


def fit_arguments(settings: Settings) -> list[str]:
    """The options of `fit`: configurations first, since what follows them wins.

    >>> fit_arguments({"model.kappa": 1.4, "config": ["walker"], "data.dataset": "spar/hopper/medium-v0"})
    ['--config', 'walker', '--model.kappa', '1.4', '--data.dataset', 'spar/hopper/medium-v0']
    """
    arguments = [part for config in _several(settings.get("config")) for part in ("--config", config)]
    for name, value in settings.items():
        if name != "config":
            arguments += [f"--{name}", value if isinstance(value, str) else json.dumps(value)]
    return arguments
