"""From episodes to batches: what is wrong with them, transitions in memory or on disk, the datamodule's loaders."""

from typing import TYPE_CHECKING, Any

from spar_lightning.replay.beginning_sampler import BeginningSampler
from spar_lightning.replay.loader import Minibatches, SequentialLoader, TransitionLoader
from spar_lightning.replay.rows import spread_rows
from spar_lightning.replay.statistics import compute_statistics
from spar_lightning.replay.storage.mapped_transitions import MappedTransitions
from spar_lightning.replay.storage.packed_transitions import PackedTransitions
from spar_lightning.replay.storage.transitions import Transitions

__all__ = [
    "BeginningSampler",
    "MappedTransitions",
    "Minibatches",
    "OfflineDataModule",
    "PackedTransitions",
    "SequentialLoader",
    "TransitionLoader",
    "Transitions",
    "compute_statistics",
    "offline_data",
    "spread_rows",
]

if TYPE_CHECKING:
    from spar_lightning.replay.datamodule import OfflineDataModule, offline_data
else:

    def __getattr__(name: str) -> Any:
        """Import the datamodule, and Lightning with it, when it is asked for: commands on data answer sooner."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from spar_lightning.replay import datamodule

        return getattr(datamodule, name)

    def __dir__() -> list[str]:
        """What there is, imported or not."""
        return sorted({*globals(), *__all__})
