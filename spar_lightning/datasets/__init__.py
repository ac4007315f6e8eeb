"""From the name of a data set to its episodes: sources, recordings of our own, and imports into Minari."""

from spar_lightning.datasets.dataset import Episode, OfflineDataset
from spar_lightning.datasets.importing.command import import_dataset
from spar_lightning.datasets.recording.behavior import Behavior, BehaviorPolicy, load_behavior
from spar_lightning.datasets.recording.collect import collect
from spar_lightning.datasets.recording.recipes import BUNDLED_DATASETS
from spar_lightning.datasets.sources.registry import open_dataset

__all__ = [
    "BUNDLED_DATASETS",
    "Behavior",
    "BehaviorPolicy",
    "Episode",
    "OfflineDataset",
    "collect",
    "import_dataset",
    "load_behavior",
    "open_dataset",
]
