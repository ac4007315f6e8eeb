"""Lightning's strategy for several processes, made to fit manual updates."""

from __future__ import annotations

import lightning.pytorch as pl
from lightning.pytorch.strategies import DDPStrategy, ParallelStrategy

from spar_lightning.training.internals import ddp_settings
from spar_lightning.types import UserError


def adapt_strategy(trainer: pl.Trainer) -> None:
    """Make the strategy fit modules that step several optimizers, each after a loss of its own.

    A backward pass then reaches only some parameters; and buffers, such as statistics, are the same on every rank.

    Raises:
        UserError: if the strategy cannot train them.
    """
    strategy = trainer.strategy
    if not isinstance(strategy, ParallelStrategy):
        return
    if not isinstance(strategy, DDPStrategy):
        raise UserError(f"`trainer.strategy` is {type(strategy).__name__}, expected ddp: weights are not sharded here")
    settings = ddp_settings(strategy)
    if not settings.setdefault("find_unused_parameters", True):
        raise UserError(
            "`find_unused_parameters` of `trainer.strategy` is false, expected true, since each loss reaches only some"
            " of the parameters: give `ddp` as the strategy"
        )
    settings.setdefault("broadcast_buffers", False)
