"""OGBench's `.npz` files: trajectories for one task, or for none, to which one can be given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spar_lightning.datasets.dataset import Episode, OfflineDataset, fingerprint_of
from spar_lightning.datasets.sources.arrays.array_file import open_columns
from spar_lightning.datasets.sources.arrays.flat_source import read_float32
from spar_lightning.datasets.sources.column import Column
from spar_lightning.datasets.sources.ogbench.layout import Trajectories, check_arrays, flags, trajectories
from spar_lightning.datasets.sources.ogbench.task import MODULE, Labels, label
from spar_lightning.datasets.sources.paths import path_of
from spar_lightning.datasets.sources.trajectory import cut_trajectory
from spar_lightning.types import DataError

_BLOCK = 1 << 16  # rows read at once

BoolArray = npt.NDArray[np.bool_]


class _Layout(NamedTuple):
    """What is known of a file before its values are read."""

    path: Path
    rows: int
    found: Trajectories
    terminations: BoolArray  # (N,)
    rewards: npt.NDArray[np.float32] | None  # (N,), where the file has none


def open_ogbench(name: str, observation_keys: Sequence[str] | None = None, task: str | None = None) -> OfflineDataset:
    """Open a file by its path; reads its flags, and with a task the states of the simulator.

    Where the task is done, an episode ends, and the next one begins: as in D4RL's AntMaze each step at the goal is one.

    Args:
        name: the path.
        observation_keys: the parts of the environment's dict observations, in their order in the vectors.
        task: for a file without rewards, the environment whose task rewards them; policies are evaluated there.

    Raises:
        DataError: the file is damaged, lacks an array, or has no rewards, and no task is named.
    """
    path = path_of(name)
    try:
        with open_columns(path) as arrays:
            layout, notes = _layout(path, arrays, task)
            widths = arrays["observations"].shape[1], arrays["actions"].shape[1]
    except DataError as error:
        raise DataError(f"{path} cannot be used. {error}") from error
    limit = np.ones(widths[1], dtype=np.float32)
    lengths = layout.found.stops - layout.found.starts - layout.found.final
    ends = layout.terminations[layout.found.stops - 1 - layout.found.final]
    dataset = OfflineDataset(
        name=str(path),
        observation_dim=widths[0],
        action_dim=widths[1],
        action_low=-limit,
        action_high=limit,
        num_episodes=int(layout.terminations.sum() + (~ends & (lengths > 0)).sum()),
        num_transitions=int(lengths.sum()),
        observation_keys=None if observation_keys is None else tuple(observation_keys),
        fingerprint=fingerprint_of([path], task),
        notes=notes,
        read=partial(_read, layout),
    )
    return dataset if task is None else dataset.evaluated_in(f"{MODULE}:{task}", None)


def _layout(path: Path, arrays: Mapping[str, Column], task: str | None) -> tuple[_Layout, tuple[str, ...]]:
    rows = check_arrays(arrays)
    found = trajectories(arrays)
    labels, notes = _labels(arrays, rows, task)
    steps = np.ones(rows, dtype=np.bool_)
    if found.final:
        steps[found.stops - 1] = False
    return _Layout(path, rows, found, labels.terminations & steps, None if task is None else labels.rewards), notes


def _labels(arrays: Mapping[str, Column], rows: int, task: str | None) -> tuple[Labels, tuple[str, ...]]:
    """Terminations, and rewards where the file has none, and what is to be said of them."""
    none = np.zeros(rows, dtype=np.bool_)
    if task is not None:
        if "rewards" in arrays:
            raise DataError(f"There are `rewards`, and `task` is {task}: leave it out.")
        labels = label(arrays, rows, task)
        done = labels.terminations.sum()
        return labels, (f"rewards are those of `{task}`, which {done:,} of {rows:,} states have done",)
    if "rewards" not in arrays:
        raise DataError(
            "There are no `rewards`. If it is one of OGBench's goal-conditioned files, name the task of its "
            "environment that rewards it, as in `task: antmaze-large-singletask-task1-v0` (`pip install ogbench`); "
            "else add them, and `timeouts`."
        )
    if "masks" in arrays:
        return Labels(none.astype(np.float32), ~flags(arrays, "masks")), ()
    return Labels(none.astype(np.float32), none), ("there are no `masks`: no step is taken to end the task",)


def _read(layout: _Layout) -> Iterator[Episode]:
    with open_columns(layout.path) as arrays:
        if check_arrays(arrays) != layout.rows:
            raise DataError(f"{layout.path} was changed since it was opened: open it again.")
        starts, stops, final = layout.found
        first = 0
        while first < len(starts):
            end = max(first + 1, int(np.searchsorted(stops, starts[first] + _BLOCK, side="right")))
            block = _Block(arrays, slice(int(starts[first]), int(stops[end - 1])), layout)
            for start, stop in zip(starts[first:end].tolist(), stops[first:end].tolist(), strict=True):
                if stop - start > final:
                    yield from block.episodes(start, stop - final)
            first = end


class _Block:
    """The rows of some trajectories, read at once.

    Args:
        arrays: of the file.
        rows: of these trajectories.
        layout: of the file.
    """

    def __init__(self, arrays: Mapping[str, Column], rows: slice, layout: _Layout) -> None:
        self._begin, self._layout = rows.start, layout

        def read(name: str) -> Any:
            return read_float32(arrays[name], name, rows, str(layout.path))

        self._observations, self._actions = read("observations"), read("actions")
        self._rewards = read("rewards").reshape(-1) if layout.rewards is None else layout.rewards[rows]
        self._following = read("next_observations") if not layout.found.final else None

    def episodes(self, start: int, stop: int) -> Iterator[Episode]:
        """Those of the trajectory whose steps are the rows from `start` to `stop`."""
        steps = slice(start - self._begin, stop - self._begin)
        after = slice(steps.start + 1, steps.stop + 1)
        return cut_trajectory(
            self._observations[steps],
            self._actions[steps],
            self._rewards[steps],
            self._observations[after] if self._following is None else self._following[steps],
            self._layout.terminations[start:stop],
        )
