"""What must hold before a training begins or goes on, and what an own algorithm's updates must answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from spar_lightning.algorithms import Algorithm, Metrics
from spar_lightning.algorithms.algorithm import Loss
from spar_lightning.replay import OfflineDataModule
from spar_lightning.types import CheckpointError, UserError

Optimizer = TypeVar("Optimizer")


def check_dimensions(policy: Any, datamodule: OfflineDataModule, role: str = "the policy") -> None:
    """Refuse a data set of another shape.

    Args:
        policy: built for `observation_dim` and `action_dim`.
        datamodule: the data set.
        role: what the policy is to the user.

    Raises:
        CheckpointError: if it was built for other observation or action sizes.
    """
    for kind in ("observation", "action"):
        found, expected = getattr(datamodule, f"{kind}_dim"), getattr(policy, f"{kind}_dim")
        if found != expected:
            raise CheckpointError(
                f"{kind}s of data set '{datamodule.name}' have {found} dimensions, {role} expects {expected}: "
                "was it trained on another environment? Choose the data set it was trained on, or train a new one."
            )


def check_end(trainer: pl.Trainer) -> None:
    """See that a training ends and is validated: an epoch of a sampled stream, by which Lightning counts, is endless.

    Raises:
        UserError: if it would not end.
    """
    if isinstance(trainer.limit_train_batches, int):  # then it has epochs
        return
    if trainer.max_steps < 0 and not any(isinstance(one, Timer) for one in trainer.callbacks):  # type: ignore[attr-defined]
        raise UserError(
            f"`max_steps` is {trainer.max_steps} and `max_epochs` {trainer.max_epochs}, but an epoch of sampled"
            " transitions has no end: expected `max_steps`, in updates, or `max_time`"
        )
    if trainer.limit_val_batches and isinstance(trainer.val_check_interval, float):
        rank_zero_warn(
            f"`val_check_interval` is {trainer.val_check_interval}, a share of an epoch that has no end: nothing is"
            " validated, or evaluated then, before the training ends. Expected a whole number of training steps"
        )


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


# ------------------------------------------------------------------------- what an algorithm of the user's own answers


@torch.no_grad()
def check_actions(algorithm: Algorithm, device: torch.device) -> None:
    """See that there is an action for each observation: another shape would be broadcast in losses, in silence.

    Raises:
        UserError: if there is not.
    """
    modes = {part: part.training for part in algorithm.modules()}
    algorithm.eval()  # so that nothing of the networks changes
    found = algorithm.select_actions(torch.zeros(3, algorithm.observation_dim, device=device))
    for part, mode in modes.items():
        part.training = mode
    expected = (3, algorithm.action_dim)
    if found.shape != expected:
        raise UserError(
            f"{_name(algorithm)} gives actions of shape {tuple(found.shape)} for 3 observations, expected {expected}: "
            "mend its `forward` or `select_actions`"
        )


def checked_metrics(algorithm: Algorithm, found: Any) -> Metrics:
    """What an update told.

    Raises:
        UserError: if it is no dictionary.
    """
    if not isinstance(found, dict):
        raise UserError(
            f"`update` of {_name(algorithm)} gave {_kind(found)}, expected a dictionary of metrics, such as what "
            "`learner.descend` gives"
        )
    return found


def checked_loss(loss: Loss, found: Any) -> tuple[Tensor, Metrics]:
    """What a loss told.

    Raises:
        UserError: if it is no scalar with a dictionary.
    """
    is_pair = isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], Tensor)
    if not is_pair or found[0].ndim != 0 or not isinstance(found[1], dict):
        raise UserError(
            f"the loss `{loss.__qualname__}` gave {_kind(found)}, expected a scalar tensor and a dictionary of metrics"
        )
    return found  # type: ignore[no-any-return]


def optimizer_named(optimizers: Mapping[str, Optimizer], name: str) -> Optimizer:
    """One of an algorithm's optimizers.

    Raises:
        UserError: if it has none of that name.
    """
    if name not in optimizers:
        raise UserError(f"`descend` was asked for the optimizer {name!r}, expected one of {', '.join(optimizers)}")
    return optimizers[name]


def _name(algorithm: Algorithm) -> str:
    return type(algorithm).__name__


def _kind(found: Any) -> str:
    if isinstance(found, tuple):
        return f"({', '.join(_kind(part) for part in found)})"
    return f"a tensor of shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
