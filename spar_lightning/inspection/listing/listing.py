"""Which data sets there are: bundled, on this machine, and known to be published."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import minari

from spar_lightning.datasets.minari_folder import datasets_folder
from spar_lightning.datasets.recording.recipes import BUNDLED_DATASETS
from spar_lightning.datasets.sources.d4rl_names import KNOWN_D4RL
from spar_lightning.datasets.sources.d4rl_names import PREFIX as D4RL_PREFIX
from spar_lightning.datasets.sources.minari.names import PUBLISHED_DATASETS
from spar_lightning.inspection.listing.on_disk import bytes_on_disk, path_on_disk


@dataclass(frozen=True)
class ListedDataset:
    """One data set, as far as it is known without reading it."""

    name: str  # as `open_dataset` takes it
    here: bool  # whether it is on this machine
    episodes: int | None = None
    transitions: int | None = None
    bytes_on_disk: int | None = None


@dataclass(frozen=True)
class Listing:
    """The data sets that can be opened by a name, each in one group."""

    folder: Path  # Minari's data sets on this machine
    bundled: list[ListedDataset]  # collected on first use
    local: list[ListedDataset]  # others in the folder that are not published, as far as is known
    minari: list[ListedDataset]  # published; downloaded on first use
    d4rl: list[ListedDataset]  # likewise
    unreadable: list[str]  # folders that should be a data set and are not, with the reasons

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self) | {"folder": str(self.folder)}


def list_datasets() -> Listing:
    """Look up which data sets there are, from names and metadata on this machine alone.

    Raises:
        DataError: the folder of data sets cannot be used.
    """
    folder = datasets_folder()
    stored, unreadable = _stored(folder)
    published = {*BUNDLED_DATASETS, *PUBLISHED_DATASETS}
    return Listing(
        folder=folder,
        bundled=[_listed(name, folder, stored) for name in BUNDLED_DATASETS],
        local=[_listed(name, folder, stored) for name in stored if name not in published],
        minari=[_listed(name, folder, stored) for name in PUBLISHED_DATASETS],
        d4rl=[_of_d4rl(D4RL_PREFIX + name) for name in KNOWN_D4RL],
        unreadable=unreadable,
    )


def _stored(folder: Path) -> tuple[Mapping[str, Mapping[str, Any]], list[str]]:
    """Metadata of the data sets in Minari's folder, by name, and Minari's complaints of others."""
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        try:
            stored = minari.list_local_datasets()
        except (OSError, ValueError, TypeError, KeyError) as error:  # a folder whose name is no id
            return {}, [f"{folder}: {error}"]
    return stored, [str(complaint.message) for complaint in complaints]


def _listed(name: str, folder: Path, stored: Mapping[str, Mapping[str, Any]]) -> ListedDataset:
    metadata = stored.get(name)
    if metadata is None:
        return ListedDataset(name, here=False)
    counts = (metadata.get(key) for key in ("total_episodes", "total_steps"))
    episodes, transitions = (count if isinstance(count, int) else None for count in counts)
    return ListedDataset(name, True, episodes, transitions, bytes_on_disk(folder / name))


def _of_d4rl(name: str) -> ListedDataset:
    path = path_on_disk(name)
    return ListedDataset(name, path is not None, bytes_on_disk=None if path is None else bytes_on_disk(path))
