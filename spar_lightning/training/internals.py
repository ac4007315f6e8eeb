"""What is touched of Lightning's own parts, each with the reason, and the test that guards it.

Nothing else of this package reads a private attribute of Lightning's objects: `tests/test_private_names.py`. Private
methods are called or replaced in subclasses alone: how `ResumableCheckpoint` saves, when `StageProgressBar` draws, what
`ContinuedCSVLogger` writes, what `StagedCLI` parses.

Lightning counts batches and the steps of optimizers; a training here counts updates, of which a training step makes
several and each may step several optimizers. `tests/training/test_updates_per_batch.py` guards what counts.
"""

from __future__ import annotations

from typing import Any, cast

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelSummary, RichModelSummary, RichProgressBar, TQDMProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import DDPStrategy

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


def log_axis(trainer: pl.Trainer) -> int:
    """Where Lightning itself logs what is logged in a validation: what comes later must lie at the same place.

    Guarded by `tests/cli/test_background.py`.
    """
    return trainer.fit_loop.epoch_loop._batches_that_stepped


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


def prefetched(trainer: pl.Trainer) -> tuple[list[Any], int]:
    """Where Lightning keeps the iterator that it takes batches from, as a list and a place in it.

    What is fetched ahead of a training step is no part of any public method. Guarded by
    `tests/benchmark/test_bench_command.py`.
    """
    combined = trainer.fit_loop._combined_loader
    assert combined is not None
    return cast(Any, combined._iterator).iterators, 0


def step_metrics(trainer: pl.Trainer) -> tuple[object, str]:
    """What writes metrics after a training step, as an object and the name of its method: nothing public does.

    Guarded by `tests/benchmark/test_bench_command.py`.
    """
    return trainer._logger_connector, "update_train_step_metrics"


def has_validation_data(trainer: pl.Trainer) -> bool:
    """Whether a trainer was given data to validate with; guarded by `tests/callbacks/test_rollout_evaluation.py`."""
    return trainer.fit_loop.epoch_loop.val_loop._data_source.is_defined()


def validation_follows(trainer: pl.Trainer) -> bool:
    """Whether there is a validation after the update that was just made; guarded by `tests/cli/test_stopping.py`."""
    fetcher = trainer.fit_loop._data_fetcher
    return fetcher is not None and trainer.fit_loop.epoch_loop._should_check_val_fx(fetcher)


def shows_one_metric(logger: Logger) -> bool:
    """Whether a logger of Lightning's defaults has put -1 beside the hyper-parameters, where a score belongs.

    Guarded by `tests/callbacks/test_tensorboard_page.py`.
    """
    return bool(getattr(logger, "_default_hp_metric", False))


def ddp_settings(strategy: DDPStrategy) -> dict[str, Any]:
    """What a strategy will wrap modules with, to be changed: `auto` gives no chance to set it earlier.

    Guarded by `tests/cli/test_several_processes.py`.
    """
    return strategy._ddp_kwargs
