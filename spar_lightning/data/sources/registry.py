"""Where data come from: a name alone says which source it belongs to.

A source is an entry of `SOURCES`. A new one (a D4RL file, arrays, a remote collection) needs a function that maps a
name to an `OfflineDataset`, and a test of which names are its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from spar_lightning.data.dataset import Episode, OfflineDataset
from spar_lightning.data.recording.recipes import BUNDLED_PREFIX
from spar_lightning.data.sources.bundled import open_bundled
from spar_lightning.data.sources.minari_source import open_minari
from spar_lightning.types import DataError

__all__ = ["SOURCES", "Episode", "OfflineDataset", "Source", "open_dataset"]


class Source(NamedTuple):
    """One kind of data set."""

    owns: Callable[[str], bool]  # whether a name is of this kind
    open: Callable[[str, Sequence[str] | None], OfflineDataset]  # name, observation keys


def _is_location(name: str) -> bool:
    return "://" in name or name.endswith((".hdf5", ".h5", ".npz"))


SOURCES: list[Source] = [
    Source(owns=lambda name: name.startswith(BUNDLED_PREFIX), open=open_bundled),
    Source(owns=lambda name: not _is_location(name), open=open_minari),
]


def open_dataset(name: str, observation_keys: Sequence[str] | None = None) -> OfflineDataset:
    """Open a data set by its name, reading metadata only.

    Args:
        name: `spar/<env>/<kind>-v0` (bundled, collected on first use) or the id of a Minari data set on this machine.
        observation_keys: which parts of dict observations to put side by side, in this order; by default those that
            the environment's family needs.

    Raises:
        DataError: the name is unknown (the message names near ones), of a kind that is not supported, or stands for
            data that cannot be used here.
    """
    for source in SOURCES:
        if source.owns(name):
            return source.open(name, observation_keys)
    raise DataError(
        f"`{name}` is a path or a URL, which this version cannot open. Expected the id of a bundled data set such as "
        "`spar/walker2d/medium-v0`, or of a Minari data set on this machine (`minari list local`)."
    )
