"""From episodes to rows: what each transition is made of, in every place that transitions are kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NoReturn

import numpy as np

from spar_lightning.datasets.blocks import rows_at_once
from spar_lightning.datasets.dataset import Episode, FloatArray
from spar_lightning.types import DataError

Widths = dict[str, int | None]
"""Columns by name, in their order in a row: K for (N, K), None for (N,)."""

BASE_COLUMNS = ("observations", "actions", "rewards", "next_observations", "terminations")
"""Those that every data set has, in this order, at the start of each row."""


def base_widths(observation_dim: int, action_dim: int) -> Widths:
    """The widths of the base columns."""
    return dict(zip(BASE_COLUMNS, (observation_dim, action_dim, None, observation_dim, None), strict=True))


def flat_widths(widths: Mapping[str, int | None]) -> list[int]:
    """How many numbers of a row each column takes."""
    return [1 if width is None else width for width in widths.values()]


def columns_of(episodes: Iterable[Episode]) -> Iterator[dict[str, FloatArray]]:
    """The columns of each episode, (T,) or (T, K); an episode without a transition is left out.

    Where an episode lacks its last next observation, its last transition is dropped and the episode ends at the one
    before, unless it is a termination: that transition is never bootstrapped from, so it stays, with its own
    observation in the place of the next.

    Args:
        episodes: read one by one, so that they need not be in memory together.

    Raises:
        DataError: there is no transition, lengths or widths disagree, or a value is NaN or infinite.
    """
    widths: Widths = {}
    for number, episode in enumerate(episodes):
        columns = _columns(episode, number)
        if len(columns["rewards"]) == 0:
            continue
        found = {name: values.shape[1] if values.ndim == 2 else None for name, values in columns.items()}
        widths = widths or found
        if found != widths:
            raise DataError(f"Episode {number} has columns of widths {found}, those before it have {widths}.")
        yield columns
    if not widths:
        raise DataError("The data set holds no transition; expected at least one: was its recording interrupted?")


def _columns(episode: Episode, number: int) -> dict[str, FloatArray]:
    observations, actions, rewards, next_observations, termination = episode
    steps = len(observations)
    lacks_last = steps > 0 and len(next_observations) == steps - 1
    if len(actions) != steps or len(rewards) != steps or not (lacks_last or len(next_observations) == steps):
        raise DataError(
            f"The arrays of episode {number} differ in length: {steps} observations, {len(actions)} actions, "
            f"{len(rewards)} rewards, {len(next_observations)} next observations; expected the same number of each "
            "(or one next observation less)."
        )
    if lacks_last and termination:
        next_observations = np.concatenate([next_observations, observations[-1:]])
    steps = len(next_observations)
    terminations = np.zeros(steps, dtype=np.float32)
    terminations[-1:] = termination
    kept = (observations[:steps], actions[:steps], rewards[:steps], next_observations, terminations)
    columns = dict(zip(BASE_COLUMNS, kept, strict=True))
    for name, values in columns.items():
        _check_finite(name, values, number)
    return columns


def _check_finite(name: str, values: FloatArray, number: int) -> None:
    for start in range(0, len(values), step := rows_at_once(values.shape, values.dtype)):
        if not np.isfinite(values[start : start + step]).all():
            _tell_not_finite(name, values, number)


def _tell_not_finite(name: str, values: FloatArray, number: int) -> NoReturn:
    bad = ~np.isfinite(values)
    row, *dimension = np.argwhere(bad)[0].tolist()
    place = f"dimension {dimension[0]}, row {row}" if dimension else f"row {row}"
    raise DataError(
        f"`{name}` has {int(bad.sum())} NaN or infinite value(s), the first, {values[row][tuple(dimension)]}, in "
        f"{place} of episode {number}. Expected finite numbers: remove or repair that episode."
    )
