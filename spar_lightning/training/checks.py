"""What must hold before a training begins or goes on."""

from __future__ import annotations

from typing import Any

from spar_lightning.replay import OfflineDataModule
from spar_lightning.types import CheckpointError, UserError


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
