"""Metrics of updates: over all processes, and logged at the number of updates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import lightning.pytorch as pl
import torch
from torch import Tensor

from spar_lightning.algorithms import Metrics


def log_update(module: pl.LightningModule, metrics: Metrics, updates: int, shown: Sequence[str]) -> None:
    """Log metrics.

    Args:
        module: that is trained.
        metrics: scalars by name.
        updates: that are made.
        shown: names of those that the progress bar has.
    """
    metrics = _of_all_processes(module, metrics)
    module.log_dict(metrics, logger=False)
    # Through the module, Lightning would repeat the last value of what is not trained any more at every log step.
    for logger in module.loggers:
        logger.log_metrics({name: float(value) for name, value in metrics.items()}, step=updates - 1)
    for name in shown:
        if name in metrics:
            module.log(name.split("/")[0], metrics[name], prog_bar=True, logger=False)


def _of_all_processes(module: pl.LightningModule, metrics: Metrics) -> Metrics:
    """Means over the processes, each of which has seen other batches."""
    if module.trainer.world_size == 1:
        return metrics
    values = torch.stack([value.detach().float().reshape(()) for value in metrics.values()]).to(module.device)
    reduced = cast(Tensor, module.trainer.strategy.reduce(values, reduce_op="mean"))
    return dict(zip(metrics, reduced.unbind(), strict=True))
