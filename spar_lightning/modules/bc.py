"""Stage 1: behaviour cloning, the base that stage 2 leaves as it is."""

from __future__ import annotations

from collections.abc import Sequence

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from spar_lightning.data import offline_data
from spar_lightning.functional import imitation_loss
from spar_lightning.modules.policy import ActsOnArrays
from spar_lightning.modules.settings import check_settings
from spar_lightning.networks import MLP, Normalizer
from spar_lightning.types import TransitionBatch


class BCModule(ActsOnArrays, pl.LightningModule):
    r"""Behaviour cloning of a deterministic policy.

    .. math:: \min_{base} E \, |base(s) - a|^2, \qquad base(s) = \tanh(\mathrm{MLP}(s))

    Kept pure: no values, no weights (SPAR, arXiv 2605.27877: the base is a pure BC policy, trained first, then
    frozen). It owns the normalization statistics and action bounds, which stage 2 takes from it.

    Args:
        observation_dim: size of an observation.
        action_dim: size of an action.
        hidden_dims: widths of the hidden layers.
        learning_rate: of Adam.
    """

    def __init__(
        self,
        observation_dim: int,
        action_dim: int,
        hidden_dims: Sequence[int] = (256, 256),
        learning_rate: float = 3e-4,
    ) -> None:
        super().__init__()
        check_settings(locals())
        self.save_hyperparameters(
            {
                "observation_dim": observation_dim,
                "action_dim": action_dim,
                "hidden_dims": list(hidden_dims),
                "learning_rate": learning_rate,
            }
        )
        self.observation_dim = observation_dim
        self.action_dim = action_dim
        self.learning_rate = learning_rate
        self.normalizer = Normalizer(observation_dim, action_dim)
        self.actor = MLP(observation_dim, action_dim, hidden_dims)

    def forward(self, observations: Tensor) -> Tensor:
        """Normalized observations (B, O) -> actions (B, A) scaled to [-1, 1]."""
        return torch.tanh(self.actor(observations))

    def _select_actions(self, observations: Tensor) -> Tensor:
        return self.normalizer.unscale(self(self.normalizer.normalize(observations)))

    def _policy_device(self) -> torch.device:
        return self.device

    def imitation_loss(self, batch: TransitionBatch) -> Tensor:
        """Squared distance to the data's actions, both scaled to [-1, 1]; summed over A, mean over the batch."""
        actions = self.normalizer.scale(batch.actions)
        return imitation_loss(self(self.normalizer.normalize(batch.observations)), actions)

    def setup(self, stage: str) -> None:
        """Take the normalization from the training data."""
        if stage == "fit":
            self.normalizer.fit(offline_data(self.trainer).statistics)

    def training_step(self, batch: TransitionBatch, batch_idx: int) -> dict[str, Tensor]:
        """One update of the actor."""
        loss = self.imitation_loss(batch)
        if (batch_idx + 1) % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self.log("bc/loss", loss.detach(), prog_bar=True)
        return {"loss": loss}

    def validation_step(self, batch: TransitionBatch | Tensor, batch_idx: int) -> None:  # noqa: ARG002
        """Loss on the held-out episodes: a base that has memorised the data shows here."""
        if isinstance(batch, TransitionBatch):
            self.log(
                "bc/validation_loss", self.imitation_loss(batch), prog_bar=True, batch_size=len(batch.observations)
            )

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam over the actor."""
        return torch.optim.Adam(self.actor.parameters(), lr=self.learning_rate, fused=True)
