"""Where a run keeps its transitions: in memory, or on disk where they are too many."""

from __future__ import annotations

import os
from typing import Literal

from spar_lightning.datasets.dataset import OfflineDataset
from spar_lightning.datasets.memory import available_memory
from spar_lightning.replay.quality.lost_rewards import LostRewards
from spar_lightning.replay.storage.mapped_transitions import MappedTransitions
from spar_lightning.replay.storage.packed_transitions import PackedTransitions
from spar_lightning.replay.storage.packing import base_widths, flat_widths
from spar_lightning.replay.storage.store import open_store
from spar_lightning.replay.storage.transitions import Transitions
from spar_lightning.telling import warn
from spar_lightning.types import DataError

Storage = Literal["auto", "memory", "map"]

_SHARE_OF_MEMORY = 0.5  # that the transitions of all processes may take


def is_mapped(dataset: OfflineDataset, storage: Storage) -> bool:
    """Whether the transitions stay on disk: asked for, or too many for the memory that is free."""
    if storage != "auto":
        return storage == "map"
    row = 4 * sum(flat_widths(base_widths(dataset.observation_dim, dataset.action_dim)))
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return processes * dataset.num_transitions * row > _SHARE_OF_MEMORY * available_memory()


def prepare_transitions(dataset: OfflineDataset, storage: Storage) -> None:
    """Make the store that `read_transitions` needs, if it needs one; once on a machine is enough.

    Raises:
        DataError: the data cannot be packed, or the cache folder cannot be written to or is too full.
    """
    if is_mapped(dataset, storage):
        open_store(dataset)


def read_transitions(dataset: OfflineDataset, storage: Storage) -> Transitions:
    """All transitions of a data set.

    Raises:
        DataError: the data cannot be read, or not be packed, or do not fit into memory.
    """
    if is_mapped(dataset, storage):
        store = open_store(dataset)
        _warn_of_lost_rewards(dataset, store.header.lost_rewards)
        return MappedTransitions.open(store)
    lost_rewards = LostRewards()
    try:
        transitions = PackedTransitions.from_episodes(lost_rewards.watched(dataset.episodes()), dataset.num_transitions)
    except MemoryError as error:
        raise DataError(
            f"The transitions of `{dataset.name}` do not fit into memory: {error}. Leave them on disk with `storage: "
            "map`, or free memory."
        ) from error
    _warn_of_lost_rewards(dataset, lost_rewards.finding())
    return transitions


def _warn_of_lost_rewards(dataset: OfflineDataset, finding: str | None) -> None:
    if finding is not None:
        warn(f"{dataset.name}: {finding}")
