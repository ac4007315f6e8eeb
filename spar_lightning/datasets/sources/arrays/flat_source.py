"""Data sets of flat arrays, whatever kind of file holds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from gymnasium.envs.registration import EnvSpec

from spar_lightning.datasets.blocks import rows_at_once
from spar_lightning.datasets.dataset import Episode, FloatArray, OfflineDataset
from spar_lightning.datasets.memory import available_memory
from spar_lightning.datasets.sources.arrays.episode_bounds import EpisodeBounds, episode_bounds
from spar_lightning.datasets.sources.arrays.flat_columns import FlatColumns, SuccessReward, flat_columns
from spar_lightning.datasets.sources.column import Column
from spar_lightning.simulators.reference_scores import score_scale
from spar_lightning.telling import warn
from spar_lightning.types import DataError

_BLOCK = 1 << 16  # rows read at once, if they are not too wide
_FLOAT = np.dtype(np.float32)
_LEAST_LOSS = 1e-3  # range of a column that is told to stand still as float32


class FlatSource(NamedTuple):
    """Where the arrays of `flat_columns` come from."""

    place: str  # in words, for messages
    columns: Callable[[], AbstractContextManager[Mapping[str, Column]]]  # they can be read until the context ends
    fingerprint: str  # empty where there are no files
    success_reward: SuccessReward | None = None


def open_flat(source: FlatSource, name: str, spec: EnvSpec | None = None, bound: float = np.inf) -> OfflineDataset:
    """Open flat arrays as the data set `name`; reads their flags only.

    Args:
        source: of the arrays.
        name: of the data set.
        spec: of the environment, where it is known.
        bound: of the actions, infinite where it is not known.

    Raises:
        DataError: they cannot be read, or are not those of `flat_columns`.
    """
    with source.columns() as arrays:
        columns, bounds = _checked(source, arrays, None if spec is None else spec.max_episode_steps)
        lacking = 0 if columns.next_observations is not None else int((~bounds.terminations).sum())
        limit = np.full(columns.actions.shape[1], bound, dtype=np.float32)
        return OfflineDataset(
            name=name,
            observation_dim=columns.observations.shape[1],
            action_dim=columns.actions.shape[1],
            action_low=-limit,
            action_high=limit,
            num_episodes=len(bounds.starts),
            num_transitions=columns.rows - lacking,
            environment_spec=spec,
            scale=score_scale(spec),
            fingerprint=source.fingerprint,
            ends_are_successes=bounds.successes is not None,
            ends_flagged_twice=bounds.flagged_twice,
            notes=() if bounds.successes is None else (note_of_successes(bounds.successes),),
            read=partial(_read, source, bounds),
        )


def note_of_successes(successes: np.ndarray[Any, Any]) -> str:
    """What to say of rewards that were made up, given which episodes (E,) end well."""
    return (
        f"no rewards are recorded: `success_reward` puts 1 at the end of {successes.sum():,} of {len(successes):,} "
        "episodes, as a termination, and 0 everywhere else"
    )


def _checked(source: FlatSource, arrays: Any, time_limit: int | None) -> tuple[FlatColumns, EpisodeBounds]:
    try:
        columns = flat_columns(arrays, source.success_reward)
        _check_memory(columns)
        return columns, episode_bounds(columns, time_limit)
    except DataError as error:
        raise DataError(f"{source.place} cannot be used. {error}") from error


def _check_memory(columns: FlatColumns) -> None:
    """Refuse what cannot be read anyway, before it takes all memory: a small file may state, or unfold to, anything."""
    rows, width = columns.rows, columns.observations.shape[1] + columns.actions.shape[1]
    needed, free = _FLOAT.itemsize * (rows + min(rows, _block(columns)) * width), available_memory()  # flags, a block
    if needed > free:
        raise DataError(
            f"It states {rows:,} rows of {width:,} numbers, which take at least {needed / 1e9:,.1f} GB of memory to "
            f"read; {free / 1e9:,.1f} GB are free. Is it damaged? Else split it, or free memory."
        )


def _read(source: FlatSource, bounds: EpisodeBounds) -> Iterator[Episode]:
    with source.columns() as arrays:
        columns = flat_columns(arrays, source.success_reward)
        if columns.rows != bounds.stops[-1]:
            raise DataError(
                f"{source.place} had {bounds.stops[-1]:,} rows and now has {columns.rows:,}: open it again."
            )
        for group in _groups(bounds, _block(columns)):
            yield from _episodes(columns, bounds.part(group), source.place)


def _block(columns: FlatColumns) -> int:
    width = columns.observations.shape[1] + columns.actions.shape[1]
    return min(_BLOCK, rows_at_once((columns.rows, width), _FLOAT))


def _groups(bounds: EpisodeBounds, block: int) -> Iterator[slice]:
    """Slices of episodes that follow one another: as many as fit into a block of rows, at least one."""
    first = 0
    while first < len(bounds.starts):
        end = int(np.searchsorted(bounds.stops, bounds.starts[first] + block, side="right"))
        yield slice(first, max(end, first + 1))
        first = max(end, first + 1)


def _episodes(columns: FlatColumns, bounds: EpisodeBounds, place: str) -> Iterator[Episode]:
    """The episodes of one block, read at once."""
    begin, rows = int(bounds.starts[0]), slice(int(bounds.starts[0]), int(bounds.stops[-1]))
    observations, actions = (
        read_float32(getattr(columns, name), name, rows, place) for name in ("observations", "actions")
    )
    rewards = _rewards(columns, bounds, rows, place)
    following = columns.next_observations
    next_observations = None if following is None else read_float32(following, "next_observations", rows, place)
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


def _rewards(columns: FlatColumns, bounds: EpisodeBounds, rows: slice, place: str) -> FloatArray:
    if columns.rewards is not None:
        return read_float32(columns.rewards, "rewards", rows, place)
    rewards = np.zeros(rows.stop - rows.start, dtype=np.float32)
    rewards[bounds.stops - 1 - rows.start] = bounds.successes
    return rewards


def read_float32(column: Column, name: str, rows: slice, place: str) -> FloatArray:
    """Rows of a column as `as_float32`; at any time only a block of them in the stored type."""
    step = rows_at_once(column.shape, column.dtype)
    if rows.stop - rows.start <= step:
        return as_float32(column[rows], name, rows.start, place)
    values = np.empty((rows.stop - rows.start, *column.shape[1:]), dtype=np.float32)
    for start in range(rows.start, rows.stop, step):
        part = slice(start, min(start + step, rows.stop))
        values[part.start - rows.start : part.stop - rows.start] = as_float32(column[part], name, start, place)
    return values


def as_float32(values: np.ndarray[Any, Any], name: str, first_row: int, place: str) -> FloatArray:
    """Numbers as float32.

    Args:
        values: (n,) or (n, K).
        name: of their array, for messages.
        first_row: of the array that they begin in.
        place: of the file.

    Raises:
        DataError: one is too large.
    """
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32, copy=False)
    lost = np.isinf(narrow) & np.isfinite(values)
    if lost.any():
        row, *rest = np.argwhere(lost)[0].tolist()
        where = f"row {first_row + row}" + (f", column {rest[0]}" if rest else "")
        raise DataError(
            f"`{name}` of {place} is {values[row][tuple(rest)]} in {where}, too large for float32; expected less than "
            "3.4e38: rescale the data, or remove that episode."
        )
    if name == "observations":
        warn_of_lost_differences(values, narrow, f"`observations` of {place}")
    return narrow


def warn_of_lost_differences(values: np.ndarray[Any, Any], narrow: FloatArray, what: str) -> None:
    """Tell of columns that stand still as float32 alone, such as the seconds of a clock.

    Of those that keep a few of their values the checks of the data's quality tell; these cannot be seen any more.

    Args:
        values: (n, K), as stored.
        narrow: (n, K), the same as float32.
        what: they are, in words.
    """
    if not len(values) or values.dtype.itemsize <= narrow.dtype.itemsize:
        return
    with np.errstate(invalid="ignore"):
        lost = (np.ptp(narrow, axis=0) == 0) & (np.ptp(values, axis=0) > _LEAST_LOSS)
    for column in np.flatnonzero(lost).tolist():
        warn(
            f"{what} is about {values[0, column]:.4g} in column {column}, where float32 cannot tell its"
            " values apart: subtract an offset first, or leave the column out"
        )
