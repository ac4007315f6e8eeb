"""Behaviour cloning: the base that SPAR leaves as it is, and a method by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from spar_lightning import functional as SF
from spar_lightning.algorithms.algorithm import Algorithm, Batch, Learner, Metrics, Optimized, remaining
from spar_lightning.algorithms.settings import check_settings
from spar_lightning.networks import GaussianActor


class BC(Algorithm):
    r"""Behaviour cloning: the mean of a Gaussian whose deviation depends on the state.

    .. math:: \min E \left[\frac{|base(s) - a|^2}{2 \sigma(s)^2} + \log \sigma(s)\right]

    per action dimension, as `functional.gaussian_loss` weights it. The policy acts by the mean. Where noisy and steady
    policies were recorded together, a squared error is spent on the noise; here a deviation counts by how unusual it is
    at its state. SPAR measures residuals in units of the deviation.

    Kept pure: no values of actions (SPAR, arXiv 2605.27877: the base is a pure BC policy, trained first, then frozen).
    It owns the normalization statistics and action bounds, which SPAR takes from it.

    Args:
        observation_dim: size of an observation.
        action_dim: size of an action.
        hidden_dims: widths of the hidden layers.
        learning_rate: of Adam.
        decay: let the learning rate fall linearly to 0 over the training.
        deviation: `state` learns the data's deviation at each state; `constant` is a plain squared error.
    """

    shown = ("bc/loss",)

    def __init__(
        self,
        observation_dim: int,
        action_dim: int,
        hidden_dims: Sequence[int] = (256, 256),
        learning_rate: float = 3e-4,
        decay: bool = True,
        deviation: Literal["state", "constant"] = "state",
    ) -> None:
        super().__init__(observation_dim, action_dim)
        check_settings(locals(), BC.__init__)
        self.learning_rate, self.decay = learning_rate, decay
        self.actor = GaussianActor(observation_dim, action_dim, hidden_dims, learned_deviation=deviation == "state")

    def forward(self, observations: Tensor) -> Tensor:
        """Normalized observations (B, O) -> actions (B, A) scaled to [-1, 1]."""
        return self.distribution(observations)[0]

    def distribution(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Normalized observations (B, O) -> mean and deviation of the data's actions, (B, A) each, scaled."""
        mean, deviation = self.actor(observations)
        return mean, deviation

    def imitation_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """The loss; `bc/error` is the squared distance to the data's actions, summed over A."""
        mean, deviation = self.distribution(batch.observations)
        loss = SF.gaussian_loss(mean, deviation, batch.actions)
        return loss, {"bc/loss": loss.detach(), "bc/error": SF.imitation_loss(mean.detach(), batch.actions)}

    def update(self, batch: Batch, phase: None, learner: Learner) -> Metrics:  # noqa: ARG002
        """One step of the actor."""
        return learner.descend("actor", self.imitation_loss, batch)

    def optimizers(self, max_updates: int) -> dict[str, Optimized]:
        """One, of the actor."""

        def factor(update: int) -> float:
            return remaining(update, 0, max_updates) if self.decay else 1.0

        return {"actor": Optimized([self.actor], self.learning_rate, factor)}

    def validation(self, batch: Batch) -> Metrics:
        """Loss on held-out episodes: a base that has memorised the data shows here."""
        _, metrics = self.imitation_loss(batch)
        return {"bc/validation_loss": metrics["bc/loss"], "bc/validation_error": metrics["bc/error"]}
