"""LeRobot folders, v2.0, v2.1 and v3.0: robots' logs of low dimension, without their images.

| column | |
|---|---|
| `observation.state`, `observation.environment_state` | the observation, side by side where there are both |
| `action` | |
| `episode_index` | where it changes, another episode begins |
| `frame_index` | counts the steps of an episode |
| `next.reward` | else `success_reward` |
| `next.success` | in the last step of an episode: it ended the task |
| `next.done`, `next.truncated`, `next.terminated` | in the last step: it was not cut off, so it ended the task |
| `terminations`, `terminals`, `terminated` | in the place of these marks, as in a table |

No observation follows the last step: where it did not end the task, it is dropped.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from spar_lightning.datasets.dataset import OfflineDataset, fingerprint_of
from spar_lightning.datasets.sources.arrays.flat_columns import SuccessReward
from spar_lightning.datasets.sources.arrays.flat_source import FlatSource, open_flat
from spar_lightning.datasets.sources.column import Column
from spar_lightning.datasets.sources.lerobot.folder import read_folder
from spar_lightning.datasets.sources.paths import path_of
from spar_lightning.datasets.sources.tables.arrow import readable
from spar_lightning.datasets.sources.tables.naming import ColumnNames, named_columns
from spar_lightning.datasets.sources.tables.readers import ParquetReader
from spar_lightning.datasets.sources.tables.table_source import table_arrays
from spar_lightning.types import DataError

_COLUMNS = {
    "observations": ["observation.state", "observation.environment_state"],
    "actions": ["action"],
    "rewards": ["next.reward"],
    "episode": ["episode_index"],
    "success": ["next.success"],
}
_MARKS = {
    "done": ["next.done"],
    "truncated": ["next.truncated"],
    "terminated": ["next.terminated"],
    "frame": ["frame_index"],
}

Array = npt.NDArray[Any]


def open_lerobot(
    name: str,
    observation_keys: Sequence[str] | None = None,
    columns: ColumnNames | None = None,
    success_reward: SuccessReward | None = None,
) -> OfflineDataset:
    """Open a folder by its path; reads once what tells its episodes apart.

    Args:
        name: the path.
        observation_keys: the parts of the environment's dict observations, in the order of the columns.
        columns: which columns make up which array, where it is not those above.
        success_reward: as in `flat_columns`.

    Raises:
        DataError: it is of another version or damaged, steps are missing, or it lacks a column.
    """
    path = path_of(name)
    folder = read_folder(path)
    with readable(str(path)):
        found = fingerprint_of(folder.files, columns, success_reward)
        reader = ParquetReader(folder.files)
        names = _names(reader, columns)
        arrays = table_arrays(reader, names, ("episode", "success", *_MARKS))
        notes = [*_ends(arrays, success_reward), *_pictures(folder.pictures)]

    @contextlib.contextmanager
    def opened() -> Iterator[Mapping[str, Column]]:
        with readable(str(path)):
            if fingerprint_of(folder.files, columns, success_reward) != found:
                raise DataError(f"{path} was changed since it was opened: open it again.")
            yield arrays

    dataset = open_flat(FlatSource(str(path), opened, found, success_reward), str(path))
    keys = None if observation_keys is None else tuple(observation_keys)
    observed = tuple(names["observations"])
    return replace(dataset, observation_keys=keys, observation_names=observed, notes=(*dataset.notes, *notes))


def _names(reader: ParquetReader, stated: ColumnNames | None) -> dict[str, list[str]]:
    """Array -> its columns, of those that there are."""
    names = {array: [name for name in columns if name in reader.types] for array, columns in _COLUMNS.items()}
    marks = {mark: columns for mark, columns in _MARKS.items() if columns[0] in reader.types}
    if not names["episode"]:
        raise DataError(f"There is no `episode_index`, only {', '.join(reader.types)}.")
    every: dict[str, str | list[str]] = {array: columns for array, columns in names.items() if columns}
    return {**named_columns(every | dict(stated or {}), reader.types), **marks}


def _ends(arrays: dict[str, Column], success_reward: SuccessReward | None) -> Iterator[str]:
    """Put terminations in the place of the marks that they follow from, if no column has them; say what is not told."""
    marks = {mark: np.asarray(arrays.pop(mark)[:]) for mark in _MARKS if mark in arrays}
    episode = np.asarray(arrays["episode"][:])
    _check_frames(episode, marks.get("frame"))
    if "terminations" in arrays:
        return
    last = np.append(episode[1:] != episode[:-1], np.ones(min(1, len(episode)), dtype=np.bool_))
    ended = np.asarray(arrays["success"][:]) != 0 if "success" in arrays else np.zeros(len(episode), dtype=np.bool_)
    if "terminated" in marks:
        ended = ended | (marks["terminated"] != 0)
    if {"done", "truncated"} <= marks.keys():
        ended = ended | ((marks["done"] != 0) & (marks["truncated"] == 0))
    arrays["terminations"] = last & ended
    if "success" not in arrays and not marks.keys() & {"terminated", "truncated"} and success_reward is None:
        yield (
            "there is no `next.success` (nor `next.terminated` or `next.truncated`): whether an episode ended its task "
            "is not known, so none is taken to have, and each loses its last step"
        )


def _check_frames(episode: Array, frame: Array | None) -> None:
    """See that no step is missing within an episode, after which another observation would come than recorded."""
    if frame is None:
        return
    jumps = (episode[1:] == episode[:-1]) & (frame[1:] != frame[:-1] + 1)
    if jumps.any():
        row = int(jumps.argmax())
        raise DataError(
            f"`frame_index` goes from {frame[row]} to {frame[row + 1]} in row {row + 1}, within an episode: steps are "
            "missing, or not in order. Sort them, or make what follows a gap an episode of its own."
        )


def _pictures(names: Sequence[str]) -> Iterator[str]:
    if names:
        yield f"images are left out: {', '.join(names)}"
