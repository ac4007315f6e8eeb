"""One look at all demonstrations: whether they are alike, and where they end their task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from spar_lightning.datasets.sources.arrays.array_file import readable_file
from spar_lightning.datasets.sources.arrays.flat_columns import SuccessReward
from spar_lightning.datasets.sources.arrays.hdf5_items import group_in
from spar_lightning.datasets.sources.robomimic.demos import Demo, open_demo
from spar_lightning.datasets.sources.robomimic.dones import BoolArray, Dones, Marks, terminations_of
from spar_lightning.types import DataError

_AT_ONCE = 100  # demonstrations read while the file is open; HDF5 keeps some 50 kB of each until it is closed


def demos_of(path: Path, names: Sequence[str], keys: Sequence[str]) -> Iterator[Demo]:
    """The demonstrations of these names, one by one, each to be read before the next is asked for.

    Raises:
        DataError: the file is damaged, or as `open_demo`.
    """
    for start in range(0, len(names), _AT_ONCE):
        with readable_file(path), h5py.File(path, "r", locking="best-effort") as file:
            for name in names[start : start + _AT_ONCE]:
                demo = group_in(file["data"], name)
                if demo is None:
                    raise DataError(f"`data/{name}` of {path} is no group of the file itself.")
                yield open_demo(demo, keys)


class Shape(NamedTuple):
    """Of one demonstration."""

    steps: int
    observations: int
    actions: int
    followed: bool  # whether it has next observations
    rewarded: bool


def look_at(path: Path, names: Sequence[str], keys: Sequence[str], sparse: bool) -> Iterator[tuple[Shape, Marks]]:
    """The shapes of each demonstration, and what tells its ends.

    Args:
        path: of the file.
        names: of the demonstrations.
        keys: of the observations.
        sparse: whether positive rewards are successes.

    Raises:
        DataError: a demonstration lacks an array, or has another shape, length or type.
    """
    for demo in demos_of(path, names, keys):
        rewards, dones = (
            None if column is None else np.asarray(column[: demo.steps]).reshape(-1)
            for column in (demo.rewards, demo.dones)
        )
        if dones is not None and not np.isin(dones, (0, 1)).all():
            raise DataError(f"`dones` is {dones[~np.isin(dones, (0, 1))][0]} in one step, expected 0 or 1.")
        shape = Shape(
            demo.steps,
            demo.observation_dim,
            demo.actions.shape[1],
            demo.next_observations is not None,
            demo.rewards is not None,
        )
        rewarded = rewards > 0 if sparse and rewards is not None else None
        yield shape, Marks(None if dones is None else dones.astype(np.bool_), rewarded)


def rewards_are_recorded(shapes: Sequence[Shape], success_reward: SuccessReward | None) -> bool:
    """Whether rewards are recorded, after seeing that all demonstrations are alike.

    Raises:
        DataError: they are not; or there are rewards as well as `success_reward`, or none of both.
    """
    for number, shape in enumerate(shapes):
        if shape[1:] != shapes[0][1:]:
            raise DataError(
                f"The demonstrations differ: number {number} has {shape.observations} observation and {shape.actions} "
                f"action dimensions{'' if shape.rewarded == shapes[0].rewarded else ' and other arrays'}, the first "
                f"{shapes[0].observations} and {shapes[0].actions}. Choose alike ones with `mask`."
            )
    if shapes[0].rewarded == (success_reward is not None):
        raise DataError(
            f"There are `rewards`, and `success_reward` is {success_reward}: leave out one of them."
            if shapes[0].rewarded
            else "There are no `rewards`. `success_reward` can put 1 at the end of episodes in their place."
        )
    return shapes[0].rewarded


def ends_of(
    shapes: Sequence[Shape], marks: Sequence[Marks], dones: Dones | None, success_reward: SuccessReward | None
) -> list[BoolArray]:
    """The terminations (T,) of each demonstration.

    Raises:
        DataError: nothing tells them.
    """
    if success_reward == "all":
        return [np.arange(shape.steps) == shape.steps - 1 for shape in shapes]
    if any(found.dones is None for found in marks):
        if dones is not None or success_reward is not None:
            raise DataError("There are no `dones`: leave out `dones`, and give `success_reward` to `all` if to any.")
        return [np.zeros(shape.steps, dtype=np.bool_) for shape in shapes]
    return terminations_of(marks, "success" if success_reward == "success" and dones is None else dones)
