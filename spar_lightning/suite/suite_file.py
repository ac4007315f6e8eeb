"""A suite: data sets x methods x settings x seeds, from one YAML."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from spar_lightning.each_key_once import EachKeyOnce
from spar_lightning.types import LARGEST_SEED, UserError

FOLDER = Path(__file__).parents[1] / "configs" / "suites"
"""Suites that come with the package."""

ALL = "all"
"""In `settings`, what every method gets."""

SAME_BASE, SAME_WARMUP = "same_base_as", "same_warmup_as"
"""In a method, what its runs take from the runs of another one, of the same data set, settings and seed."""

MOST_SEEDS = 10_000

KEYS = {"note", "seeds", "common", "data_sets", "methods", "settings"}
Settings = dict[str, Any]
"""By the names that `fit` has for them on its command line, such as `model.kappa`; `config` is a file or several."""


@dataclass(frozen=True)
class Suite:
    """What is to be run; every name is one that reports speak of."""

    name: str
    data_sets: dict[str, Settings]
    methods: dict[str, Settings]
    seeds: list[int]
    begins_with: dict[str, tuple[str, str]] = field(default_factory=dict)  # a method with what of which other
    common: Settings = field(default_factory=dict)
    settings: dict[str, dict[str, Settings]] = field(default_factory=lambda: {"": {}})
    note: str = ""


def find_suite(value: str) -> Path:
    """The file that a path, or the name of one of the package's suites, stands for.

    Raises:
        UserError: if there is none.
    """
    named = FOLDER / f"{value.removesuffix('.yaml')}.yaml"
    path = Path(value).expanduser()
    if path.is_file():
        return path
    if re.fullmatch(r"[\w.-]+", value) and named.is_file():
        return named
    known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.yaml")))
    raise UserError(f"there is no suite {value}, expected the path of a YAML, or one of the package's: {known}")


def read_suite(path: Path) -> Suite:
    """Read a suite.

    Raises:
        UserError: if it is no suite, with what is wrong.
    """
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), EachKeyOnce)
    except (RecursionError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise UserError(f"{path} holds {type(document).__name__}, expected {', '.join(sorted(KEYS))}")
    if unknown := sorted(str(key) for key in document.keys() - KEYS):
        raise UserError(f"{path} has {unknown[0]}, expected only {', '.join(sorted(KEYS))}")
    methods = {name: _settings(path, f"methods.{name}", of) for name, of in _named(path, document, "methods")}
    begins_with = _begins_with(path, methods)
    return Suite(
        name=path.stem,
        data_sets=_data_sets(path, document.get("data_sets")),
        methods=methods,
        begins_with=begins_with,
        seeds=_seeds(path, document.get("seeds", [0])),
        common=_settings(path, "common", document.get("common")),
        settings=_variants(path, document),
        note=str(document.get("note", "")),
    )


def _data_sets(path: Path, found: Any) -> dict[str, Settings]:
    """Names of data sets; one with settings of its own is a mapping from a name to them."""
    data_sets: dict[str, Settings] = {}
    for item in found if isinstance(found, list) else []:
        pairs = item.items() if isinstance(item, dict) else [(item, None)]
        for name, settings in pairs:
            if not isinstance(name, str) or name in data_sets:
                raise UserError(f"`data_sets` has {name!r} in {path}, expected names, each once")
            data_sets[name] = {"data.dataset": name} | _settings(path, f"data_sets.{name}", settings)
    if not data_sets:
        raise UserError(f"`data_sets` is {found!r} in {path}, expected a list of names")
    return data_sets


def _named(path: Path, document: Mapping[str, Any], key: str) -> list[tuple[str, Any]]:
    found = document.get(key)
    if not isinstance(found, dict) or not found:
        raise UserError(f"`{key}` is {found!r} in {path}, expected names, each with its settings")
    return [(str(name), value) for name, value in found.items()]


def _begins_with(path: Path, methods: dict[str, Settings]) -> dict[str, tuple[str, str]]:
    """Take out of the methods what their runs begin with; one that others begin with begins by itself."""
    found: dict[str, tuple[str, str]] = {}
    for name, settings in methods.items():
        keys = [key for key in (SAME_BASE, SAME_WARMUP) if key in settings]
        if len(keys) > 1:
            raise UserError(
                f"`methods.{name}` has {' and '.join(keys)} in {path}, expected one: a warm-up has its base"
            )
        if keys:
            other = settings.pop(keys[0])
            found[name] = (keys[0], str(other) if isinstance(other, int) else other)  # as names of methods are
    for name, (key, other) in found.items():
        if not isinstance(other, str) or other not in methods or other in found:
            own = ", ".join(method for method in methods if method not in found)
            raise UserError(
                f"`methods.{name}.{key}` is {other!r} in {path}, expected a method that begins by itself: {own}"
            )
    return found


def _variants(path: Path, document: Mapping[str, Any]) -> dict[str, dict[str, Settings]]:
    if document.get("settings") is None:
        return {"": {}}
    methods = {name for name, _ in _named(path, document, "methods")}
    variants: dict[str, dict[str, Settings]] = {}
    for name, found in _named(path, document, "settings"):
        if not isinstance(found, dict) or (set(map(str, found)) - methods - {ALL}):
            raise UserError(
                f"`settings.{name}` is {found!r} in {path}, expected `{ALL}` or names of `methods`, each with settings"
            )
        variants[name] = {str(key): _settings(path, f"settings.{name}.{key}", of) for key, of in found.items()}
    return variants


def _settings(path: Path, where: str, found: Any) -> Settings:
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise UserError(f"`{where}` is {found!r} in {path}, expected settings of `fit`, such as `model.kappa: 1.4`")
    for name, value in found.items():
        if not _is_plain(value):
            raise UserError(
                f"`{where}.{name}` in {path} is no value of a setting, expected texts, finite numbers, true, false,"
                " null, and lists of them: put other values in quotes"
            )
        if isinstance(value, dict) and not str(name).startswith("data."):
            raise UserError(
                f"`{where}.{name}` holds settings of its own in {path}: write them with dots, as in"
                f" `{name}.{next(iter(value), 'name')}: ...`"
            )
    return {str(name): value for name, value in found.items()}


def _is_plain(value: Any) -> bool:
    """Whether a command line can say a value, as JSON: YAML has dates, sets, NaN and lists within themselves."""
    try:
        json.dumps(value, allow_nan=False)
    except (RecursionError, TypeError, ValueError):
        return False
    return True


def _seeds(path: Path, found: Any) -> list[int]:
    """A list, or a number of seeds from 0 on."""
    seeds = list(range(found)) if type(found) is int and 0 < found <= MOST_SEEDS else found
    if not isinstance(seeds, list) or not 0 < len(seeds) <= MOST_SEEDS or not all(map(_is_seed, seeds)):
        raise UserError(
            f"`seeds` is {repr(found)[:60]} in {path}, expected a list of whole numbers from 0 to {LARGEST_SEED:,}, or"
            f" how many: 1 to {MOST_SEEDS:,}"
        )
    if len(set(seeds)) < len(seeds):
        raise UserError(f"`seeds` is {found!r} in {path}, expected each once")
    return seeds


def _is_seed(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LARGEST_SEED
