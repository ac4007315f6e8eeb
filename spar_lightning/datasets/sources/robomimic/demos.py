"""The demonstrations of an HDF5 file in robomimic's layout, without their values.

| item | |
|---|---|
| `data` | group; its attribute `env_args` is JSON: `env_name`, `env_type`, `env_kwargs` |
| `data/demo_<i>/obs/<key>` | (T, ...), one array a part of the observation |
| `data/demo_<i>/next_obs/<key>` | likewise, optional |
| `data/demo_<i>/actions` | (T, A) |
| `data/demo_<i>/rewards`, `dones` | (T,), optional |
| `mask/<filter>` | names of demonstrations, optional |

Source: `docs/datasets/overview.md` of ARISE-Initiative/robomimic.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import h5py
import numpy as np

from spar_lightning.datasets.memory import available_memory
from spar_lightning.datasets.sources.arrays.flat_columns import FLOATS, REALS, check_column
from spar_lightning.datasets.sources.arrays.hdf5_items import column_in, group_in, names_in
from spar_lightning.datasets.sources.column import Column
from spar_lightning.types import DataError

_ROBOSUITE = 1  # robomimic's number of this kind of environment
_NUMBER = 8  # bytes
_MOST_LISTED = 10_000_000  # names in a filter


class Demo(NamedTuple):
    """The arrays of one demonstration of T steps."""

    observations: list[Column]  # (T,) or (T, K) each, in the order of the keys
    next_observations: list[Column] | None
    actions: Column  # (T, A)
    rewards: Column | None  # (T,)
    dones: Column | None  # (T,)

    @property
    def steps(self) -> int:
        """T."""
        return self.actions.shape[0]

    @property
    def observation_dim(self) -> int:
        """How many numbers the parts have side by side."""
        return sum(_width(column) for column in self.observations)


def demo_names(file: h5py.File, mask: str | None) -> list[str]:
    """Names of the demonstrations, all or those of a filter, by their numbers.

    Raises:
        DataError: there are none, or no such filter.
    """
    data = group_in(file, "data")
    names = [] if data is None else [name for name in names_in(data) if re.fullmatch(r"demo_\d+", name)]
    if mask is not None:
        masks = group_in(file, "mask")
        filters = [] if masks is None else names_in(masks)
        if masks is None or mask not in filters:
            raise DataError(
                f"`mask` is {mask}, but there are {', '.join(filters) or 'no filters'} in the file's `mask`."
            )
        kept = _names(column_in(masks, mask))
        names = [name for name in names if name in kept]
    if not names:
        raise DataError("It holds no demonstration `data/demo_<number>`" + (f" of `mask/{mask}`." if mask else "."))
    return sorted(names, key=lambda name: int(name.removeprefix("demo_")))


def _names(column: Column) -> set[str]:
    if len(column.shape) != 1 or column.dtype.kind not in "SO" or column.shape[0] > _MOST_LISTED:
        raise DataError(f"A filter in `mask` has shape {column.shape} and type {column.dtype}, expected names.")
    return {str(name, "utf-8", "replace") for name in column[: column.shape[0]]}


def observation_parts(demo: h5py.Group) -> tuple[list[str], list[str]]:
    """Keys of the observations that are vectors or numbers, and of all others: images."""
    group = group_in(demo, "obs")
    if group is None:
        found = ", ".join(names_in(demo))
        raise DataError(f"`{demo.name}` has no group `obs`, only {found}: extract the observations first.")
    vectors = [key for key in names_in(group) if 1 <= len(column_in(group, key).shape) <= 2]
    return vectors, [key for key in names_in(group) if key not in vectors]


def open_demo(demo: h5py.Group, keys: Sequence[str]) -> Demo:
    """The arrays of a demonstration.

    Raises:
        DataError: one is missing, or has another shape, length or type, or they do not fit into memory.
    """
    observations = _parts(demo, "obs", keys)
    following = _parts(demo, "next_obs", keys) if "next_obs" in demo else None
    found = Demo(
        observations,
        following,
        check_column("actions", column_in(demo, "actions"), 2, FLOATS),
        *(_flat(demo, name) for name in ("rewards", "dones")),
    )
    _check_lengths(demo.name, found)
    needed = _NUMBER * found.steps * (2 * found.observation_dim + found.actions.shape[1] + 2)
    if needed > available_memory():
        raise DataError(f"`{demo.name}` states {found.steps:,} steps, for which {needed / 1e9:,.1f} GB are not free.")
    return found


def _flat(demo: h5py.Group, name: str) -> Column | None:
    return check_column(name, column_in(demo, name), 1, REALS) if name in demo else None


def _parts(demo: h5py.Group, name: str, keys: Sequence[str]) -> list[Column]:
    group = group_in(demo, name)
    if group is None:
        raise DataError(f"`{demo.name}/{name}` is no group, expected one with the parts of the observations.")
    missing = [key for key in keys if key not in group]
    if missing:
        raise DataError(f"`{demo.name}/{name}` has no `{missing[0]}`, only {', '.join(names_in(group))}.")
    columns = [column_in(group, key) for key in keys]
    return [
        check_column(f"{name}/{key}", column, 1 if len(column.shape) == 1 else 2, REALS)
        for key, column in zip(keys, columns, strict=True)
    ]


def _check_lengths(place: str, demo: Demo) -> None:
    parts = [*demo.observations, *(demo.next_observations or []), demo.rewards, demo.dones]
    wrong = [column.shape[0] for column in parts if column is not None and column.shape[0] != demo.steps]
    if wrong:
        raise DataError(
            f"An array of `{place}` has {wrong[0]} rows, `actions` has {demo.steps}; expected as many of each."
        )


def side_by_side(columns: Sequence[Column], steps: int) -> np.ndarray[Any, Any]:
    """The parts of T observations as vectors (T, O)."""
    return np.concatenate([np.asarray(column[:steps]).reshape(steps, _width(column)) for column in columns], axis=1)


def _width(column: Column) -> int:
    return column.shape[1] if len(column.shape) == 2 else 1


def rewards_are_successes(file: h5py.File) -> bool:
    """Whether a positive reward means success: robosuite's do, unless they are shaped."""
    try:
        found: Any = json.loads(file["data"].attrs.get("env_args", "{}"))
    except (ValueError, TypeError, RecursionError):
        return False
    kind = found.get("env_type") if isinstance(found, Mapping) else None
    settings = found.get("env_kwargs") if isinstance(found, Mapping) else None
    shaped = settings.get("reward_shaping", False) if isinstance(settings, Mapping) else True
    return kind == _ROBOSUITE and not shaped
