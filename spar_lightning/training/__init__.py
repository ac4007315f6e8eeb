"""Training: the only room that knows Lightning's loops."""

from spar_lightning.training.module import AlgorithmModule
from spar_lightning.training.modules import ALGORITHMS, BCModule, SPARModule, TD3BCModule

__all__ = ["ALGORITHMS", "AlgorithmModule", "BCModule", "SPARModule", "TD3BCModule"]
