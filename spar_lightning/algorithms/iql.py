"""Implicit Q-learning: values by an expectile over the data's actions, and a policy by weighted cloning."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spar_lightning import functional as SF
from spar_lightning.algorithms.algorithm import Algorithm, Batch, Learner, Metrics, Optimized, frozen_copy
from spar_lightning.algorithms.settings import check_settings
from spar_lightning.networks import MLP, EnsembleCritic, ValueNetwork

LOG_STD_RANGE = (-5.0, 2.0)
"""Bounds of the policy's log standard deviation, as the authors' code has them."""


class IQL(Algorithm):
    r"""Implicit Q-learning: no action that is not in the data is ever valued.

    .. math::
        \min_V E \, L_2^\tau(\min_i Q'_i(s, a) - V(s)), \qquad
        \min_{Q_i} E \, (Q_i(s, a) - r - \gamma (1 - d) V(s'))^2

    .. math::
        \max_\pi E \, [\min(e^{\beta A}, 100) \log \pi(a | s)], \qquad A = \min_i Q'_i(s, a) - V(s)

    with a Gaussian policy whose deviation does not depend on the state, and slow copies :math:`Q'`. The policy acts by
    its mean. Values are those before the update in all three losses. The authors scale rewards by
    `data.reward_scale: return_range`, and let the actor's learning rate fall by a cosine over the training.

    Source: Kostrikov, Nair & Levine, "Offline Reinforcement Learning with Implicit Q-Learning", 2021.

    Args:
        observation_dim: size of an observation.
        action_dim: size of an action.
        hidden_dims: widths of the hidden layers of every network.
        discount: per step.
        expectile: tau of the value network's regression, in (0, 1).
        beta: how sharply advantages weigh; 0 only clones.
        largest_weight: that an advantage may give.
        target_tau: rate of the target critics.
        learning_rate: of Adam for critics and value network.
        actor_learning_rate: of Adam for the actor.
        actor_decay: let it fall to 0 by a cosine.
    """

    shown = ("critic/loss", "actor/loss")

    def __init__(
        self,
        observation_dim: int,
        action_dim: int,
        hidden_dims: Sequence[int] = (256, 256),
        discount: float = 0.99,
        expectile: float = 0.7,
        beta: float = 3.0,
        largest_weight: float = 100.0,
        target_tau: float = 0.005,
        learning_rate: float = 3e-4,
        actor_learning_rate: float = 3e-4,
        actor_decay: bool = True,
    ) -> None:
        super().__init__(observation_dim, action_dim)
        check_settings(locals())
        self.discount, self.expectile = discount, expectile
        self.beta, self.largest_weight, self.target_tau = beta, largest_weight, target_tau
        self.learning_rate, self.actor_learning_rate, self.actor_decay = learning_rate, actor_learning_rate, actor_decay
        self.actor = MLP(observation_dim, action_dim, hidden_dims)
        self.log_std = nn.ParameterList([torch.zeros(action_dim)])
        self.value = ValueNetwork(observation_dim, hidden_dims)
        self.critic = EnsembleCritic(observation_dim, action_dim, hidden_dims, num_critics=2, layer_norm=False)
        self.target_critic = frozen_copy(self.critic)

    def forward(self, observations: Tensor) -> Tensor:
        """Normalized observations (B, O) -> actions (B, A) scaled to [-1, 1]."""
        return torch.tanh(self.actor(observations))

    def targets(self, batch: Batch) -> Tensor:
        """Of the value network, of the critics, and the advantages of the data's actions, by the same V: (3, B)."""
        with torch.no_grad():
            q_values = SF.conservative(self.target_critic(batch.observations, batch.actions))
            advantages = q_values - self.value(batch.observations)
            next_values = self.value(batch.next_observations)
            target_q = SF.td_target(batch.rewards, batch.terminations, next_values, self.discount)
        return torch.stack([q_values, target_q, advantages])

    def critic_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """Squared error of both critics, expectile error of the value network; its metrics hold the advantages."""
        value_target, target_q, advantages = self.targets(batch)
        q_values = self.critic(batch.observations, batch.actions)
        critic_loss = SF.critic_loss(q_values, target_q)
        value_loss = SF.expectile_loss(self.value(batch.observations), value_target, self.expectile)
        metrics = {
            "critic/loss": critic_loss.detach(),
            "value/loss": value_loss.detach(),
            "critic/q_data": q_values.detach(),
            "critic/target_q": target_q,
            "actor/advantages": advantages,
        }
        return critic_loss + value_loss, metrics

    def actor_loss(self, batch: Batch, advantages: Tensor) -> tuple[Tensor, Metrics]:
        """Likelihood of the data's actions, weighted by their advantages (B,)."""
        weights = SF.advantage_weights(advantages, self.beta, self.largest_weight)
        deviation = self.log_std[0].clamp(*LOG_STD_RANGE).exp()
        mean = self(batch.observations)
        loss = SF.gaussian_loss(mean, deviation.expand_as(mean), batch.actions, beta=0.0, weights=weights)
        return loss, {"actor/loss": loss.detach(), "actor/weights": weights}

    def update(self, batch: Batch, phase: None, learner: Learner) -> Metrics:  # noqa: ARG002
        """One step of critics and value network, and one of the actor."""
        metrics = learner.descend("critic", self.critic_loss, batch)
        metrics |= learner.descend("actor", self.actor_loss, batch, metrics["actor/advantages"])
        learner.follow(self.target_critic, self.critic, self.target_tau)
        return metrics

    def optimizers(self, max_updates: int) -> dict[str, Optimized]:
        """Two: of critics with value network, and of the actor."""

        def factor(update: int) -> float:
            ends = self.actor_decay and max_updates > 0
            return 0.5 * (1.0 + math.cos(math.pi * min(1.0, update / max_updates))) if ends else 1.0

        return {
            "critic": Optimized([self.critic, self.value], self.learning_rate),
            "actor": Optimized([self.actor, self.log_std], self.actor_learning_rate, factor),
        }

    def validation(self, batch: Batch) -> Metrics:
        """Squared distance to the actions of held-out episodes, scaled, summed over A."""
        return {"actor/validation_distance": SF.imitation_loss(self(batch.observations), batch.actions)}
