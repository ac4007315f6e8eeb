"""What the residual is measured from and in, once for the whole data set."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from spar_lightning.algorithms.algorithm import Columns, TrainingData
from spar_lightning.algorithms.returns import CHUNK
from spar_lightning.algorithms.spar.policy import ResidualPolicy
from spar_lightning.functional import moments

MIN_SPREAD = 1e-3
"""Floor of the residuals' spread where the actions themselves do not vary."""


@torch.no_grad()
def base_columns(data: TrainingData, policy: ResidualPolicy, following: bool) -> Iterator[Columns]:
    """The columns `base_actions` and `base_deviations`, so that no forward pass of the base is left in the loop.

    Args:
        data: the training data.
        policy: with the base.
        following: add `next_base_actions` and `next_base_deviations`, for targets that act at the next state.
    """
    for prefix in ("", "next_") if following else ("",):
        for piece in data.pieces(CHUNK):
            actions, deviations = policy.reference(piece.next_observations if prefix else piece.observations)
            yield {f"{prefix}base_actions": actions, f"{prefix}base_deviations": deviations}


def residual_spread(data: TrainingData, floor: float) -> Tensor:
    """Standard deviation of the data's residuals from the base in units of its deviations, per action dimension (A,).

    On average over states a residual of that size is not less than `floor` times the deviation of the actions
    themselves, so that a base that has memorised few demonstrations leaves a manifold to move on.
    """

    def columns() -> Iterator[Tensor]:
        for piece in data.pieces(CHUNK):
            actions, deviations = piece.actions.double(), piece.columns["base_deviations"].double()
            residuals = (actions - piece.columns["base_actions"].double()) / deviations
            yield torch.cat([actions, residuals, deviations], dim=1)

    means, spreads = moments(columns, len(data))
    actions, residuals, _ = spreads.chunk(3)
    deviations = means.chunk(3)[2]
    # An action may be constant.
    return torch.maximum(residuals, (floor * actions).clamp(min=MIN_SPREAD) / deviations).float()
