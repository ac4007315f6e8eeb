"""The bundled data sets: collected on first use, then ordinary Minari data sets."""

from __future__ import annotations

from spar_lightning.data.collect import collect
from spar_lightning.data.dataset import OfflineDataset
from spar_lightning.data.minari_folder import datasets_folder
from spar_lightning.data.minari_source import open_minari
from spar_lightning.data.recipes import parse_bundled_id


def open_bundled(name: str) -> OfflineDataset:
    """Open a bundled data set, collecting it first if it is not on this machine yet.

    Raises:
        DataError: there is no such bundled data set.
        EnvironmentUnavailableError: it has to be collected, and its simulator is missing.
    """
    parse_bundled_id(name)
    if not (datasets_folder() / name / "data").exists():
        collect(name)
    return open_minari(name)
