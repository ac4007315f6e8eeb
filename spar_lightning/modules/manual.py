"""What modules share that step several optimizers themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from spar_lightning.data import Minibatches, offline_data
from spar_lightning.modules.checkpoints import MODULE_KEY
from spar_lightning.modules.compiled import CompiledLoss, require_compiler
from spar_lightning.modules.flat import FlatParameters
from spar_lightning.types import TransitionBatch, UserError

Metrics = dict[str, Tensor]


class Trained(NamedTuple):
    """What one optimizer does."""

    networks: Sequence[nn.Module]  # that it steps
    learning_rate: float
    factor: Callable[[], float] | None = None  # of the learning rate, as it is now


class ManualUpdates(pl.LightningModule):
    """Makes one or several updates in a training step, each of which steps optimizers by name.

    A subclass writes `_update`, which makes one update of a minibatch and steps the optimizers that are due; each
    update is one of Lightning's global steps, whatever it steps. Its `configure_optimizers` returns what `_adam` makes.
    Everything that is due now and then (learning rates, logs) is due by updates, however many of them a training step
    makes.

    Args:
        gradient_clip_norm: largest gradient norm of each optimizer's step; None does not clip.
        compile: compile the losses named in `_pure_losses` when a training starts.
    """

    def __init__(self, gradient_clip_norm: float | None = None, compile: bool = False) -> None:
        super().__init__()
        self._compile = compile
        self.automatic_optimization = False
        self._gradient_clip_norm = gradient_clip_norm
        self._updates = 0
        self._latest: Metrics = {}

    _shown: tuple[str, ...] = ()
    """Metrics that the progress bar shows, under the first part of their names."""

    _pure_losses: Mapping[str, str] = MappingProxyType({})
    """Methods that can be compiled, as `CompiledLoss` says, and the optimizer that descends each."""

    # ------------------------------------------------------------------------------------- what a subclass may write

    def _update(self, batch: TransitionBatch) -> None:
        """Make one update, and leave its losses and metrics in `_latest`."""
        raise NotImplementedError

    def _finish_update(self) -> None:
        """Do what is due at this number of `_updates`."""

    def _metrics(self, batch: TransitionBatch) -> Metrics:  # noqa: ARG002
        """What is logged of the last update, a scalar each; called only when it is time."""
        return dict(self._latest)

    # ------------------------------------------------------------------------------------------------------ training

    def on_fit_start(self) -> None:
        """See that the number of updates comes out even, and compile the losses.

        Raises:
            UserError: if training steps of several updates cannot end at `max_steps`, or there is no compiler.
        """
        per_batch, max_steps = offline_data(self.trainer).updates_per_batch, self.trainer.max_steps
        if max_steps > 0 and max_steps % per_batch and not self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            raise UserError(
                f"`max_steps` is {max_steps}, expected a multiple of `updates_per_batch`, {per_batch}: change either"
            )
        self._uncompile()  # an interrupted run has no end
        if self._compile:
            require_compiler()
            for name, optimizer in self._pure_losses.items():
                if optimizer in self._flat:  # hides the method; the networks stay as they are
                    parameters = [p for flat in self._flat[optimizer] for p in flat.parameters]
                    setattr(self, name, CompiledLoss(getattr(self, name), parameters, self.device.type))

    def on_fit_end(self) -> None:
        """Go back to the plain losses."""
        self._uncompile()

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickle holds: the plain losses, since compiled ones are of this module's parameters."""
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name not in self._pure_losses}

    def _uncompile(self) -> None:
        for name in self._pure_losses:
            self.__dict__.pop(name, None)

    def on_train_start(self) -> None:
        """Pick up the count of updates where a resumed run left it.

        Raises:
            UserError: if it was left where training steps of this many updates do not pass.
        """
        self._updates = self.trainer.global_step
        self._latest = {}
        per_batch = offline_data(self.trainer).updates_per_batch
        if not self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            check_position(self._updates, per_batch)
        # Lightning counts batches to find the next validation; the run before may have had others.
        progress = self.trainer.fit_loop.epoch_loop.batch_progress
        shift = self._updates // per_batch - progress.total.ready
        for tracker in (progress.total, progress.current):
            for name in ("ready", "started", "processed", "completed"):
                setattr(tracker, name, getattr(tracker, name) + shift)

    def training_step(self, batch: TransitionBatch | Minibatches, batch_idx: int) -> Metrics:  # noqa: ARG002
        """One update of each minibatch; returns the losses of the last."""
        for minibatch in (batch,) if isinstance(batch, TransitionBatch) else batch:
            self._update(minibatch)
            self._count_update()
            self._finish_update()
            if self._updates % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
                self._write(self._metrics(minibatch))
        # What is logged through Lightning has this number on its axis: batches by itself, here updates.
        self.trainer.fit_loop.epoch_loop._batches_that_stepped = self._updates - 1
        return {name: value for name, value in self._latest.items() if value.ndim == 0}

    def _write(self, metrics: Metrics) -> None:
        self.log_dict(metrics, logger=False)
        # Through the module, Lightning would repeat the last value of what is not trained any more at every log step.
        for logger in self.loggers:
            logger.log_metrics({name: float(value) for name, value in metrics.items()}, step=self._updates - 1)
        for name in self._shown:
            if name in metrics:
                self.log(name.split("/")[0], metrics[name], prog_bar=True, logger=False)

    def _count_update(self) -> None:
        """Count an update, here and in Lightning's `global_step`, which would count the steps of every optimizer."""
        self._updates += 1
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        progress.increment_ready()
        progress.increment_completed()

    def _step(self, name: str, loss: Tensor) -> None:
        """Descend a scalar loss by one step of an optimizer, and step its learning rate."""
        optimizer = self._optimizer(name)
        for flat in self._flat[name]:
            flat.clear_gradients()
        with torch.autocast(self.device.type, enabled=False):  # the forward pass has chosen the types
            self.manual_backward(loss)
        for flat in self._flat[name]:
            flat.gather_gradients()
        # Uncounted, but with the precision plugin's help.
        self.trainer.strategy.optimizer_step(optimizer.optimizer, closure=lambda: None)
        if name in self._scheduler_names:
            cast(list[LambdaLR], self._as_list(self.lr_schedulers()))[self._scheduler_names.index(name)].step()

    # ---------------------------------------------------------------------------------------------------- optimizers

    def _adam(self, trained: Mapping[str, Trained]) -> tuple[list[Adam], list[LambdaLR]]:
        """What `configure_optimizers` returns: Adam for each name, and the learning rates that change."""
        # A fused optimizer unscales gradients in its own step, too late for clipping: Lightning refuses the two.
        fused = self._gradient_clip_norm is None or not self.trainer.precision.endswith("-mixed")
        self._flat = {name: [FlatParameters(network) for network in one.networks] for name, one in trained.items()}
        optimizers = {
            name: Adam([flat.vector for flat in self._flat[name]], lr=one.learning_rate, fused=fused)
            for name, one in trained.items()
        }
        schedulers = {
            name: LambdaLR(optimizers[name], partial(_now, one.factor))
            for name, one in trained.items()
            if one.factor is not None
        }
        self._scheduler_names = list(schedulers)
        return list(optimizers.values()), list(schedulers.values())

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip unscaled gradients, if asked to."""
        if self._gradient_clip_norm is not None:
            self.clip_gradients(optimizer, self._gradient_clip_norm, "norm")

    def _remaining(self, start: int, end: int) -> float:
        """The share of the updates from `start` to `end` that is still to come; 1 if they have no end."""
        return min(1.0, max(0.0, (end - self._updates) / max(1, end - start))) if end > 0 else 1.0

    def _optimizer(self, name: str) -> LightningOptimizer:
        return cast(list[LightningOptimizer], self._as_list(self.optimizers()))[list(self._flat).index(name)]

    @staticmethod
    def _as_list(found: Any) -> list[Any]:
        """Lightning hands out a single one bare."""
        return found if isinstance(found, list) else [found]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say which module this is, for whoever has the file alone."""
        checkpoint[MODULE_KEY] = type(self).__name__


def _now(factor: Callable[[], float], _: int) -> float:
    """A learning rate's factor, for a scheduler that says how often it was asked."""
    return factor()


def check_position(updates: int, updates_per_batch: int) -> None:
    """See that training steps of several updates pass through the number of updates that a run goes on from.

    Raises:
        UserError: if they do not.
    """
    if updates % updates_per_batch:
        raise UserError(
            f"the checkpoint is at update {updates}, which `updates_per_batch`, {updates_per_batch}, does not divide:"
            " go on with a divisor of it, such as 1"
        )
