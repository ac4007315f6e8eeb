"""What stage 2 needs of its frozen base, once for the whole data set."""

from __future__ import annotations

from collections.abc import Callable

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from spar_lightning.data import OfflineDataModule, Transitions
from spar_lightning.modules.bc import BCModule
from spar_lightning.types import CheckpointError

MIN_SPREAD = 1e-3
"""Floor of the residuals' spread where the actions themselves do not vary."""

CHUNK = 8192
"""Rows a forward pass; fixed, so that a resumed run computes the same bits."""


def check_dimensions(base: pl.LightningModule, datamodule: OfflineDataModule) -> None:
    """Refuse a data set of another shape.

    Raises:
        CheckpointError: if the base was built for other observation or action sizes.
    """
    for kind in ("observation", "action"):
        found, expected = getattr(datamodule, f"{kind}_dim"), getattr(base, f"{kind}_dim")
        if found != expected:
            raise CheckpointError(
                f"{kind}s of data set '{datamodule.name}' have {found} dimensions, the base policy expects {expected}: "
                "was it trained on another environment? Choose the data set it was trained on, or train a new base."
            )


def check_statistics(base: BCModule, datamodule: OfflineDataModule) -> None:
    """Refuse a base that was never trained, and say so if it was trained on other data.

    Raises:
        CheckpointError: if the base holds no statistics.
    """
    if not base.normalizer.is_fitted:
        raise CheckpointError(
            "the base policy holds no normalization statistics, expected a trained one: fit a BCModule first, or load "
            "one with BCModule.load_from_checkpoint(path, weights_only=True)"
        )
    if not base.normalizer.matches(datamodule.statistics):
        rank_zero_warn(
            f"the base policy was trained on other data than '{datamodule.name}': its normalization statistics and "
            "action bounds differ from this data set's. They are kept, since the frozen base depends on them."
        )


@torch.no_grad()
def add_base_columns(transitions: Transitions, base_actions: Callable[[Tensor], Tensor], bootstrap: bool) -> None:
    """Add the column `base_actions`, so that no forward pass of the base is left in the loop.

    Args:
        transitions: the training data.
        base_actions: maps raw observations (B, O) to scaled base actions (B, A).
        bootstrap: add `next_base_actions` too, for targets that act at the next state.
    """
    columns = {"base_actions": transitions.observations}
    if bootstrap:
        columns["next_base_actions"] = transitions.next_observations
    for name, observations in columns.items():
        transitions.set_column(name, torch.cat([base_actions(chunk) for chunk in torch.split(observations, CHUNK)]))


def residual_spread(transitions: Transitions, base: BCModule, floor: float) -> Tensor:
    """Standard deviation of the data's residuals from the base, per action dimension (A,), scaled actions.

    It is not less than `floor` times the actions' own, so that a base that has memorised few demonstrations leaves a
    manifold to move on.
    """
    actions = base.normalizer.scale(transitions.actions).double()
    residuals = actions - transitions.column("base_actions").double()
    spread = torch.maximum(residuals.std(dim=0, correction=0), floor * actions.std(dim=0, correction=0))
    return spread.clamp(min=MIN_SPREAD).float()  # an action dimension may be constant
