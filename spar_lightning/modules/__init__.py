"""Training: each module orchestrates networks and equations for one algorithm."""

from spar_lightning.modules.bc import BCModule
from spar_lightning.modules.spar import SPARModule

__all__ = ["BCModule", "SPARModule"]
