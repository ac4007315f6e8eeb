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
def add_base_columns(transitions: Transitions, base_actions: Callable[[Tensor], Tensor], bootstrap: bool) -> None:
    """Add the column `base_actions`, so that no forward pass of the base is left in the loop.

    Args:
        transitions: the training data.
        base_actions: maps raw observations (B, O) to scaled base actions (B, A).
        bootstrap: add `next_base_actions` too, for targets that act at the next state.
    """
    for name in ("base_actions", "next_base_actions") if bootstrap else ("base_actions",):
        column, start = transitions.new_column(name, transitions.action_dim), 0
        for chunk in transitions.chunks(CHUNK):
            observations = chunk.next_observations if name == "next_base_actions" else chunk.observations
            column[start : start + len(observations)] = base_actions(observations)
            start += len(observations)


def residual_spread(transitions: Transitions, base: BCModule, floor: float) -> Tensor:
    """Standard deviation of the data's residuals from the base, per action dimension (A,), scaled actions.

    It is not less than `floor` times the actions' own, so that a base that has memorised few demonstrations leaves a
    manifold to move on.
    """

    def actions_and_residuals() -> Iterator[Tensor]:
        for chunk in transitions.chunks(CHUNK):
            actions = base.normalizer.scale(chunk.actions).double()
            yield torch.cat([actions, actions - chunk.columns["base_actions"].double()], dim=1)

    _, spreads = moments(actions_and_residuals, len(transitions))
    actions, residuals = spreads.chunk(2)
    return torch.maximum(residuals, floor * actions).clamp(min=MIN_SPREAD).float()  # an action may be constant
