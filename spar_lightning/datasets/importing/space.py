"""Whether there is room for a data set on the disk."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from spar_lightning.datasets.dataset import OfflineDataset
from spar_lightning.datasets.reserve import reserve
from spar_lightning.types import DataError

_EPISODE_BYTES = 20_000  # what HDF5 adds to an episode, rounded up
_SPARE_BYTES = 10_000_000


def check_space(folder: Path, dataset: OfflineDataset) -> None:
    """See that a file of the size that the data set will have can be written, by asking the file system for it.

    HDF5 cannot be relied on to say so: where a write fails while it closes a file, the whole process may crash.

    Raises:
        DataError: it cannot: the disk is too full, or a quota or limit is too low.
    """
    row = 4 * (dataset.observation_dim + dataset.action_dim + 1) + 2
    needed = 2 * row * dataset.num_transitions + _EPISODE_BYTES * dataset.num_episodes + _SPARE_BYTES
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            reserve(file, needed, folder)
    except OSError as error:
        free = shutil.disk_usage(folder).free
        raise DataError(
            f"{folder.parent} has {free / 1e6:,.0f} MB left, and {needed / 1e6:,.0f} MB cannot be written there, as "
            f"{dataset.num_transitions:,} transitions need: {error.strerror}. Free space, or pass another `--root`."
        ) from error
