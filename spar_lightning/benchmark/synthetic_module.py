"""The project's own data module over synthetic transitions, and other ways to batches that it is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from spar_lightning.benchmark.synthetic import SEED, synthetic_dataset
from spar_lightning.datasets import OfflineDataset
from spar_lightning.replay import Minibatches, OfflineDataModule, TransitionLoader, Transitions
from spar_lightning.types import TransitionBatch


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
