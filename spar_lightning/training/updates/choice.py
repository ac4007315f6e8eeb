"""How the updates of a training are made: under Lightning, by themselves, or with other seeds."""

from __future__ import annotations

from typing import Literal

import lightning.pytorch as pl
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from spar_lightning.replay import offline_data
from spar_lightning.training.seeds import SeedPlace, current_place
from spar_lightning.training.updates.execution import Execution
from spar_lightning.training.updates.joint import ByItself
from spar_lightning.training.updates.obstacles import check_joint, obstacle, obstacle_to_capture
from spar_lightning.training.updates.stack import Training


def choose_execution(
    module: pl.LightningModule, training: Training, capture: bool | Literal["auto"]
) -> Execution | ByItself | SeedPlace:
    """What makes the updates; with other seeds, when all of them have come.

    Args:
        module: whose trainer runs.
        training: what there is to do.
        capture: whether updates are to be captured in a CUDA graph.

    Raises:
        UserError: if several seeds are trained together, and something is asked for that only updates of one have.
    """
    if (place := current_place()) is not None:
        check_joint(module.trainer)
    training = training._replace(compiles=_are_compiled(module, training), captures=_are_captured(module, capture))
    if place is not None:
        place.bring(training)
        return place
    if training.compiles or training.captures:
        return ByItself(training)
    return Execution(module, training.algorithm, training.stream, training.optimizers, training.generator)


def _are_compiled(module: pl.LightningModule, training: Training) -> bool:
    reason = obstacle(module.trainer)
    if training.compiles and reason is not None:
        rank_zero_warn(f"`compile` is set, but updates are not compiled: {reason}")
    return training.compiles and reason is None


def _are_captured(module: pl.LightningModule, capture: bool | Literal["auto"]) -> bool:
    if capture is False:
        return False
    reason = obstacle_to_capture(module.trainer, offline_data(module.trainer).transitions)
    if reason is not None and (capture is True or module.device.type == "cuda"):
        rank_zero_info(f"updates are not captured in a CUDA graph: {reason}")
    return reason is None
