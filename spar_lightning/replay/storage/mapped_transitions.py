"""Transitions that stay on disk: the system keeps in memory what fits, and reads the rest when it is asked for."""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor

from spar_lightning.datasets.reserve import reserve
from spar_lightning.replay.storage.packing import Widths, base_widths, flat_widths
from spar_lightning.replay.storage.store import PackedStore
from spar_lightning.replay.storage.transitions import Transitions, batch_of
from spar_lightning.types import DataError, TransitionBatch

_CHUNK = 16_384  # rows


class MappedTransitions(Transitions):
    """The rows of a store, read-only, with a run's own columns in temporary files beside it.

    Gives the same batches as `PackedTransitions` does. Always on the CPU.

    Args:
        store: where the rows are.
        mapping: of the file of its rows.
        segments: runs of consecutive rows that belong to these transitions: first row (S,) and number (S,), int64.
        episode_ends: (N,) bool, of these transitions.
    """

    def __init__(
        self, store: PackedStore, mapping: mmap.mmap, segments: tuple[Tensor, Tensor], episode_ends: Tensor
    ) -> None:
        header = store.header
        super().__init__(base_widths(header.observation_dim, header.action_dim), episode_ends)
        self._store = store
        self._mapping = mapping
        self._rows = _as_tensor(mapping, header.num_transitions)
        self._stored_widths: Widths = dict(self.widths)
        first, number = segments
        self._starts = number.cumsum(0) - number  # of each segment, among these transitions
        self._shifts = first - self._starts
        self._own: dict[str, Tensor] = {}
        self._descriptor = os.open(store.rows_file, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)

    @classmethod
    def open(cls, store: PackedStore) -> Self:
        """All transitions of a store."""
        header = store.header
        with store.rows_file.open("rb") as file:
            mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        everything = torch.tensor([0]), torch.tensor([header.num_transitions])
        return cls(store, mapping, everything, torch.from_numpy(store.episode_ends()))

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return self._rows.device

    @property
    def on_disk(self) -> bool:
        """Always."""
        return True

    def column(self, name: str) -> Tensor:
        """A whole column: a copy, unless the run itself added it."""
        self._check_known(name)
        if name in self._own:
            return self._own[name]
        width = self._stored_widths[name]
        column = torch.empty(len(self) if width is None else (len(self), width))
        start = sum(flat_widths(self._stored_widths)[: list(self._stored_widths).index(name)])
        for first in range(0, len(self), _CHUNK):
            indices = torch.arange(first, min(first + _CHUNK, len(self)))
            part = self._rows[self._locate(indices)]
            column[first : first + _CHUNK] = part[:, start] if width is None else part[:, start : start + width]
        return column

    def new_column(self, name: str, width: int | None) -> Tensor:
        """Add a column in a file of its own; one of the store's is hidden by it, not overwritten."""
        if name not in self._own:
            shape = (len(self),) if width is None else (len(self), width)
            self._own[name] = _on_disk(self._store, shape)
            self.widths[name] = width
        return self._own[name]

    def batch(self, indices: Tensor | slice) -> TransitionBatch:
        """The transitions at `indices` (B,) int64, or a slice of them."""
        if isinstance(indices, slice):
            indices = torch.arange(*indices.indices(len(self)))
        own = {name: column.index_select(0, indices) for name, column in self._own.items()}
        return batch_of(self._rows.index_select(0, self._locate(indices)), self._stored_widths, own)

    def read_ahead(self, indices: Tensor) -> None:
        """Have the system fetch the rows at `indices` (int64, any shape), without waiting; macOS and Windows do not."""
        if sys.platform == "linux":
            width = self._rows.shape[1] * self._rows.element_size()
            for row in self._locate(indices.flatten()).sort().values.tolist():
                os.posix_fadvise(self._descriptor, row * width, width, os.POSIX_FADV_WILLNEED)

    def evict(self) -> bool:
        """Drop the rows from memory, the system's cache included: what comes next is read from the disk.

        Returns:
            Whether this system can.
        """
        if sys.platform == "linux":
            self._mapping.madvise(mmap.MADV_DONTNEED)
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        return sys.platform == "linux"

    def split(self, held_out: Sequence[int]) -> tuple[Self, Self | None]:
        """Those of all other episodes, and those held out; no row is copied."""
        if not held_out:
            return self, None
        apart = self._rows_of(held_out)
        return self.only(~apart), self.only(apart)

    def only(self, kept: Tensor) -> Self:
        """The transitions at which `kept` (N,) is set, as segments of rows."""
        rows = self._locate(torch.where(kept)[0])
        begins = torch.ones(len(rows), dtype=torch.bool)
        begins[1:] = rows[1:] != rows[:-1] + 1
        (first,) = torch.where(begins)
        number = torch.diff(first, append=torch.tensor([len(rows)]))
        return type(self)(self._store, self._mapping, (rows[first], number), self.episode_ends[kept])

    def to(self, device: torch.device | str) -> MappedTransitions:  # noqa: ARG002
        """Itself: they stay where they are, and the trainer moves each batch."""
        return self

    def _locate(self, indices: Tensor) -> Tensor:
        """The rows of the store at which these transitions are."""
        return indices + self._shifts[torch.searchsorted(self._starts, indices, right=True) - 1]


def _as_tensor(mapping: mmap.mmap, rows: int) -> Tensor:
    array = np.frombuffer(mapping, dtype="<f4").reshape(rows, -1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable.*")  # nobody writes
        return torch.from_numpy(array)


def _on_disk(store: PackedStore, shape: tuple[int, ...]) -> Tensor:
    """A writable tensor in a nameless file on the store's disk, gone with the process.

    Raises:
        DataError: the disk is too full.
    """
    size = 4 * int(np.prod(shape))
    try:
        with tempfile.TemporaryFile(dir=store.folder.parent) as file:
            reserve(file, size, store.folder.parent)  # now, since writing into a map cannot report a full disk
            mapping = mmap.mmap(file.fileno(), size)
    except OSError as error:
        raise DataError(
            f"A column of {size / 1e6:,.0f} MB cannot be kept in {store.folder.parent} ({error.strerror}): free space, "
            "or name another folder in `SPAR_LIGHTNING_CACHE`."
        ) from error
    return torch.frombuffer(mapping, dtype=torch.float32).reshape(shape)
