"""What stage 2 needs of its frozen base, once for the whole data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from spar_lightning.data import OfflineDataModule, Transitions, moments
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
def add_base_columns(
    transitions: Transitions, reference: Callable[[Tensor], tuple[Tensor, Tensor]], bootstrap: bool
) -> None:
    """Add the columns `base_actions` and `base_deviations`, so that no forward pass of the base is left in the loop.

    Args:
        transitions: the training data.
        reference: maps raw observations (B, O) to scaled base actions and their deviations, (B, A) each.
        bootstrap: add `next_base_actions` and `next_base_deviations` too, for targets that act at the next state.
    """
    for prefix in ("", "next_") if bootstrap else ("",):
        names = (f"{prefix}base_actions", f"{prefix}base_deviations")
        for name in names:
            transitions.new_column(name, transitions.action_dim)
        # Anew: room for a further column may have moved those before.
        columns = [transitions.new_column(name, transitions.action_dim) for name in names]
        start = 0
        for chunk in transitions.chunks(CHUNK):
            observations = chunk.next_observations if prefix else chunk.observations
            for column, values in zip(columns, reference(observations), strict=True):
                column[start : start + len(observations)] = values
            start += len(observations)


def residual_spread(transitions: Transitions, base: BCModule, floor: float) -> Tensor:
    """Standard deviation of the data's residuals from the base in units of its deviations, per action dimension (A,).

    On average over states a residual of that size is not less than `floor` times the deviation of the actions
    themselves, so that a base that has memorised few demonstrations leaves a manifold to move on.
    """

    def columns() -> Iterator[Tensor]:
        for chunk in transitions.chunks(CHUNK):
            actions, deviations = base.normalizer.scale(chunk.actions), chunk.columns["base_deviations"].double()
            residuals = (actions.double() - chunk.columns["base_actions"].double()) / deviations
            yield torch.cat([actions.double(), residuals, deviations], dim=1)

    means, spreads = moments(columns, len(transitions))
    actions, residuals, _ = spreads.chunk(3)
    deviations = means.chunk(3)[2]
    # An action may be constant.
    return torch.maximum(residuals, (floor * actions).clamp(min=MIN_SPREAD) / deviations).float()
