"""SPAR (Support-Preserving Action Rectification, arXiv 2605.27877) on PyTorch Lightning."""

from spar_lightning.data import OfflineDataModule, collect
from spar_lightning.training import BCModule, SPARModule, TD3BCModule

__version__ = "0.1.0"

__all__ = ["BCModule", "OfflineDataModule", "SPARModule", "TD3BCModule", "__version__", "collect"]
