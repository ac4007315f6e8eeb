"""Algorithms: one method a file, networks, losses and an update; no trainer, no file, no simulator."""

from spar_lightning.algorithms.algorithm import (
    Algorithm,
    Batch,
    Beginnings,
    Columns,
    Learner,
    Metrics,
    Optimized,
    TrainingData,
)
from spar_lightning.algorithms.bc import BC
from spar_lightning.algorithms.iql import IQL
from spar_lightning.algorithms.mean_policy import MeanPolicy
from spar_lightning.algorithms.rebrac import ReBRAC
from spar_lightning.algorithms.spar import SPAR
from spar_lightning.algorithms.td3_bc import TD3BC

__all__ = [
    "BC",
    "IQL",
    "SPAR",
    "TD3BC",
    "Algorithm",
    "Batch",
    "Beginnings",
    "Columns",
    "Learner",
    "MeanPolicy",
    "Metrics",
    "Optimized",
    "ReBRAC",
    "TrainingData",
]
