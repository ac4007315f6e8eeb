"""What is logged of evaluations: at once, late, and at the end of a run."""

from __future__ import annotations

import lightning.pytorch as pl
import torch

from spar_lightning.callbacks.checkpoints.resumable_checkpoint import ResumableCheckpoint
from spar_lightning.callbacks.rollouts.background_rollouts import Unfinished
from spar_lightning.evaluation import Comparison
from spar_lightning.training.internals import shows_one_metric
from spar_lightning.training.progress import WARMUP


def rollout_metrics(comparison: Comparison, warmup: bool = False) -> dict[str, float]:
    """What is logged of a comparison, by name.

    Args:
        comparison: of the policy with its references.
        warmup: whether the policy is still being prepared.
    """
    own = WARMUP if warmup else "rollout/"
    metrics = {f"{own}length": comparison.policy.mean_length}
    for name, scores in comparison.scores.items():
        prefix = own if scores is comparison.policy else f"rollout/{name}_"
        metrics[f"{prefix}return"] = scores.mean_return
        if scores.score is not None:
            metrics[f"{prefix}normalized_score"] = scores.score
    if comparison.improvement is not None:
        metrics[f"{own}improvement"] = comparison.improvement.mean
    return metrics


def log_now(module: pl.LightningModule, comparison: Comparison, warmup: bool = False) -> None:
    """Log a result in the validation or test that it is of, where checkpoints and early stopping see it."""
    headline = "return" if comparison.policy.score is None else "normalized_score"
    for name, value in rollout_metrics(comparison, warmup).items():
        is_headline = name in (f"rollout/{headline}", f"{WARMUP}{headline}")
        module.log(name, value, prog_bar=is_headline, sync_dist=True)


def log_late(trainer: pl.Trainer, evaluation: Unfinished, comparison: Comparison) -> None:
    """Log a result at the update of its snapshot, and let the checkpoint of that update be the best if it is."""
    # In single precision, as Lightning logs: the same digits as in the foreground.
    found = rollout_metrics(comparison, evaluation.warmup)
    metrics = {name: torch.tensor(value).item() for name, value in found.items()}
    for logger in trainer.loggers:
        logger.log_metrics(metrics, step=evaluation.log_step)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, ResumableCheckpoint):
            callback.save_late(trainer, evaluation.step, metrics)


def log_final(trainer: pl.Trainer, comparison: Comparison) -> None:
    """Log the scores of the run's end."""
    metrics = {name.replace("rollout/", "final/"): value for name, value in rollout_metrics(comparison).items()}
    score = comparison.policy.mean_return if comparison.policy.score is None else comparison.policy.score
    for logger in trainer.loggers:
        extra = {"hp_metric": score} if shows_one_metric(logger) else {}
        logger.log_metrics(metrics | extra, step=trainer.global_step - 1)
