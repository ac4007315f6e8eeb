"""Stops a run whose losses or weights are no longer numbers, before they reach a checkpoint; tells of rising ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor
from typing_extensions import override

from spar_lightning.callbacks.interval import Interval
from spar_lightning.types import NonFiniteLossError

_RISE = 1_000.0
_LARGEST = _RISE**2


class FiniteLossGuard(pl.Callback):
    """Raises NonFiniteLossError when a loss that `training_step` returned, or a weight, is NaN or infinite.

    The check waits for the accelerator, so it is not made at every update; it is always made before a validation and
    before a checkpoint is written, so that the last checkpoint is a good one. A loss that is a thousand times what it
    was at first, or beyond a million, is said, once: mostly such a run goes on and comes to nothing.

    Args:
        every_n_updates: updates between two checks of the losses; 0 leaves those before validations and checkpoints.
    """

    def __init__(self, every_n_updates: int = 100) -> None:
        self._interval = Interval(every_n_updates)
        self._outputs: STEP_OUTPUT = None
        self._limits: dict[str, float] = {}

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count from the run's first update, or the checkpoint's."""
        self._interval.start(trainer.global_step)
        self._outputs, self._limits = None, {}

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: STEP_OUTPUT, batch: Any, batch_idx: int
    ) -> None:
        """Keep the losses, and look at them when it is time."""
        self._outputs = outputs
        for name, value in _losses(outputs).items():
            if name not in self._limits and "loss" in name:
                self._limits[name] = min(_RISE * max(abs(float(value)), 1.0), _LARGEST)
        if self._interval.is_due(trainer.global_step):
            self._check(trainer, "loss", _losses(outputs))

    @override
    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check before anything is evaluated."""
        if trainer.state.fn == TrainerFn.FITTING:
            self._check_all(trainer, pl_module)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check at the end of training, before other callbacks use the result."""
        self._check_all(trainer, pl_module)

    @override
    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Check before the file is opened: a good one of the same name stays."""
        self._check_all(trainer, pl_module)

    def _check_all(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._check(trainer, "loss", _losses(self._outputs))
        # A finite loss may have had a NaN gradient: the weights know before the next loss does.
        self._check(trainer, "weight", {name: weight.detach() for name, weight in pl_module.named_parameters()})

    def _check(self, trainer: pl.Trainer, kind: str, values: Mapping[str, Tensor]) -> None:
        if not values:
            return
        finite = torch.stack([value.isfinite().all() for value in values.values()])
        if bool(finite.all()):  # the one synchronization
            if kind == "loss":
                self._tell_risen(trainer, values)
            return
        name = next(name for name, good in zip(values, finite.tolist(), strict=True) if not good)
        raise NonFiniteLossError(
            f"the {kind} `{name}` is NaN or infinite at update {trainer.global_step}, expected finite numbers; "
            f"{_last_checkpoint(trainer)}. Lower the learning rate, clip gradients, or train in 32-bit precision"
        )

    def _tell_risen(self, trainer: pl.Trainer, losses: Mapping[str, Tensor]) -> None:
        for name, value in losses.items():
            limit = self._limits.get(name, math.inf)
            if (risen := float(value.abs().max())) > limit:
                self._limits[name] = math.inf
                why = (
                    " from what it was at first: training diverges. Lower the learning rate, or clip gradients"
                    if limit < _LARGEST
                    else ": rewards are very large, or training diverges. Lower `reward_scale`, or the learning rate"
                )
                rank_zero_warn(
                    f"the loss `{name}` is {risen:.3g} at update {trainer.global_step}, expected less than {limit:.3g}"
                    + why
                )


def _losses(outputs: STEP_OUTPUT) -> dict[str, Tensor]:
    named = outputs if isinstance(outputs, Mapping) else {"loss": outputs}
    return {name: value.detach() for name, value in named.items() if isinstance(value, Tensor)}


def _last_checkpoint(trainer: pl.Trainer) -> str:
    callback = trainer.checkpoint_callback
    if isinstance(callback, ModelCheckpoint):
        for path in (callback.last_model_path, callback.best_model_path):
            if path and Path(path).is_file():
                return f"the last good checkpoint is {path}"
    return "no checkpoint was saved yet"
