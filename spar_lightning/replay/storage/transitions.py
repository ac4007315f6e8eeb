"""All transitions of a data set, as every algorithm sees them, wherever they are kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Self, cast

import torch
from torch import Tensor

from spar_lightning.replay.storage.packing import BASE_COLUMNS, Widths, flat_widths
from spar_lightning.types import DataError, TransitionBatch

_ROWS = 16_384


class Transitions(ABC):
    """N transitions in time order.

    A run may add columns of its own (base actions, returns); they travel in `TransitionBatch.columns` and never
    become part of a stored data set.

    Args:
        widths: of all columns, those of `TransitionBatch` first.
        episode_ends: (N,) bool, set at the last transition of each episode.
    """

    def __init__(self, widths: Widths, episode_ends: Tensor) -> None:
        self.widths = dict(widths)
        self.episode_ends = episode_ends

    def __len__(self) -> int:
        return len(self.episode_ends)

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the batches are."""

    @abstractmethod
    def column(self, name: str) -> Tensor:
        """A whole column, (N,) or (N, K): a view in memory, a copy where the data are on disk.

        Raises:
            DataError: there is no such column.
        """

    @abstractmethod
    def new_column(self, name: str, width: int | None) -> Tensor:
        """Add a column, or get one that is there, to write into; until the next column is added.

        What is written into the tensor returned, (N,) or (N, `width`), is in the batches. Making room for a further
        column may move it.
        """

    @abstractmethod
    def batch(self, indices: Tensor | slice) -> TransitionBatch:
        """The transitions at `indices` (B,) int64, or a slice of them."""

    @abstractmethod
    def split(self, held_out: Sequence[int]) -> tuple[Self, Self | None]:
        """Those of all other episodes, and those of the episodes of these numbers (None if there are none).

        Both still in time order. The original is not to be used any more.
        """

    @abstractmethod
    def only(self, kept: Tensor) -> Self:
        """Those at which `kept` (N,) bool is set, still in time order.

        The original is not to be used any more. Nothing but whole episodes, or what comes before their ends, may be
        left out.
        """

    def only_episodes(self, episodes: Sequence[int]) -> Self:
        """Those of the episodes of these numbers, still in time order; the original is not to be used any more."""
        return self.only(self._rows_of(episodes))

    @abstractmethod
    def to(self, device: torch.device | str) -> Transitions:
        """The same transitions on `device`; itself where they are there, or are too many to be moved."""

    @property
    def on_disk(self) -> bool:
        """Whether the transitions are read when they are asked for; then it pays to say beforehand which."""
        return False

    def read_ahead(self, indices: Tensor) -> None:  # noqa: B027
        """Have the transitions at `indices` (int64, any shape) fetched, without waiting for them."""

    @property
    def observation_dim(self) -> int:
        """Number of observation dimensions."""
        return cast(int, self.widths["observations"])

    @property
    def action_dim(self) -> int:
        """Number of action dimensions."""
        return cast(int, self.widths["actions"])

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

    def walks(self) -> Tensor:
        """The episode of each transition, (N,) int64 from 0, on the CPU; those that go on are one.

        At the goal of D4RL's AntMaze every step is flagged as an end, and the ant stays there: an episode of one step
        that begins where a termination was, or has such a one before it, is no beginning.
        """
        ends = self.episode_ends.cpu()
        last = ends.nonzero().squeeze(1)
        single = torch.cat([last[:1] + 1, last.diff()]) == 1
        inner = ((single[:-1] | single[1:]) & (self.terminations[last[:-1]].cpu() > 0)).nonzero().squeeze(1)
        starts = torch.cat([torch.ones(1, dtype=torch.bool), ends[:-1]])
        for rows in torch.split(last[inner], _ROWS):
            here, there = rows.to(self.device), (rows + 1).to(self.device)
            goes_on = (self.batch(here).next_observations == self.batch(there).observations).all(1)
            starts[rows[goes_on.cpu()] + 1] = False
        return starts.long().cumsum(0) - 1

    def chunks(self, size: int) -> Iterator[TransitionBatch]:
        """Everything once, in time order, `size` transitions at a time: for what does not fit into memory at once."""
        for start in range(0, len(self), size):
            yield self.batch(slice(start, start + size))

    def set_column(self, name: str, values: Tensor) -> None:
        """Add a column (N,) or (N, K), or overwrite one of the same shape.

        Raises:
            DataError: the length is not N, or the shape is not that of the column that is there.
        """
        if values.ndim not in (1, 2) or len(values) != len(self):
            raise DataError(f"`{name}` has shape {tuple(values.shape)}, expected ({len(self)},) or ({len(self)}, K).")
        width = None if values.ndim == 1 else values.shape[1]
        if name in self.widths and self.widths[name] != width:
            there = (len(self),) if self.widths[name] is None else (len(self), self.widths[name])
            raise DataError(f"`{name}` has shape {tuple(values.shape)}, the column has {there}.")
        self.new_column(name, width).copy_(values)

    def _check_known(self, name: str) -> None:
        if name not in self.widths:
            raise DataError(f"There is no column `{name}`; there are {', '.join(self.widths)}.")

    def _rows_of(self, episodes: Sequence[int]) -> Tensor:
        """Which transitions (N,) bool belong to the episodes of these numbers."""
        keep = torch.zeros(self.num_episodes, dtype=torch.bool, device=self.episode_ends.device)
        keep[list(episodes)] = True
        ends = self.episode_ends.long()
        return keep[ends.cumsum(0) - ends]


def batch_of(rows: Tensor, widths: Widths, further: dict[str, Tensor] | None = None) -> TransitionBatch:
    """A batch from its rows (B, D), and from columns that are kept elsewhere; those take precedence."""
    parts = torch.split(rows, flat_widths(widths), 1)
    columns = {
        name: part.squeeze(1) if width is None else part
        for (name, width), part in zip(widths.items(), parts, strict=True)
    }
    columns |= further or {}
    observations, actions, rewards, next_observations, terminations = (columns.pop(name) for name in BASE_COLUMNS)
    return TransitionBatch(observations, actions, rewards, next_observations, terminations, columns)
