"""Transitions with Walker2d's shapes, made in memory: speed does not depend on what the numbers are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from spar_lightning.benchmark.settings import ACTION_DIM, OBSERVATION_DIM
from spar_lightning.datasets import Episode, OfflineDataset
from spar_lightning.replay import Minibatches, OfflineDataModule, TransitionLoader, Transitions
from spar_lightning.types import TransitionBatch

EPISODE_STEPS = 1000
SEED = 0


def episodes(transitions: int) -> Iterator[Episode]:
    """Episodes of 1000 steps, the last one shorter; every other one ends in a termination, the rest in a time-out."""
    random = np.random.default_rng(SEED)
    for number, start in enumerate(range(0, transitions, EPISODE_STEPS)):
        steps = min(EPISODE_STEPS, transitions - start)
        observations = random.standard_normal((steps + 1, OBSERVATION_DIM), dtype=np.float32)
        yield Episode(
            observations=observations[:-1],
            actions=random.uniform(-1.0, 1.0, (steps, ACTION_DIM)).astype(np.float32),
            rewards=random.standard_normal(steps, dtype=np.float32),
            next_observations=observations[1:],
            termination=number % 2 == 1,
        )


def synthetic_dataset(transitions: int) -> OfflineDataset:
    """The source of a data module: no file, no simulator."""
    bounds = np.ones(ACTION_DIM, dtype=np.float32)
    return OfflineDataset(
        name=f"synthetic/walker2d-{transitions}",
        observation_dim=OBSERVATION_DIM,
        action_dim=ACTION_DIM,
        action_low=-bounds,
        action_high=bounds,
        num_episodes=-(-transitions // EPISODE_STEPS),
        num_transitions=transitions,
        read=lambda: episodes(transitions),
        fingerprint=f"seed {SEED}",
    )


class SyntheticData(OfflineDataModule):
    """The project's own data module, over transitions that were never on disk.

    Args:
        transitions: how many.
        batch_size: transitions a batch.
        loader: `packed` is the project's own; `dataloader` puts a DataLoader without workers around it; `columns`
            gathers every column by itself.
        updates_per_batch: as of `OfflineDataModule`.
        storage: likewise.
    """

    def __init__(
        self,
        transitions: int,
        batch_size: int,
        loader: str = "packed",
        updates_per_batch: int = 1,
        storage: Literal["memory", "map"] = "memory",
    ) -> None:
        super().__init__(
            f"synthetic/walker2d-{transitions}",
            batch_size,
            validation_fraction=0.0,
            seed=SEED,
            updates_per_batch=updates_per_batch,
            storage=storage,
        )
        self._count = transitions
        self._loader = loader

    def _opened(self) -> OfflineDataset:
        return synthetic_dataset(self._count)

    def train_dataloader(self) -> Any:
        """Endless batches, by the way that is to be measured."""
        loader = super().train_dataloader()
        if self._loader == "dataloader":
            return DataLoader(_Stream(loader), batch_size=None)
        if self._loader == "columns":
            per_step = self.updates_per_batch
            return _ColumnLoader(self.transitions, self.batch_size, self.seed, 0, per_step, loader.beginnings)
        return loader


class _Stream(IterableDataset[Any]):
    def __init__(self, loader: TransitionLoader) -> None:
        self._loader = loader

    def __iter__(self) -> Iterator[Any]:
        return iter(self._loader)


class _ColumnLoader(TransitionLoader):
    """As TransitionLoader, with a contiguous tensor and an `index_select` for each column."""

    def __iter__(self) -> Iterator[Any]:
        widths = self._transitions.widths
        columns = {name: self._transitions.column(name).contiguous() for name in widths}
        for drawn in super().__iter__():
            assert isinstance(drawn, Minibatches)
            yield _ByColumn(drawn.transitions, drawn.indices, columns)


class _ByColumn(Minibatches):
    def __init__(self, transitions: Transitions, indices: Tensor, columns: dict[str, Tensor]) -> None:
        super().__init__(transitions, indices)
        self._columns = columns

    def part(self, start: int, stop: int) -> Minibatches:
        return _ByColumn(self.transitions, self.indices[start:stop], self._columns)

    def gather(self) -> TransitionBatch:
        rows = self.indices.flatten()
        found = {name: column.index_select(0, rows) for name, column in self._columns.items()}
        own = [found.pop(name) for name in TransitionBatch._fields[:-1]]
        return TransitionBatch._make([*own, found])
