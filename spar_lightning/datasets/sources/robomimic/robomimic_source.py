"""HDF5 files of demonstrations in robomimic's layout, without their images."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from spar_lightning.datasets.dataset import Episode, FloatArray, OfflineDataset, fingerprint_of
from spar_lightning.datasets.sources.arrays.array_file import check_kind, readable_file
from spar_lightning.datasets.sources.arrays.flat_columns import SuccessReward
from spar_lightning.datasets.sources.arrays.flat_source import as_float32, note_of_successes, warn_of_lost_differences
from spar_lightning.datasets.sources.arrays.hdf5_items import group_in
from spar_lightning.datasets.sources.paths import path_of
from spar_lightning.datasets.sources.robomimic.demos import (
    Demo,
    demo_names,
    observation_parts,
    rewards_are_successes,
    side_by_side,
)
from spar_lightning.datasets.sources.robomimic.dones import BoolArray, Dones
from spar_lightning.datasets.sources.robomimic.survey import demos_of, ends_of, look_at, rewards_are_recorded
from spar_lightning.datasets.sources.trajectory import cut_trajectory
from spar_lightning.given_path import given_path
from spar_lightning.types import DataError


def is_robomimic(name: str) -> bool:
    """Whether a name is the path of an HDF5 file with demonstrations."""
    if not name.lower().endswith((".hdf5", ".h5")) or given_path(name).is_fifo():  # a pipe would be waited for
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

    A demonstration that goes on after its task was done is cut there into episodes, as D4RL does. One without
    steps, such as an aborted one, is none.

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
        with readable_file(path):
            seen = zip(names, look_at(path, names, keys, sparse), strict=True)
            taken = [(name, *found) for name, found in seen if found[0].steps]
        if not taken:
            raise DataError(f"None of the {len(names)} demonstrations has a step; expected one that has.")
        names, shapes, marks = map(list, zip(*taken, strict=True))
        rewarded = rewards_are_recorded(shapes, success_reward)
        ends = ends_of(shapes, marks, dones, success_reward)
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
        observation_names=tuple(keys),
        fingerprint=fingerprint_of([path], success_reward, dones, mask),
        ends_are_successes=not rewarded,
        notes=tuple(_notes(keys, pictures, ends, rewarded)),
        read=partial(_read, layout),
    )


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


def _read(layout: _Layout) -> Iterator[Episode]:
    demos = demos_of(layout.path, layout.names, layout.keys)
    for name, demo, terminations in zip(layout.names, demos, layout.terminations, strict=True):
        if demo.steps != len(terminations):
            raise DataError(f"{layout.path} was changed since it was opened: open it again.")
        with readable_file(layout.path):
            yield from _episodes(demo, terminations, f"{layout.path}, data/{name}", name == layout.names[0])


def _episodes(demo: Demo, terminations: BoolArray, place: str, first: bool) -> Iterator[Episode]:
    stored = side_by_side(demo.observations, demo.steps)
    observations = as_float32(stored, "obs", 0, place)
    if first:  # it speaks for all of them
        warn_of_lost_differences(stored, observations, f"`obs` of {place}")
    following = observations[1:]
    if demo.next_observations is not None:
        following = as_float32(side_by_side(demo.next_observations, demo.steps), "next_obs", 0, place)
    actions = as_float32(demo.actions[: demo.steps], "actions", 0, place)
    rewards: FloatArray = terminations.astype(np.float32)
    if demo.rewards is not None:
        rewards = as_float32(demo.rewards[: demo.steps].reshape(-1), "rewards", 0, place)
    return cut_trajectory(observations, actions, rewards, following, terminations)
