"""Networks: they know shapes, not losses."""

from spar_lightning.networks.actor import LatentActor
from spar_lightning.networks.critic import EnsembleCritic, ValueNetwork
from spar_lightning.networks.gaussian_actor import GaussianActor
from spar_lightning.networks.manifold import GaussianManifold, VariationalManifold
from spar_lightning.networks.mlp import MLP
from spar_lightning.networks.normalizer import Normalizer

__all__ = [
    "MLP",
    "EnsembleCritic",
    "GaussianActor",
    "GaussianManifold",
    "LatentActor",
    "Normalizer",
    "ValueNetwork",
    "VariationalManifold",
]
