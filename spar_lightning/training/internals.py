"""What is touched of Lightning's own parts, each with the reason.

Lightning counts batches and the steps of optimizers; a training here counts updates, of which a training step makes
several and each may step several optimizers. `tests/training/test_updates_per_batch.py` guards all of it.
"""

from __future__ import annotations

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelSummary, RichModelSummary, RichProgressBar, TQDMProgressBar

from spar_lightning.training.progress import StageProgressBar

DEFAULT_BARS = (TQDMProgressBar, RichProgressBar)
DEFAULT_SUMMARIES = (ModelSummary, RichModelSummary)
"""Which Lightning takes depends on whether `rich` is installed."""


def count_updates(trainer: pl.Trainer, count: int) -> None:
    """Count updates in `trainer.global_step`, which would count the steps of every optimizer."""
    steps = trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
    for tracker in (steps.total, steps.current):
        tracker.ready += count
        tracker.completed += count


def set_log_axis(trainer: pl.Trainer, updates: int) -> None:
    """Log what goes through Lightning at this number, which would be a number of batches."""
    trainer.fit_loop.epoch_loop._batches_that_stepped = updates - 1


def align_batches(trainer: pl.Trainer, batches: int) -> None:
    """Let Lightning, which counts batches to find the next validation, go on from `batches`.

    The run that a checkpoint is of may have made another number of updates in each.
    """
    progress = trainer.fit_loop.epoch_loop.batch_progress
    shift = batches - progress.total.ready
    for tracker in (progress.total, progress.current):
        for name in ("ready", "started", "processed", "completed"):
            setattr(tracker, name, getattr(tracker, name) + shift)


def use_own_console(trainer: pl.Trainer, label: str) -> None:
    """Put the bar of the command line in the place of Lightning's default one, and leave its table of layers out.

    The default bar counts batches of an epoch that has no end. Callbacks of other classes, which someone has chosen,
    stay.
    """
    kept = [callback for callback in trainer.callbacks if type(callback) not in DEFAULT_SUMMARIES]  # type: ignore[attr-defined]
    trainer.callbacks = [  # type: ignore[attr-defined]
        StageProgressBar(label) if type(callback) in DEFAULT_BARS else callback for callback in kept
    ]
