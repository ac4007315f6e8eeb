"""TD3+BC: an actor-critic whose actor is held by a cloning term."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from spar_lightning import functional as SF
from spar_lightning.algorithms.algorithm import Algorithm, Batch, Learner, Metrics, Optimized, frozen_copy
from spar_lightning.algorithms.settings import check_settings
from spar_lightning.networks import MLP, EnsembleCritic


class TD3BC(Algorithm):
    r"""TD3 with behaviour cloning: the actor climbs the critic's gradient, and stays near the data's actions.

    .. math::
        \min_{Q_i} E \, (Q_i(s, a) - y)^2, \qquad
        y = r + \gamma (1 - d) \min_i Q'_i(s', \mathrm{clip}(\pi'(s') + \mathrm{clip}(\epsilon, -c, c), -1, 1))

    .. math::
        \max_\pi E \, [\lambda Q_1(s, \pi(s)) - |\pi(s) - a|^2 / A], \qquad \lambda = \alpha / \overline{|Q_1|}

    with noise :math:`\epsilon` of standard deviation `target_noise`, and slow copies :math:`Q'` and :math:`\pi'` that
    move when the actor does. One update is one critic step.

    Source: Fujimoto & Gu, "A Minimalist Approach to Offline Reinforcement Learning", 2021, and the authors' code.

    Args:
        observation_dim: size of an observation.
        action_dim: size of an action.
        hidden_dims: widths of the hidden layers of every network.
        discount: per step.
        target_tau: rate of the target networks, per actor update.
        target_noise: standard deviation of the noise on the target's action, in actions scaled to [-1, 1].
        target_noise_bound: largest size of that noise.
        actor_every: critic updates per actor update.
        alpha: weight of the value against the cloning term, free of the reward's scale; 0 only clones.
        learning_rate: of Adam for both critics.
        actor_learning_rate: of Adam for the actor.
    """

    shown = ("critic/loss", "actor/loss")

    def __init__(
        self,
        observation_dim: int,
        action_dim: int,
        hidden_dims: Sequence[int] = (256, 256),
        discount: float = 0.99,
        target_tau: float = 0.005,
        target_noise: float = 0.2,
        target_noise_bound: float = 0.5,
        actor_every: int = 2,
        alpha: float = 2.5,
        learning_rate: float = 3e-4,
        actor_learning_rate: float = 3e-4,
    ) -> None:
        super().__init__(observation_dim, action_dim)
        check_settings(locals())
        self.discount, self.alpha = discount, alpha
        self.target_tau, self.target_noise, self.target_noise_bound = target_tau, target_noise, target_noise_bound
        self.actor_every = actor_every
        self.learning_rate, self.actor_learning_rate = learning_rate, actor_learning_rate
        self.actor = MLP(observation_dim, action_dim, hidden_dims)
        self.critic = EnsembleCritic(observation_dim, action_dim, hidden_dims, num_critics=2, layer_norm=False)
        self.target_actor = frozen_copy(self.actor)
        self.target_critic = frozen_copy(self.critic)

    def forward(self, observations: Tensor) -> Tensor:
        """Normalized observations (B, O) -> actions (B, A) scaled to [-1, 1]."""
        return torch.tanh(self.actor(observations))

    def critic_loss(self, batch: Batch, noise: Tensor) -> tuple[Tensor, Metrics]:
        """Squared error of both critics to the target; noise (B, A)."""
        with torch.no_grad():
            next_actions = torch.tanh(self.target_actor(batch.next_observations))
            next_actions = SF.smoothed_actions(next_actions, self.target_noise * noise, self.target_noise_bound)
            next_values = SF.conservative(self.target_critic(batch.next_observations, next_actions))
            target_q = SF.td_target(batch.rewards, batch.terminations, next_values, self.discount)
        q_values = self.critic(batch.observations, batch.actions)
        loss = SF.critic_loss(q_values, target_q)
        return loss, {"critic/loss": loss.detach(), "critic/q_data": q_values.detach(), "critic/target_q": target_q}

    def actor_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """Value of the policy's actions, on the scale that `alpha` gives it, against their distance to the data's."""
        policy_actions = self(batch.observations)
        (q_values,) = self.critic(batch.observations, policy_actions, members=1)
        loss = SF.value_and_cloning_loss(q_values, policy_actions, batch.actions, self.alpha)
        return loss, {"actor/loss": loss.detach(), "critic/q_policy": q_values.detach()}

    def phase(self, update: int) -> bool:
        """Whether the actor moves too."""
        return (update + 1) % self.actor_every == 0

    def update(self, batch: Batch, phase: bool, learner: Learner) -> Metrics:
        """One step of the critics, and every `actor_every` one of the actor and of the target networks."""
        metrics = learner.descend("critic", self.critic_loss, batch, learner.normal(batch.size, self.action_dim))
        if phase:
            metrics |= learner.descend("actor", self.actor_loss, batch)
            learner.follow(self.target_critic, self.critic, self.target_tau)
            learner.follow(self.target_actor, self.actor, self.target_tau)
        return metrics

    def optimizers(self, max_updates: int) -> dict[str, Optimized]:  # noqa: ARG002
        """Two, at constant rates."""
        return {
            "critic": Optimized([self.critic], self.learning_rate),
            "actor": Optimized([self.actor], self.actor_learning_rate),
        }

    def validation(self, batch: Batch) -> Metrics:
        """Squared distance to the actions of held-out episodes, scaled, summed over A."""
        return {"actor/validation_distance": SF.imitation_loss(self(batch.observations), batch.actions)}
