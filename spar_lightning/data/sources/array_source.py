"""Data sets in one file of flat arrays: D4RL's `.hdf5`, or a user's own in the same layout, also as `.npz`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from spar_lightning.data.dataset import Episode, FloatArray, OfflineDataset, fingerprint_of
from spar_lightning.data.simulators.d4rl_environments import d4rl_environment
from spar_lightning.data.simulators.reference_scores import score_scale
from spar_lightning.data.sources.array_file import Column, open_columns
from spar_lightning.data.sources.d4rl_names import d4rl_name_of
from spar_lightning.data.sources.episode_bounds import EpisodeBounds, episode_bounds
from spar_lightning.data.sources.flat_columns import FlatColumns, flat_columns
from spar_lightning.data.storage.memory import available_memory
from spar_lightning.types import DataError

_BLOCK = 1 << 16  # rows read at once
_NUMBER = 4  # bytes


def open_file(name: str, observation_keys: Sequence[str] | None = None) -> OfflineDataset:
    """Open a file by its path, absolute, relative or with `~`; reads shapes and flags only.

    A file that is named like one of D4RL's is taken for it: it has an environment, scores, and actions in [-1, 1]. Of
    another neither is known.

    Args:
        name: the path.
        observation_keys: the parts of the environment's dict observations, in the order in which the file has them
            side by side; by default those of D4RL.

    Raises:
        DataError: there is no such file, it is damaged, or its arrays are not those of `flat_columns`.
    """
    try:
        path = Path(name).expanduser().absolute()
    except RuntimeError as error:
        raise DataError(f"`{name}` is no path here: {error}") from error
    return open_arrays(path, str(path), d4rl_name_of(path.name), observation_keys)


def open_arrays(
    path: Path, name: str, d4rl_name: str | None, observation_keys: Sequence[str] | None = None
) -> OfflineDataset:
    """Open a file as the data set `name`.

    Args:
        path: the file.
        name: of the data set.
        d4rl_name: what D4RL calls it, such as `walker2d-medium-v2`; None if it is not D4RL's.
        observation_keys: as in `open_file`.

    Raises:
        DataError: as `open_file`.
    """
    environment = None if d4rl_name is None else d4rl_environment(d4rl_name)
    spec, keys = (None, None) if environment is None else environment
    with open_columns(path) as arrays:
        columns, bounds = _checked(path, arrays, None if spec is None else spec.max_episode_steps)
        observation_dim, action_dim = columns.observations.shape[1], columns.actions.shape[1]
        lacking = 0 if columns.next_observations is not None else int((~bounds.terminations).sum())
        bound = np.full(action_dim, np.inf if d4rl_name is None else 1, dtype=np.float32)
        return OfflineDataset(
            name=name,
            observation_dim=observation_dim,
            action_dim=action_dim,
            action_low=-bound,
            action_high=bound,
            num_episodes=len(bounds.starts),
            num_transitions=columns.rows - lacking,
            environment_spec=spec,
            observation_keys=keys if observation_keys is None else tuple(observation_keys),
            scale=score_scale(spec),
            fingerprint=fingerprint_of([path]),
            ends_flagged_twice=bounds.flagged_twice,
            read=partial(_read, path, bounds),
        )


def _checked(path: Path, arrays: Any, time_limit: int | None) -> tuple[FlatColumns, EpisodeBounds]:
    try:
        columns = flat_columns(arrays)
        _check_memory(columns)
        return columns, episode_bounds(columns, time_limit)
    except DataError as error:
        raise DataError(f"{path} cannot be used. {error}") from error


def _check_memory(columns: FlatColumns) -> None:
    """Refuse what cannot be read anyway, before it takes all memory: a small file may state, or unfold to, anything."""
    rows, width = columns.rows, columns.observations.shape[1] + columns.actions.shape[1]
    needed, free = _NUMBER * (rows + min(rows, _BLOCK) * width), available_memory()  # flags of all rows, and a block
    if needed > free:
        raise DataError(
            f"It states {rows:,} rows of {width:,} numbers, which take at least {needed / 1e9:,.1f} GB of memory to "
            f"read; {free / 1e9:,.1f} GB are free. Is it damaged? Else split it, or free memory."
        )


def _read(path: Path, bounds: EpisodeBounds) -> Iterator[Episode]:
    with open_columns(path) as arrays:
        columns = flat_columns(arrays)
        if columns.rows != bounds.stops[-1]:
            raise DataError(f"{path} had {bounds.stops[-1]:,} rows and now has {columns.rows:,}: open it again.")
        for group in _groups(bounds):
            yield from _episodes(columns, bounds.part(group), path)


def _groups(bounds: EpisodeBounds) -> Iterator[slice]:
    """Slices of episodes that follow one another: as many as fit into a block, at least one."""
    first = 0
    while first < len(bounds.starts):
        end = int(np.searchsorted(bounds.stops, bounds.starts[first] + _BLOCK, side="right"))
        yield slice(first, max(end, first + 1))
        first = max(end, first + 1)


def _episodes(columns: FlatColumns, bounds: EpisodeBounds, path: Path) -> Iterator[Episode]:
    """The episodes of one block, read at once."""
    begin, rows = int(bounds.starts[0]), slice(int(bounds.starts[0]), int(bounds.stops[-1]))
    observations, actions, rewards = (
        _float32(getattr(columns, name), name, rows, path) for name in ("observations", "actions", "rewards")
    )
    following = columns.next_observations
    next_observations = None if following is None else _float32(following, "next_observations", rows, path)
    for start, stop, termination in zip(bounds.starts - begin, bounds.stops - begin, bounds.terminations, strict=True):
        yield Episode(
            observations=observations[start:stop],
            actions=actions[start:stop],
            rewards=rewards[start:stop].reshape(-1),
            next_observations=(
                observations[start + 1 : stop] if next_observations is None else next_observations[start:stop]
            ),
            termination=bool(termination),
        )


def _float32(column: Column, name: str, rows: slice, path: Path) -> FloatArray:
    values = column[rows]
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32, copy=False)
    lost = np.isinf(narrow) & np.isfinite(values)
    if lost.any():
        row, *rest = np.argwhere(lost)[0].tolist()
        place = f"row {rows.start + row}" + (f", column {rest[0]}" if rest else "")
        raise DataError(
            f"`{name}` of {path} is {values[row][tuple(rest)]} in {place}, too large for float32; expected less than "
            "3.4e38: rescale the data, or remove that episode."
        )
    return narrow
