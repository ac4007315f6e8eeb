"""The bundled data sets: collected on first use, then ordinary Minari data sets."""

from __future__ import annotations

from collections.abc import Sequence

from spar_lightning.datasets.dataset import OfflineDataset
from spar_lightning.datasets.minari_folder import datasets_folder
from spar_lightning.datasets.recording.collect import collect
from spar_lightning.datasets.recording.recipes import parse_bundled_id
from spar_lightning.datasets.sources.minari.minari_source import open_minari


def open_bundled(name: str, observation_keys: Sequence[str] | None = None) -> OfflineDataset:
    """Open a bundled data set, collecting it first if it is not on this machine yet.

    Raises:
        DataError: there is no such bundled data set.
        EnvironmentUnavailableError: it has to be collected, and its simulator is missing.
    """
    parse_bundled_id(name)
    if not (datasets_folder() / name / "data").exists():
        collect(name)
    return open_minari(name, observation_keys)
