"""Batches of transitions, resumable at any step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from spar_lightning.replay.beginning_sampler import BeginningSampler
from spar_lightning.replay.storage.transitions import Transitions
from spar_lightning.types import DataError, TransitionBatch

_BLOCK = 512  # batches whose indices are drawn at once
_ENDLESS = 1 << 40  # batches
_LARGEST_BATCH = 2**20  # transitions; the indices of 512 batches are drawn at once
_MOST_UPDATES = 512  # a training step; more make it no faster


def check_sampling(batch_size: int, seed: int | None, updates_per_batch: int) -> None:
    """Refuse batches that cannot be drawn.

    Raises:
        DataError: a setting of the data module is out of its range.
    """
    if not 1 <= batch_size <= _LARGEST_BATCH:
        raise DataError(f"`batch_size` is {batch_size}, expected 1 to {_LARGEST_BATCH:,} transitions.")
    if seed is not None and seed < 0:
        raise DataError(f"`seed` is {seed}, expected a non-negative integer.")
    if not 1 <= updates_per_batch <= _MOST_UPDATES:
        raise DataError(f"`updates_per_batch` is {updates_per_batch}, expected 1 to {_MOST_UPDATES} updates.")


def batch_indices(seed: int, rank: int, block: int, num_transitions: int, batch_size: int) -> Tensor:
    """The indices (512, B) int64 of one block of batches: uniform, with replacement.

    A pure function of its arguments, drawn on the CPU: the same on every device, and batch `position` of a run is
    row `position % 512` of block `position // 512`, whoever asks and whenever.
    """
    return torch.randint(num_transitions, (_BLOCK, batch_size), generator=_generator(seed, rank, block))


def _generator(*key: int) -> torch.Generator:
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


class Minibatches:
    """The minibatches of one training step: which rows they are, to be gathered when they are needed.

    Args:
        transitions: where the rows are.
        indices: (K, B) int64, those of K minibatches.
    """

    def __init__(self, transitions: Transitions, indices: Tensor) -> None:
        self.transitions = transitions
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def part(self, start: int, stop: int) -> Minibatches:
        """Some of them."""
        return Minibatches(self.transitions, self.indices[start:stop])

    def gather(self) -> TransitionBatch:
        """Their rows, one minibatch after the other, with columns as they are now."""
        return self.transitions.batch(self.indices.flatten())


class TransitionLoader:
    """Uniformly sampled batches, without end and without workers.

    It is a plain iterable, since a DataLoader costs more than the batch itself. Its length is a huge constant: the
    epoch never ends, so that every resume is a mid-epoch one (Lightning does not restore a loader's state at the end
    of an epoch), and it has a length at all because Lightning prefetches from an unsized iterable, whose saved
    position would then be one too far. Stop by `max_steps`.

    Args:
        transitions: what to sample from; columns added to it later are in the batches.
        batch_size: transitions a batch.
        seed: of the run.
        rank: of this process, so that processes draw different batches.
        per_step: hand out so many minibatches together, as `Minibatches`; the rows and their order are the same for any
            number. None hands out single batches.
        beginnings: transitions near the starts of episodes that lead each minibatch, and how much less likely each
            later step of an episode is among them.
    """

    def __init__(
        self,
        transitions: Transitions,
        batch_size: int,
        seed: int,
        rank: int = 0,
        per_step: int | None = None,
        beginnings: tuple[int, float] = (0, 0.5),
    ) -> None:
        self._transitions = transitions
        self.batch_size = batch_size
        self._seed = seed
        self._rank = rank
        self._per_step = per_step
        self.beginnings = beginnings
        self._sampler = BeginningSampler(transitions.walks(), beginnings[1]) if beginnings[0] else None
        self._position = 0
        self._blocks: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return _ENDLESS

    def __iter__(self) -> Iterator[TransitionBatch | Minibatches]:
        # A generator: nothing is drawn before the first batch is asked for, since Lightning calls `iter` twice.
        count = self._per_step or 1
        while True:
            indices = self._indices_at(self._position, count)
            self._position += count  # before the batch is out: a state may be saved meanwhile
            if self._transitions.on_disk:
                self._transitions.read_ahead(self._indices_at(self._position, count))
            if self._per_step is None:
                yield self._transitions.batch(indices[0])
            else:
                yield Minibatches(self._transitions, indices)

    def _indices_at(self, position: int, count: int) -> Tensor:
        """The indices (K, B) of `count` minibatches from `position` on, which may lie in two blocks or more."""
        parts, missing = [], count
        while missing:
            number, row = divmod(position, _BLOCK)
            parts.append(self._block(number)[row : row + missing])
            missing -= len(parts[-1])
            position += len(parts[-1])
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _block(self, number: int) -> Tensor:
        """The indices (512, B) of a block; the last two that were asked for are kept."""
        if number not in self._blocks:
            self._blocks = dict([*self._blocks.items()][-1:]) | {number: self._draw(number)}
        return self._blocks[number]

    def state_dict(self) -> dict[str, int]:
        """The number of minibatches handed out."""
        return {"position": self._position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on after the minibatches that were handed out when the state was saved."""
        self._position = state["position"]

    def _draw(self, block: int) -> Tensor:
        indices = batch_indices(self._seed, self._rank, block, len(self._transitions), self.batch_size)
        if self._sampler is not None:
            count, generator = self.beginnings[0], _generator(self._seed, self._rank, block, 1)
            drawn = self._sampler.draw(_BLOCK * count, generator)
            indices = torch.cat([drawn.view(_BLOCK, count), indices], dim=1)
        return indices.to(self._transitions.device)


class SequentialLoader:
    """All transitions once, in time order, in chunks: for validation losses."""

    def __init__(self, transitions: Transitions, chunk_size: int = 4096) -> None:
        self._transitions = transitions
        self._chunk_size = chunk_size

    def __len__(self) -> int:
        return -(-len(self._transitions) // self._chunk_size)

    def __iter__(self) -> Iterator[TransitionBatch]:
        for start in range(0, len(self._transitions), self._chunk_size):
            yield self._transitions.batch(slice(start, start + self._chunk_size))
