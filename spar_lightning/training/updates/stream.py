"""The arrow from stored transitions to batches in the networks' units."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from spar_lightning.algorithms import Batch, Columns
from spar_lightning.networks import Normalizer
from spar_lightning.replay import Minibatches, Transitions
from spar_lightning.types import TransitionBatch


class NetworkUnits:
    """The training data as an algorithm sees them: in the networks' units, on its device.

    Args:
        transitions: in the data's own units, wherever they are.
        normalizer: of units.
        device: where batches go.
    """

    def __init__(self, transitions: Transitions, normalizer: Normalizer, device: torch.device) -> None:
        self._transitions = transitions
        self._normalizer = normalizer
        self.device = device

    def __len__(self) -> int:
        return len(self._transitions)

    @property
    def episode_ends(self) -> Tensor:
        """(N,) bool, true at the last transition of each episode."""
        return self._transitions.episode_ends

    def column(self, name: str) -> Tensor:
        """A whole column, (N,) or (N, K), in the data's own units."""
        return self._transitions.column(name)

    def pieces(self, size: int) -> Iterator[Batch]:
        """All transitions in order of time, `size` at a time."""
        for chunk in self._transitions.chunks(size):
            yield self._converted(chunk)

    def at(self, rows: Tensor) -> Batch:
        """Those at `rows` (B,) int64."""
        return self._converted(self._transitions.batch(rows.to(self._transitions.device)))

    def batches(self, minibatches: Minibatches) -> list[Batch]:
        """Each of the minibatches, from one gather."""
        together, size = self._converted(minibatches.gather()), minibatches.indices.shape[1]
        return [together.rows(slice(first, first + size)) for first in range(0, len(minibatches) * size, size)]

    def store(self, pieces: Iterable[Columns]) -> None:
        """Keep derived columns, which come in pieces in order of time, each column's one after the other."""
        filled: dict[str, int] = {}
        for piece in pieces:
            for name, values in piece.items():  # room for a further column may move what was there before
                self._transitions.new_column(name, None if values.ndim == 1 else values.shape[1])
            for name, values in piece.items():
                first = filled.get(name, 0)
                column = self._transitions.new_column(name, None if values.ndim == 1 else values.shape[1])
                column[first : first + len(values)] = values.to(column.device)
                filled[name] = first + len(values)

    def _converted(self, batch: TransitionBatch) -> Batch:
        return in_network_units(batch, self._normalizer, self.device)


def in_network_units(batch: TransitionBatch, normalizer: Normalizer, device: torch.device) -> Batch:
    """Transitions with observations normalized and actions scaled to [-1, 1], on a device."""
    observations, actions, rewards, next_observations, terminations = (field.to(device) for field in batch[:5])
    return Batch(
        normalizer.normalize(observations),
        normalizer.scale(actions),
        rewards,
        normalizer.normalize(next_observations),
        terminations,
        {name: column.to(device) for name, column in batch.columns.items()},
    )
