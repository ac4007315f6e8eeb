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


def check_dimensions(module: pl.LightningModule, datamodule: OfflineDataModule, role: str = "the policy") -> None:
    """Refuse a data set of another shape.

    Args:
        module: built for `observation_dim` and `action_dim`.
        datamodule: the data set.
        role: what the module is to the user.

    Raises:
        CheckpointError: if the module was built for other observation or action sizes.
    """
    for kind in ("observation", "action"):
        found, expected = getattr(datamodule, f"{kind}_dim"), getattr(module, f"{kind}_dim")
        if found != expected:
            raise CheckpointError(
                f"{kind}s of data set '{datamodule.name}' have {found} dimensions, {role} expects {expected}: "
                "was it trained on another environment? Choose the data set it was trained on, or train a new one."
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
        # Into one tensor: small results kept between large intermediate ones would fragment the heap, to gigabytes.
        actions = torch.empty_like(transitions.actions)
        for place, chunk in zip(torch.split(actions, CHUNK), torch.split(observations, CHUNK), strict=True):
            place.copy_(base_actions(chunk))
        transitions.set_column(name, actions)


def residual_spread(transitions: Transitions, base: BCModule, floor: float) -> Tensor:
    """Standard deviation of the data's residuals from the base, per action dimension (A,), scaled actions.

    It is not less than `floor` times the actions' own, so that a base that has memorised few demonstrations leaves a
    manifold to move on.
    """
    scaled, spreads = base.normalizer.scale(transitions.actions), []
    # One dimension after the other: copies of all in float64 would be the peak of a run's memory.
    for column, base_column in zip(scaled.unbind(1), transitions.column("base_actions").unbind(1), strict=True):
        actions = column.double()
        residuals = actions - base_column.double()
        spreads.append(torch.maximum(residuals.std(correction=0), floor * actions.std(correction=0)))
    return torch.stack(spreads).clamp(min=MIN_SPREAD).float()  # an action dimension may be constant
