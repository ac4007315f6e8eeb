"""Stage 1: behaviour cloning, the base that stage 2 leaves as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from spar_lightning import functional as SF
from spar_lightning.data import offline_data
from spar_lightning.modules.policy import ActsOnArrays
from spar_lightning.modules.settings import check_settings
from spar_lightning.networks import GaussianActor, Normalizer
from spar_lightning.types import TransitionBatch


class BCModule(ActsOnArrays, pl.LightningModule):
    r"""Behaviour cloning: the mean of a Gaussian whose deviation depends on the state.

    .. math:: \min E \left[\frac{|base(s) - a|^2}{2 \sigma(s)^2} + \log \sigma(s)\right]

    per action dimension, as `functional.gaussian_loss` weights it. The policy acts by the mean. Where noisy and steady
    policies were recorded together, a squared error is spent on the noise; here a deviation counts by how unusual it is
    at its state. Stage 2 measures residuals in units of the deviation.

    Kept pure: no values of actions (SPAR, arXiv 2605.27877: the base is a pure BC policy, trained first, then frozen).
    It owns the normalization statistics and action bounds, which stage 2 takes from it.

    Args:
        observation_dim: size of an observation.
        action_dim: size of an action.
        hidden_dims: widths of the hidden layers.
        learning_rate: of Adam.
        decay: let the learning rate fall linearly to 0 over `max_steps`.
        deviation: `state` learns the data's deviation at each state; `constant` is a plain squared error.
    """

    def __init__(
        self,
        observation_dim: int,
        action_dim: int,
        hidden_dims: Sequence[int] = (256, 256),
        learning_rate: float = 3e-4,
        decay: bool = True,
        deviation: Literal["state", "constant"] = "state",
    ) -> None:
        super().__init__()
        check_settings(locals())
        self.save_hyperparameters(
            {
                "observation_dim": observation_dim,
                "action_dim": action_dim,
                "hidden_dims": list(hidden_dims),
                "learning_rate": learning_rate,
                "decay": decay,
                "deviation": deviation,
            }
        )
        self.observation_dim = observation_dim
        self.action_dim = action_dim
        self.learning_rate = learning_rate
        self.decay = decay
        self.normalizer = Normalizer(observation_dim, action_dim)
        learned = deviation == "state"
        self.actor = GaussianActor(observation_dim, action_dim, hidden_dims, learned_deviation=learned)

    def forward(self, observations: Tensor) -> Tensor:
        """Normalized observations (B, O) -> actions (B, A) scaled to [-1, 1]."""
        return self.distribution(observations)[0]

    def distribution(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Normalized observations (B, O) -> mean and deviation of the data's actions, (B, A) each, scaled."""
        mean, deviation = self.actor(observations)
        return mean, deviation

    def _select_actions(self, observations: Tensor) -> Tensor:
        return self.normalizer.unscale(self(self.normalizer.normalize(observations)))

    def _policy_device(self) -> torch.device:
        return self.device

    def imitation_loss(self, batch: TransitionBatch) -> tuple[Tensor, Tensor]:
        """The loss, and the squared distance to the data's actions, scaled: summed over A, mean over the batch."""
        actions = self.normalizer.scale(batch.actions)
        mean, deviation = self.distribution(self.normalizer.normalize(batch.observations))
        return SF.gaussian_loss(mean, deviation, actions), SF.imitation_loss(mean.detach(), actions)

    def setup(self, stage: str) -> None:
        """Take the normalization from the training data."""
        if stage == "fit":
            self.normalizer.fit(offline_data(self.trainer).statistics)

    def training_step(self, batch: TransitionBatch, batch_idx: int) -> dict[str, Tensor]:
        """One update of the actor."""
        loss, error = self.imitation_loss(batch)
        if (batch_idx + 1) % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self.log("bc/loss", loss.detach(), prog_bar=True)
            self.log("bc/error", error)
        return {"loss": loss}

    def validation_step(self, batch: TransitionBatch | Tensor, batch_idx: int) -> None:  # noqa: ARG002
        """Loss on the held-out episodes: a base that has memorised the data shows here."""
        if isinstance(batch, TransitionBatch):
            loss, error = self.imitation_loss(batch)
            self.log("bc/validation_loss", loss, prog_bar=True, batch_size=len(batch.observations))
            self.log("bc/validation_error", error, batch_size=len(batch.observations))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam over the actor, and a learning rate that falls linearly to 0 over the run, if it has an end."""
        optimizer = torch.optim.Adam(self.actor.parameters(), lr=self.learning_rate, fused=True)
        max_steps = self.trainer.max_steps
        if not self.decay or max_steps <= 0:
            return optimizer
        scheduler = LambdaLR(optimizer, lambda step: max(0.0, 1.0 - step / max_steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
