"""Turning data sets of any source into Minari data sets."""

from spar_lightning.datasets.importing.command import import_dataset

__all__ = ["import_dataset"]
