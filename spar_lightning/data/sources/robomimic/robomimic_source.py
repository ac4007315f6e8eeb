"""HDF5 files of demonstrations in robomimic's layout, without their images."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from spar_lightning.data.dataset import Episode, FloatArray, OfflineDataset, fingerprint_of
from spar_lightning.data.sources.array_file import check_kind, group_in, readable_file
from spar_lightning.data.sources.flat_columns import SuccessReward
from spar_lightning.data.sources.flat_source import as_float32, note_of_successes
from spar_lightning.data.sources.paths import path_of
from spar_lightning.data.sources.robomimic.demos import (
    Demo,
    demo_names,
    observation_parts,
    open_demo,
    rewards_are_successes,
    side_by_side,
)
from spar_lightning.data.sources.robomimic.dones import Dones, Marks, terminations_of
from spar_lightning.data.sources.trajectory import cut_trajectory
from spar_lightning.types import DataError

_AT_ONCE = 100  # demonstrations read while the file is open; HDF5 keeps some 50 kB of each until it is closed

BoolArray = npt.NDArray[np.bool_]


def is_robomimic(name: str) -> bool:
    """Whether a name is the path of an HDF5 file with demonstrations."""
    if not name.lower().endswith((".hdf5", ".h5")):
        return False
    with (
        contextlib.suppress(OSError, RuntimeError, ValueError, KeyError),
        h5py.File(Path(name).expanduser(), "r", locking="best-effort") as file,
    ):
        return "observations" not in file and group_in(file, "data") is not None
    return False


class _Layout(NamedTuple):
    """What is the same for all demonstrations, and where each ends its task."""

    path: Path
    names: list[str]
    keys: list[str]
    terminations: list[BoolArray]  # (T,) of each demonstration


def open_robomimic(
    name: str,
    observation_keys: Sequence[str] | None = None,
    success_reward: SuccessReward | None = None,
    dones: Dones | None = None,
    mask: str | None = None,
) -> OfflineDataset:
    """Open a file by its path; reads shapes, and what tells the ends of the demonstrations.

    A demonstration that goes on after its task was done is cut there into episodes, as D4RL does.

    Args:
        name: the path.
        observation_keys: parts of the observations, side by side in this order; by default all but images, by name.
        success_reward: where no rewards are recorded, 1 at the end of `all` demonstrations, or where `dones` mark a
            `success`.
        dones: what these mark, where nothing tells.
        mask: name of one of the file's filters, whose demonstrations are read.

    Raises:
        DataError: the file is damaged, lacks an array, or does not tell what its `dones` mark.
    """
    path = path_of(name)
    check_kind(path)
    try:
        with readable_file(path), h5py.File(path, "r", locking="best-effort") as file:
            names = demo_names(file, mask)
            vectors, pictures = observation_parts(file["data"][names[0]])
            keys = vectors if observation_keys is None else [*observation_keys]
            sparse = rewards_are_successes(file)
        shapes, marks = map(list, zip(*_looked_at(path, names, keys, sparse), strict=True))
        rewarded = _all_or_none(shapes, success_reward)
        ends = _ends(shapes, marks, dones, success_reward)
    except DataError as error:
        raise DataError(f"{path} cannot be used. {error}") from error
    layout = _Layout(path, names, keys, ends)
    limit = np.full(shapes[0].actions, np.inf, dtype=np.float32)
    terminated = np.array([bool(flags[-1:].any()) for flags in ends])
    lacking = 0 if shapes[0].followed else int((~terminated).sum())
    return OfflineDataset(
        name=str(path),
        observation_dim=shapes[0].observations,
        action_dim=shapes[0].actions,
        action_low=-limit,
        action_high=limit,
        num_episodes=sum(max(1, int(flags.sum()) + (not end)) for flags, end in zip(ends, terminated, strict=True)),
        num_transitions=sum(shape.steps for shape in shapes) - lacking,
        observation_keys=None if observation_keys is None else tuple(keys),
        fingerprint=fingerprint_of([path], success_reward, dones, mask),
        notes=tuple(_notes(keys, pictures, ends, rewarded)),
        read=partial(_read, layout),
    )


class _Shape(NamedTuple):
    """Of one demonstration."""

    steps: int
    observations: int
    actions: int
    followed: bool  # whether it has next observations
    rewarded: bool


def _looked_at(path: Path, names: Sequence[str], keys: Sequence[str], sparse: bool) -> Iterator[tuple[_Shape, Marks]]:
    for demo in _demos(path, names, keys):
        rewards, dones = (
            None if column is None else np.asarray(column[: demo.steps]).reshape(-1)
            for column in (demo.rewards, demo.dones)
        )
        if dones is not None and not np.isin(dones, (0, 1)).all():
            raise DataError(f"`dones` is {dones[~np.isin(dones, (0, 1))][0]} in one step, expected 0 or 1.")
        shape = _Shape(
            demo.steps,
            demo.observation_dim,
            demo.actions.shape[1],
            demo.next_observations is not None,
            demo.rewards is not None,
        )
        rewarded = rewards > 0 if sparse and rewards is not None else None
        yield shape, Marks(None if dones is None else dones.astype(np.bool_), rewarded)


def _all_or_none(shapes: Sequence[_Shape], success_reward: SuccessReward | None) -> bool:
    """Whether rewards are recorded, after seeing that all demonstrations are alike."""
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


def _ends(
    shapes: Sequence[_Shape], marks: Sequence[Marks], dones: Dones | None, success_reward: SuccessReward | None
) -> list[BoolArray]:
    """The terminations (T,) of each demonstration."""
    if success_reward == "all":
        return [np.arange(shape.steps) == shape.steps - 1 for shape in shapes]
    if any(found.dones is None for found in marks):
        if dones is not None or success_reward is not None:
            raise DataError("There are no `dones`: leave out `dones`, and give `success_reward` to `all` if to any.")
        return [np.zeros(shape.steps, dtype=np.bool_) for shape in shapes]
    return terminations_of(marks, "success" if success_reward == "success" and dones is None else dones)


def _notes(
    keys: Sequence[str], pictures: Sequence[str], terminations: Sequence[BoolArray], rewarded: bool
) -> Iterator[str]:
    if not rewarded:
        yield note_of_successes(np.array([flags.any() for flags in terminations]))
    if len(keys) > 1:
        yield f"observations are {', '.join(keys)}, side by side: `observation_keys` chooses"
    left_out = [key for key in pictures if key not in keys]
    if left_out:
        yield f"images are left out: {', '.join(left_out)}"


def _demos(path: Path, names: Sequence[str], keys: Sequence[str]) -> Iterator[Demo]:
    for start in range(0, len(names), _AT_ONCE):
        with readable_file(path), h5py.File(path, "r", locking="best-effort") as file:
            for name in names[start : start + _AT_ONCE]:
                demo = group_in(file["data"], name)
                if demo is None:
                    raise DataError(f"`data/{name}` of {path} is no group of the file itself.")
                yield open_demo(demo, keys)


def _read(layout: _Layout) -> Iterator[Episode]:
    demos = _demos(layout.path, layout.names, layout.keys)
    for name, demo, terminations in zip(layout.names, demos, layout.terminations, strict=True):
        if demo.steps != len(terminations):
            raise DataError(f"{layout.path} was changed since it was opened: open it again.")
        with readable_file(layout.path):
            yield from _episodes(demo, terminations, f"{layout.path}, data/{name}")


def _episodes(demo: Demo, terminations: BoolArray, place: str) -> Iterator[Episode]:
    observations = as_float32(side_by_side(demo.observations, demo.steps), "obs", 0, place)
    following = observations[1:]
    if demo.next_observations is not None:
        following = as_float32(side_by_side(demo.next_observations, demo.steps), "next_obs", 0, place)
    actions = as_float32(demo.actions[: demo.steps], "actions", 0, place)
    rewards: FloatArray = terminations.astype(np.float32)
    if demo.rewards is not None:
        rewards = as_float32(demo.rewards[: demo.steps].reshape(-1), "rewards", 0, place)
    return cut_trajectory(observations, actions, rewards, following, terminations)
