"""What stands in the way of updates without Lightning's own optimization: compiled, captured, or of several seeds."""

from __future__ import annotations

import lightning.pytorch as pl
import torch
from lightning.pytorch.strategies import ParallelStrategy

from spar_lightning.replay import Transitions
from spar_lightning.types import UserError

GRADIENT_HOOKS = ("on_before_backward", "on_after_backward", "on_before_optimizer_step", "on_before_zero_grad")
"""Hooks that see gradients in the middle of an update."""

_WAYS_BACK = ("backward", "manual_backward", "clip_gradients", "configure_gradient_clipping")
"""What a module may do in a way of its own."""


def obstacle(trainer: pl.Trainer) -> str | None:
    """Why updates must go through Lightning's own optimization, None where they need not."""
    if trainer.precision == "16-mixed":
        return "16-mixed precision looks at gradients after each update: bf16-mixed does not"
    if isinstance(trainer.strategy, ParallelStrategy):
        return "processes exchange gradients"
    if torch.is_anomaly_enabled():
        return "`detect_anomaly` looks at gradients after each update"
    return _gradient_hook(trainer)


def obstacle_to_capture(trainer: pl.Trainer, transitions: Transitions) -> str | None:
    """Why they cannot be captured."""
    device = trainer.strategy.root_device
    if device.type != "cuda":
        return "they are not on a CUDA device"
    if transitions.device != device:
        return "the transitions are on disk, not on the device"
    return obstacle(trainer)


def check_joint(trainer: pl.Trainer) -> None:
    """See that updates of several seeds can be made together.

    Raises:
        UserError: if something is asked for that only updates of one seed have.
    """
    reason = _gradient_hook(trainer)
    if isinstance(trainer.strategy, ParallelStrategy):
        reason = f"`trainer.strategy` is {type(trainer.strategy).__name__}: use --trainer.devices 1"
    elif trainer.precision == "16-mixed":
        reason = "`trainer.precision` is 16-mixed: use bf16-mixed or 32-true"
    if reason is not None:
        raise UserError(f"several seeds cannot be trained together: {reason}; or train them one by one")


def _gradient_hook(trainer: pl.Trainer) -> str | None:
    module = trainer.lightning_module
    looking: list[object] = [
        one
        for hook in GRADIENT_HOOKS
        for one in trainer.callbacks  # type: ignore[attr-defined]
        if getattr(type(one), hook) is not getattr(pl.Callback, hook)
    ]
    if any(_is_own(type(module), hook) for hook in (*GRADIENT_HOOKS, *_WAYS_BACK)):
        looking.append(module)
    return f"{type(looking[0]).__name__} looks at gradients in the middle of an update" if looking else None


def _is_own(module: type, hook: str) -> bool:
    """Whether a module's hook is the user's."""
    owner = next(one for one in module.__mro__ if hook in vars(one))
    return owner.__module__.partition(".")[0] not in ("lightning", __name__.partition(".")[0])
