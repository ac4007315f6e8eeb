"""Training: each module orchestrates networks and equations for one algorithm."""

from spar_lightning.modules.bc import BCModule
from spar_lightning.modules.spar import SPARModule
from spar_lightning.modules.td3_bc import TD3BCModule

__all__ = ["BCModule", "SPARModule", "TD3BCModule"]
