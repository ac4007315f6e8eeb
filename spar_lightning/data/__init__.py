"""Offline data: sources, transitions in memory, statistics, and the datamodule that hands them out."""

from spar_lightning.data.beginnings import Beginnings
from spar_lightning.data.importing.command import import_dataset
from spar_lightning.data.loader import Minibatches, SequentialLoader, TransitionLoader
from spar_lightning.data.module import OfflineDataModule, offline_data
from spar_lightning.data.recording.behavior import Behavior, BehaviorPolicy, load_behavior
from spar_lightning.data.recording.collect import collect
from spar_lightning.data.recording.recipes import BUNDLED_DATASETS
from spar_lightning.data.simulators.environments import make_environment
from spar_lightning.data.simulators.reference_scores import REFERENCE_SCORES
from spar_lightning.data.sources.registry import Episode, OfflineDataset, open_dataset
from spar_lightning.data.statistics import compute_statistics
from spar_lightning.data.storage.mapped_transitions import MappedTransitions
from spar_lightning.data.storage.packed_transitions import PackedTransitions
from spar_lightning.data.storage.transitions import Transitions

__all__ = [
    "BUNDLED_DATASETS",
    "REFERENCE_SCORES",
    "Beginnings",
    "Behavior",
    "BehaviorPolicy",
    "Episode",
    "MappedTransitions",
    "Minibatches",
    "OfflineDataModule",
    "OfflineDataset",
    "PackedTransitions",
    "SequentialLoader",
    "TransitionLoader",
    "Transitions",
    "collect",
    "compute_statistics",
    "import_dataset",
    "load_behavior",
    "make_environment",
    "offline_data",
    "open_dataset",
]
