"""Transitions in memory, or on an accelerator, packed into one tensor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor

from spar_lightning.datasets.dataset import Episode, FloatArray
from spar_lightning.replay.storage.packing import Widths, base_widths, columns_of, flat_widths
from spar_lightning.replay.storage.transitions import Transitions, batch_of
from spar_lightning.types import TransitionBatch

_CHUNK = 65_536  # rows moved at once
_MOST_EXPECTED = 2**24  # rows; what a file says of itself may be far off


class PackedTransitions(Transitions):
    """One float32 tensor (N, D), the columns side by side: a batch costs one `index_select`.

    The columns are views of that tensor: ask again after one was added.

    Args:
        packed: (N, D) float32, the columns in the order of `widths`; what is left of D at the end is room for columns
            to come, which would otherwise cost a second copy of everything.
        widths: of all columns, those of `TransitionBatch` first.
        episode_ends: (N,) bool, set at the last transition of each episode.
    """

    def __init__(self, packed: Tensor, widths: Widths, episode_ends: Tensor) -> None:
        super().__init__(widths, episode_ends)
        self._packed = packed

    @classmethod
    def from_episodes(cls, episodes: Iterable[Episode], num_transitions: int = 0) -> Self:
        """Pack episodes in the order given, with room for two more actions and one more number in each row.

        Args:
            episodes: read one by one; `packing.columns_of` says what becomes of one that was cut off.
            num_transitions: how many there will be, if known: saves copies, and may be wrong.

        Raises:
            DataError: there is no transition, lengths or widths disagree, or a value is NaN or infinite.
        """
        rows, lengths = _Rows(num_transitions), list[int]()
        for columns in columns_of(episodes):
            rows.append(list(columns.values()), room=2 * columns["actions"].shape[1] + 1)
            lengths.append(len(columns["rewards"]))
        ends = torch.zeros(sum(lengths), dtype=torch.bool)
        ends[np.cumsum(lengths) - 1] = True
        widths = base_widths(columns["observations"].shape[1], columns["actions"].shape[1])
        return cls(torch.from_numpy(rows.filled()), widths, ends)

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self._packed.device

    def column(self, name: str) -> Tensor:
        """A column by name, (N,) or (N, K), as a view."""
        self._check_known(name)
        start, width = self._offset(name), self.widths[name]
        return self._packed[:, start] if width is None else self._packed[:, start : start + width]

    def new_column(self, name: str, width: int | None) -> Tensor:
        """Add a column, in the room that is left or, with a copy of everything, in more."""
        if name not in self.widths:
            used, needed = sum(flat_widths(self.widths)), 1 if width is None else width
            if used + needed > self._packed.shape[1]:
                packed = self._packed.new_empty(len(self), used + needed)
                packed[:, :used] = self._packed[:, :used]
                self._packed = packed
            self.widths[name] = width
        return self.column(name)

    def batch(self, indices: Tensor | slice) -> TransitionBatch:
        """The transitions at `indices` (B,) int64, or a slice of them."""
        rows = self._packed[indices] if isinstance(indices, slice) else self._packed.index_select(0, indices)
        return self._batch(rows)

    def _batch(self, rows: Tensor) -> TransitionBatch:
        return batch_of(rows[:, : sum(flat_widths(self.widths))], self.widths)

    def split(self, held_out: Sequence[int]) -> tuple[Self, Self | None]:
        """Those of all other episodes, in place, and a copy of those held out."""
        if not held_out:
            return self, None
        rows = self._rows_of(held_out)
        apart = type(self)(self._packed[rows], self.widths, self.episode_ends[rows])
        return self.only(~rows), apart

    def only(self, kept: Tensor) -> Self:
        """Itself, without the other transitions and without a copy: those kept move up, still in time order."""
        (rows,) = torch.where(kept)
        for start in range(0, len(rows), _CHUNK):
            chosen = rows[start : start + _CHUNK]
            self._packed[start : start + len(chosen)] = self._packed[chosen]  # from this place or further down
        self._packed = self._packed[: len(rows)]
        self.episode_ends = self.episode_ends[rows]
        return self

    def to(self, device: torch.device | str) -> PackedTransitions:
        """The same transitions on `device`; itself if it is there."""
        if self._packed.to(device) is self._packed:
            return self
        return PackedTransitions(self._packed.to(device), self.widths, self.episode_ends.to(device))

    def _offset(self, name: str) -> int:
        return sum(flat_widths(self.widths)[: list(self.widths).index(name)])


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
