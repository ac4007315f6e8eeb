"""How the latent actor improves: by imitating its own candidates, or, to compare, along the critics' gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor

from spar_lightning import functional as SF
from spar_lightning.algorithms.algorithm import Batch, Learner, Metrics
from spar_lightning.algorithms.spar.critics import Critics
from spar_lightning.algorithms.spar.policy import ResidualPolicy, States


@dataclass(eq=False)
class SelfImitation:
    """Latent self-imitation: sample candidates around the policy, weight them by value, regress on them.

    No gradient of a critic is taken.

    Args:
        policy: whose actor learns.
        critics: whose average values the candidates.
        num_candidates: K a state, the policy's own latent among them.
        sigma: spread of the candidates around the policy, in prior standard deviations.
        kappa: how far value may pull against the prior.
        regression: on the `residual` of the weighted actions, or on the weighted `latent`.
    """

    policy: ResidualPolicy
    critics: Critics
    num_candidates: int
    sigma: float
    kappa: float
    regression: Literal["latent", "residual"]

    def noises(self, learner: Learner, count: int) -> tuple[Tensor, ...]:
        """What `loss` takes beside `count` states: (K - 1, B, L)."""
        return (learner.normal(self.num_candidates - 1, count, self.policy.manifold.latent_dim),)

    def loss(self, batch: Batch, noise: Tensor) -> tuple[Tensor, Metrics]:
        """Squared distance of the policy to the weighted candidates, in latents or in standardized residuals."""
        states = self.policy.states(batch)
        latents = self.policy.actor(*states.inputs)
        with torch.no_grad():
            candidates = SF.latent_candidates(latents, noise, self.sigma, self.policy.actor.bound)
            actions, values = self.evaluate(states, candidates)
            weights = SF.self_imitation_weights(values, candidates, self.sigma, self.kappa)
        if self.regression == "latent":
            loss = SF.imitation_loss(latents, SF.weighted_mean(weights, candidates))
        else:
            # Before clipping: an action beyond the bounds would have no gradient that leads it back.
            target = SF.weighted_mean(weights, actions)
            loss = SF.imitation_loss(self.policy.decode(states, latents) / states.scales, target / states.scales)
        metrics = {"actor/weights": weights, "actor/latents": latents.detach(), "actor/values": values}
        return loss, {"actor/lsi_loss": loss.detach(), **metrics}

    def evaluate(self, states: States, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """Candidate latents (K, B, L) -> actions before clipping (K, B, A), and each critic's values (C, K, B)."""
        count = len(candidates)
        repeated = states.repeated(count)
        actions = self.policy.decode(repeated, rearrange(candidates, "k b l -> (k b) l"))
        values = self.critics.average_critic(repeated.observations, actions.clamp(-1.0, 1.0))
        unflatten = {"k": count}
        return rearrange(actions, "(k b) a -> k b a", **unflatten), rearrange(values, "c (k b) -> c k b", **unflatten)


@dataclass(eq=False)
class ValueGradient:
    """The comparison: climb the critics' mean gradient through the decoder, held by the prior as self-imitation is.

    The scale is self-imitation's, the mean size of each critic's own gradient: so the policy moves here too as far as
    critics agree.

    Args:
        policy: whose actor learns.
        critics: whose average is climbed.
        kappa: how far value may pull against the prior.
    """

    policy: ResidualPolicy
    critics: Critics
    kappa: float

    def noises(self, learner: Learner, count: int) -> tuple[Tensor, ...]:  # noqa: ARG002
        """None."""
        return ()

    def loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """Squared distance of the policy's latents to where the gradient leads."""
        states = self.policy.states(batch)
        latents = self.policy.actor(*states.inputs)

        def total_values(latents: Tensor) -> Tensor:
            values: Tensor = self.critics.average_critic(states.observations, self.policy(states, latents))
            return values.sum(dim=-1)  # (C,)

        gradients: Tensor = torch.func.jacrev(total_values)(latents.detach())  # (C, B, L)
        slope = gradients.norm(dim=-1).mean() + SF.SCALE_EPSILON
        gradient = gradients.mean(dim=0)
        target = (self.kappa * gradient / slope).clamp(-self.policy.actor.bound, self.policy.actor.bound)
        loss = SF.imitation_loss(latents, target)
        return loss, {"actor/value_gradient_loss": loss.detach(), "actor/latents": latents.detach()}
