"""All transitions of a data set, packed into one tensor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spar_lightning.data.dataset import Episode
from spar_lightning.types import DataError, TransitionBatch

_BASE_COLUMNS = ("observations", "actions", "rewards", "next_observations", "terminations")
_CHUNK = 65_536  # rows moved at once
_MOST_EXPECTED = 2**24  # rows; what a file says of itself may be far off
FloatArray = npt.NDArray[np.float32]


class Transitions:
    """N transitions in time order, as one float32 tensor (N, D): a batch costs one `index_select`.

    A run may add columns of its own (base actions, returns); they travel in `TransitionBatch.columns`. The properties
    are views of the packed tensor: ask again after `set_column` has added a column.

    Args:
        packed: (N, D) float32, the columns side by side in the order of `widths`; what is left of D at the end is room
            for columns to come, which would otherwise cost a second copy of everything.
        widths: columns by name, in order: K for (N, K), None for (N,). The first are those of `TransitionBatch`.
        episode_ends: (N,) bool, set at the last transition of each episode.
    """

    def __init__(self, packed: Tensor, widths: dict[str, int | None], episode_ends: Tensor) -> None:
        self.episode_ends = episode_ends
        self.version = 0  # changes with the contents, so that whoever holds a copy knows
        self._lay_out(packed, widths)

    def _lay_out(self, packed: Tensor, widths: dict[str, int | None]) -> None:
        self._packed = packed
        self._widths = dict(widths)
        self._splits = [1 if width is None else width for width in widths.values()]
        self._room = packed.shape[1] - sum(self._splits)
        self._extra = tuple(name for name in widths if name not in _BASE_COLUMNS)

    @classmethod
    def from_episodes(cls, episodes: Iterable[Episode], num_transitions: int = 0) -> Transitions:
        """Pack episodes in the order given, with room for one more action and one more number in each row.

        Where an episode lacks its last next observation, its last transition is dropped and the episode ends at the
        one before, unless it is a termination: that transition is never bootstrapped from, so it stays, with its own
        observation in the place of the next.

        Args:
            episodes: read one by one, so that they need not be in memory together.
            num_transitions: how many there will be, if known: saves copies, and may be wrong.

        Raises:
            DataError: there is no transition, lengths or widths disagree, or a value is NaN or infinite.
        """
        widths: dict[str, int | None] = {}
        rows, lengths = _Rows(num_transitions), list[int]()
        for number, episode in enumerate(episodes):
            columns = _columns(episode, number)
            if len(columns["rewards"]) == 0:
                continue
            found = {name: values.shape[1] if values.ndim == 2 else None for name, values in columns.items()}
            widths = widths or found
            if found != widths:
                raise DataError(f"Episode {number} has columns of widths {found}, those before it have {widths}.")
            rows.append(list(columns.values()), room=columns["actions"].shape[1] + 1)
            lengths.append(len(columns["rewards"]))
        if not lengths:
            raise DataError("The data set holds no transition; expected at least one: was its recording interrupted?")
        ends = torch.zeros(sum(lengths), dtype=torch.bool)
        ends[np.cumsum(lengths) - 1] = True
        return cls(torch.from_numpy(rows.filled()), widths, ends)

    def __len__(self) -> int:
        return len(self._packed)

    @property
    def observations(self) -> Tensor:
        """(N, O) float32."""
        return self.column("observations")

    @property
    def actions(self) -> Tensor:
        """(N, A) float32."""
        return self.column("actions")

    @property
    def rewards(self) -> Tensor:
        """(N,) float32."""
        return self.column("rewards")

    @property
    def next_observations(self) -> Tensor:
        """(N, O) float32."""
        return self.column("next_observations")

    @property
    def terminations(self) -> Tensor:
        """(N,) float32, 1 where the environment ended the episode."""
        return self.column("terminations")

    @property
    def num_episodes(self) -> int:
        """Number of episodes."""
        return int(self.episode_ends.sum())

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self._packed.device

    def column(self, name: str) -> Tensor:
        """A column by name, (N,) or (N, K), as a view."""
        if name not in self._widths:
            raise DataError(f"There is no column `{name}`; there are {', '.join(self._widths)}.")
        start = self._offset(name)
        width = self._widths[name]
        return self._packed[:, start] if width is None else self._packed[:, start : start + width]

    def set_column(self, name: str, values: Tensor) -> None:
        """Add a column (N,) or (N, K), or overwrite one of the same shape in place.

        Raises:
            DataError: the length is not N, or the shape is not that of the column that is there.
        """
        if values.ndim not in (1, 2) or len(values) != len(self):
            raise DataError(f"`{name}` has shape {tuple(values.shape)}, expected ({len(self)},) or ({len(self)}, K).")
        self.version += 1
        if name in self._widths:
            column = self.column(name)
            if column.shape != values.shape:
                raise DataError(f"`{name}` has shape {tuple(values.shape)}, the column has {tuple(column.shape)}.")
            column.copy_(values)
            return
        width, used = values[:1].numel(), sum(self._splits)
        packed = self._packed
        if width <= self._room:
            packed[:, used : used + width] = values.reshape(-1, width)
        else:
            packed = torch.cat([packed[:, :used], values.reshape(-1, width).to(packed)], dim=1)
        self._lay_out(packed, {**self._widths, name: None if values.ndim == 1 else width})

    def batch(self, indices: Tensor | slice) -> TransitionBatch:
        """The transitions at `indices` (B,) int64, or a slice of them."""
        rows = self._packed[indices] if isinstance(indices, slice) else self._packed.index_select(0, indices)
        return self._batch(rows)

    def batches(self, indices: Tensor) -> list[TransitionBatch]:
        """The transitions at `indices` (K, B) int64 as K batches, views of one gather."""
        rows = self._packed.index_select(0, indices.flatten())
        return [self._batch(part) for part in torch.split(rows, indices.shape[1])]

    def _batch(self, rows: Tensor) -> TransitionBatch:
        if self._room:
            rows = rows[:, : -self._room]
        observations, actions, rewards, next_observations, terminations, *extra = torch.split(rows, self._splits, 1)
        columns = {
            name: values.squeeze(1) if self._widths[name] is None else values
            for name, values in zip(self._extra, extra, strict=True)
        }
        return TransitionBatch(
            observations, actions, rewards.squeeze(1), next_observations, terminations.squeeze(1), columns
        )

    def select_episodes(self, episodes: Sequence[int]) -> Transitions:
        """A copy that holds only the episodes of these numbers, still in time order."""
        rows = self._rows_of(episodes)
        return Transitions(self._packed[rows], self._widths, self.episode_ends[rows])

    def remove_episodes(self, episodes: Sequence[int]) -> None:
        """Drop the episodes of these numbers, without a copy: the others move up, still in time order."""
        (rows,) = torch.where(~self._rows_of(episodes))
        for start in range(0, len(rows), _CHUNK):
            chosen = rows[start : start + _CHUNK]
            self._packed[start : start + len(chosen)] = self._packed[chosen]  # from this place or further down
        self.episode_ends = self.episode_ends[rows]
        self.version += 1
        self._lay_out(self._packed[: len(rows)], self._widths)

    def _rows_of(self, episodes: Sequence[int]) -> Tensor:
        keep = torch.zeros(self.num_episodes, dtype=torch.bool, device=self.device)
        keep[list(episodes)] = True
        ends = self.episode_ends.long()
        return keep[ends.cumsum(0) - ends]

    def to(self, device: torch.device | str) -> Transitions:
        """The same transitions on `device`; itself if it is there."""
        if self._packed.to(device) is self._packed:
            return self
        return Transitions(self._packed.to(device), self._widths, self.episode_ends.to(device))

    def _offset(self, name: str) -> int:
        return sum(self._splits[: list(self._widths).index(name)])


class _Rows:
    """An array that grows by whole rows, filled in place.

    Args:
        expected: number of rows for which it is made at first.
    """

    def __init__(self, expected: int) -> None:
        self._capacity = min(max(expected, 1), _MOST_EXPECTED)
        self._array: FloatArray = np.empty((0, 0), dtype=np.float32)
        self._count = 0

    def append(self, columns: list[FloatArray], room: int) -> None:
        """Add columns (T,) or (T, K), side by side, and `room` empty ones."""
        blocks = [values.reshape(len(values), -1) for values in columns]
        needed, width = self._count + len(blocks[0]), sum(block.shape[1] for block in blocks) + room
        if needed > len(self._array):
            self._capacity = max(needed, self._capacity if self._count == 0 else 2 * self._capacity)
            array = np.empty((self._capacity, width), dtype=np.float32)
            if self._count:
                array[: self._count] = self.filled()
            self._array = array
        start = 0
        for block in blocks:
            self._array[self._count : needed, start : start + block.shape[1]] = block
            start += block.shape[1]
        self._count = needed

    def filled(self) -> FloatArray:
        """The rows so far, as a view."""
        return self._array[: self._count]


def _columns(episode: Episode, number: int) -> dict[str, FloatArray]:
    """The columns of an episode, checked, after the rule for a missing last next observation."""
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
    columns = dict(zip(_BASE_COLUMNS, kept, strict=True))
    for name, values in columns.items():
        _check_finite(name, values, number)
    return columns


def _check_finite(name: str, values: FloatArray, number: int) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(np.argwhere(bad)[0][0])
        raise DataError(
            f"`{name}` has {int(bad.sum())} NaN or infinite value(s), the first in row {row} of episode {number}: "
            f"{values[row]}. Expected finite numbers: remove or repair that episode."
        )
