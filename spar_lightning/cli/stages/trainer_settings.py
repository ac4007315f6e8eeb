"""Settings of Lightning's trainers, one for each stage: their defaults, and those that are refused."""

from __future__ import annotations

import os
from typing import Any

import torch
from jsonargparse import Namespace

from spar_lightning.types import UserError

TRAINER_DEFAULTS: dict[str, Any] = {
    "max_steps": 62_000,
    "max_epochs": -1,
    "val_check_interval": 1_000,
    "check_val_every_n_epoch": None,
    "num_sanity_val_steps": 0,
    "log_every_n_steps": 100,
    "enable_model_summary": False,
}
BASE_TRAINER_DEFAULTS = {**TRAINER_DEFAULTS, "max_steps": 20_000, "val_check_interval": 2_000}

MOST_PROCESSES = 16
"""On a CPU that has fewer cores."""

UNSUPPORTED_PRECISIONS = {"64", "64-true", "16-true", "bf16-true", "transformer-engine", "transformer-engine-float16"}


def check_limits(key: str, trainer: Namespace) -> None:
    """Refuse a training that would do nothing or never end: an epoch of a sampled stream has no end."""
    if trainer.max_steps == 0 or (trainer.max_steps < 0 and trainer.max_time is None and not trainer.fast_dev_run):
        raise UserError(
            f"`{key}.max_steps` is {trainer.max_steps}, expected a positive number of updates"
            " (or -1 together with `max_time`)"
        )
    for name in ("val_check_interval", "log_every_n_steps"):
        value = getattr(trainer, name)
        if isinstance(value, bool) or not isinstance(value, int | float | None):  # YAML's `on`, Lightning's times
            raise UserError(f"`{key}.{name}` is {value!r}, expected a whole number of updates")
        if value is not None and not value > 0:
            raise UserError(f"`{key}.{name}` is {value}, expected at least 1 update")
    for name in ("max_epochs", "limit_train_batches", "check_val_every_n_epoch"):
        if (value := getattr(trainer, name)) == 0 and not isinstance(value, bool):
            raise UserError(f"`{key}.{name}` is 0, with which nothing is trained: leave it out, and count in updates")
    _check_devices(key, trainer)
    if str(trainer.precision) in UNSUPPORTED_PRECISIONS:
        raise UserError(
            f"`{key}.precision` is {trainer.precision}, expected 32-true, bf16-mixed or 16-mixed: weights are kept in"
            " 32-bit floats"
        )
    if trainer.accumulate_grad_batches != 1:
        raise UserError(
            f"`{key}.accumulate_grad_batches` is {trainer.accumulate_grad_batches}, but modules step their optimizers"
            " themselves, expected 1: choose a larger `data.batch_size`"
        )
    if trainer.gradient_clip_val is not None:
        raise UserError(
            f"`{key}.gradient_clip_val` is set, but modules step their optimizers themselves: use"
            f" --{key.replace('trainer', 'model')}.gradient_clip_norm"
        )


def _check_devices(key: str, trainer: Namespace) -> None:
    """Refuse more processes than a machine can bear; of GPUs Lightning knows how many there are."""
    on_cpu = trainer.accelerator == "cpu" or (trainer.accelerator == "auto" and not torch.cuda.is_available())
    most = max(MOST_PROCESSES, os.cpu_count() or 1)
    if on_cpu and str(trainer.devices).isdecimal() and int(trainer.devices) > most:
        raise UserError(
            f"`{key}.devices` is {trainer.devices}, expected at most {most} on a CPU: each is a process with data and"
            " networks of its own"
        )


def check_intervals(key: str, trainer: Namespace, updates_per_batch: int) -> None:
    """Refuse training steps of several updates that would pass by the end, or by a validation."""
    for name in ("max_steps", "val_check_interval"):
        value = getattr(trainer, name)
        if isinstance(value, int) and value > 0 and value % updates_per_batch and not trainer.fast_dev_run:
            raise UserError(
                f"`{key}.{name}` is {value}, expected a multiple of `data.updates_per_batch`, {updates_per_batch}:"
                " change either"
            )
