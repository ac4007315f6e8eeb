"""Which columns of a table make up which array."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from spar_lightning.datasets.naming import did_you_mean
from spar_lightning.types import DataError

ColumnNames = Mapping[str, str | list[str]]
"""Array -> the column that holds it, or those that make it up side by side; a `*` stands for any text."""

ARRAYS: dict[str, tuple[str, ...]] = {
    "observations": ("observations", "observation", "obs"),
    "actions": ("actions", "action"),
    "rewards": ("rewards", "reward"),
    "next_observations": ("next_observations", "next_observation", "next_obs"),
    "terminations": ("terminations", "terminals", "terminated"),
    "truncations": ("truncations", "timeouts", "truncated"),
    "episode": ("episode", "episode_id", "episode_index"),
    "success": ("success", "is_success"),
}
"""Array, as in `flat_columns` -> what its columns are called where nobody says otherwise, with or without numbers."""

_LATER = ("actions", "rewards", "next_observations", "terminations", "truncations", "success")
"""Arrays of what an observation comes before."""

_AMBIGUOUS = ("done", "dones", "is_done", "is_last")
"""Columns that say where an episode ends, and not whether the task did."""

_NAMED = 20  # columns in a message


def named_columns(stated: ColumnNames | None, names: Iterable[str]) -> dict[str, list[str]]:
    """The columns of each array, in order; an array that the table does not have is left out.

    What is not stated is found by its name: `reward`, or `action_0`, `action_1` and so on.

    Args:
        stated: by the user.
        names: of all columns.

    Raises:
        DataError: an array or a column is unknown, observations or actions cannot be found, or the observations hold
            what is not known when an action is chosen.

    >>> named_columns({"observations": ["v", "x*"]}, ["x10", "x9", "v", "action_0", "action_1", "reward"])
    {'observations': ['v', 'x9', 'x10'], 'actions': ['action_0', 'action_1'], 'rewards': ['reward']}
    """
    there = [*names]
    stated = stated or {}
    for array in stated:
        if array not in ARRAYS:
            raise DataError(f"`columns` names `{array}`; {did_you_mean(array, ARRAYS)} Expected {_listed(ARRAYS)}.")
    found = {
        array: _stated(array, stated[array], there) if array in stated else _found(array, there) for array in ARRAYS
    }
    for array in ("observations", "actions"):
        if not found[array]:
            raise DataError(
                f"No column is called `{array}`, and no `columns` say which make it up: name them, or a pattern of "
                f"their names, as in `columns: {{{array}: [{_example(there)}]}}`. There are {_listed(there)}."
            )
    for array in _LATER:
        if both := [name for name in found["observations"] if name in found[array]]:
            raise DataError(
                f"`observations` and `{array}` both hold {_listed(both)}: a policy would be shown what is not known"
                f" yet when it acts. Name the observations' own columns, or others as `columns.{array}`; `[]` is none."
            )
    return {array: columns for array, columns in found.items() if columns}


def unused_ends(found: Mapping[str, list[str]], names: Iterable[str]) -> tuple[str, ...]:
    """What to tell of a column that says where episodes end, and that nobody named, where nothing says that tasks do.

    Args:
        found: the columns of each array.
        names: of all columns.
    """
    used = {column for columns in found.values() for column in columns}
    if "terminations" in found:
        return ()
    return tuple(
        f"the column `{name}` is not used, since it does not say whether the task itself ended: name it, as"
        f" `columns: {{terminations: {name}}}`, or `columns: {{truncations: {name}}}` where only the recording did"
        for name in names
        if name.lower() in _AMBIGUOUS and name not in used
    )


def _example(there: list[str]) -> str:
    """A pattern that most columns with a number have in common; the first column where none has."""
    stems = Counter(re.sub(r"\d+$", "", name) for name in there if re.search(r"\d$", name))
    return f'"{stems.most_common(1)[0][0]}*"' if stems else there[0]


def _stated(array: str, stated: Any, there: list[str]) -> list[str]:
    columns: list[str] = []
    for name in [stated] if isinstance(stated, str) else stated:
        matching = [name] if name in there else sorted(fnmatch.filter(there, name), key=_natural)
        if not matching:
            raise DataError(
                f"`columns.{array}` names `{name}`, which the table does not have; {did_you_mean(name, there)} "
                f"There are {_listed(there)}."
            )
        columns += matching
    return columns


def _found(array: str, there: list[str]) -> list[str]:
    for name in ARRAYS[array]:
        if name in there:
            return [name]
        numbered = [column for column in there if re.fullmatch(rf"{name}[_.\[]\d+\]?", column)]
        if numbered:
            return sorted(numbered, key=_natural)
    return []


def _natural(name: str) -> list[tuple[int, str]]:
    """A key by which `x9` comes before `x10`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _listed(names: Iterable[str]) -> str:
    every = [f"`{name}`" for name in names]
    return ", ".join(every[:_NAMED]) + (f" and {len(every) - _NAMED} more" if len(every) > _NAMED else "")
