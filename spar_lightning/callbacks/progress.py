"""One progress bar for a whole stage of training."""

from __future__ import annotations

import sys
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor
from typing_extensions import override


class StageProgressBar(TQDMProgressBar):
    """Shows updates done of `max_steps`, updates per second, and the metrics logged with `prog_bar=True`.

    Args:
        label: name of the stage, at the left of the bar.
        refresh_rate: batches between two drawings; 0 draws nothing.
    """

    def __init__(self, label: str = "train", refresh_rate: int = 100) -> None:
        super().__init__(refresh_rate=refresh_rate, leave=False)
        self.label = label

    @property
    @override
    def train_description(self) -> str:
        """The label."""
        return self.label

    @override
    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Open the bar, at the checkpoint's update when a run goes on."""
        self.train_progress_bar = Tqdm(
            desc=self.train_description,
            total=trainer.max_steps if trainer.max_steps > 0 else None,
            initial=trainer.global_step,
            disable=self.is_disabled,
            dynamic_ncols=True,
            file=sys.stdout,
            smoothing=0,
            bar_format=self.BAR_FORMAT,
        )

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Go on with the same bar: an epoch is an artefact of the data loader."""

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: STEP_OUTPUT, batch: Any, batch_idx: int
    ) -> None:
        """Draw, now and then and at the last update."""
        bar = self.train_progress_bar
        if self._should_update(batch_idx + 1, -1) or (self.is_enabled and trainer.global_step == bar.total):
            bar.n = trainer.global_step
            bar.set_postfix(self.get_metrics(trainer, pl_module))  # draws

    @override
    def init_validation_tqdm(self) -> Tqdm:
        """No bar: a validation is one call of the simulator."""
        return Tqdm(disable=True)

    @override
    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """The module's metrics, in a few digits."""
        return {name: _compact(value) for name, value in trainer.progress_bar_metrics.items()}


def _compact(value: Tensor | float) -> str:
    number = float(value)
    return f"{number:.0f}" if abs(number) >= 1000 else f"{number:.3g}"
