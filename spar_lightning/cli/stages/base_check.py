"""Whether a base has learnt anything, before a second stage is built on it."""

from __future__ import annotations

import torch
from lightning.pytorch.utilities import rank_zero_warn

from spar_lightning.replay import OfflineDataModule, spread_rows
from spar_lightning.types import Policy

_ROWS = 10_000
_MARGIN = 1.01


def tell_useless(base: Policy, datamodule: OfflineDataModule) -> None:
    """Say so if the mean action of the data is nearer to their actions than a base's own.

    Args:
        base: trained.
        datamodule: set up; some rows of the training part are looked at, always the same.
    """
    transitions = datamodule.transitions
    rows = spread_rows(len(transitions), _ROWS)
    batch = transitions.batch(rows.to(transitions.device))
    observations, actions = batch.observations.cpu(), batch.actions.cpu().double()
    with torch.no_grad():
        found = float((base.act(observations).cpu().double() - actions).square().sum(1).mean())
    constant = float((actions - actions.mean(0)).square().sum(1).mean())
    if not found <= _MARGIN * constant:
        rank_zero_warn(
            f"the base is worse than a constant action: its squared error to the data's actions is {found:.3g}, that of"
            f" their mean {constant:.3g}. Train it longer, or with a lower `bc.model.learning_rate`"
        )
