"""ReBRAC: TD3+BC with a cloning term in the critic too, and a deeper critic with normalized features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from spar_lightning import functional as SF
from spar_lightning.algorithms.algorithm import (
    Algorithm,
    Batch,
    Columns,
    Learner,
    Metrics,
    Optimized,
    TrainingData,
    frozen_copy,
)
from spar_lightning.algorithms.settings import check_settings
from spar_lightning.networks import MLP, EnsembleCritic

PIECE = 65_536  # transitions looked at together


class ReBRAC(Algorithm):
    r"""Behaviour-regularized actor-critic with one penalty for the actor and another for the critic.

    .. math::
        y = r + \gamma (1 - d) (\min_i Q'_i(s', a'_\pi) - \beta_Q |a'_\pi - a'|^2), \qquad
        \min_\pi E \, [\beta_\pi |\pi(s) - a|^2 - \lambda \min_i Q_i(s, \pi(s))], \quad \lambda = 1 / \overline{|Q|}

    with :math:`a'_\pi` the target actor's next action under clipped noise, and :math:`a'` the data's own next action,
    a column that is derived from the data; where an episode was cut off there is none, and no penalty. The authors
    train with batches of 1024 and choose both weights for each data set, from 0.001 to 0.1 and up to 0.5.

    Source: Tarasov et al., "Revisiting the Minimalist Approach to Offline Reinforcement Learning", 2023, and the
    authors' code; here features are normalized before the activation, and weights start as torch starts them.

    Args:
        observation_dim: size of an observation.
        action_dim: size of an action.
        hidden_dims: widths of the hidden layers of every network.
        discount: per step.
        actor_penalty: weight of the actor's cloning term.
        critic_penalty: weight of the critic's.
        target_tau: rate of the target networks, per actor update.
        target_noise: standard deviation of the noise on the target's action, in actions scaled to [-1, 1].
        target_noise_bound: largest size of that noise.
        actor_every: critic updates per actor update.
        learning_rate: of Adam for both critics.
        actor_learning_rate: of Adam for the actor.
    """

    shown = ("critic/loss", "actor/loss")

    def __init__(
        self,
        observation_dim: int,
        action_dim: int,
        hidden_dims: Sequence[int] = (256, 256, 256),
        discount: float = 0.99,
        actor_penalty: float = 0.05,
        critic_penalty: float = 0.01,
        target_tau: float = 0.005,
        target_noise: float = 0.2,
        target_noise_bound: float = 0.5,
        actor_every: int = 2,
        learning_rate: float = 1e-3,
        actor_learning_rate: float = 1e-3,
    ) -> None:
        super().__init__(observation_dim, action_dim)
        check_settings(locals())
        self.discount, self.actor_penalty, self.critic_penalty = discount, actor_penalty, critic_penalty
        self.target_tau, self.target_noise, self.target_noise_bound = target_tau, target_noise, target_noise_bound
        self.actor_every = actor_every
        self.learning_rate, self.actor_learning_rate = learning_rate, actor_learning_rate
        self.actor = MLP(observation_dim, action_dim, hidden_dims)
        self.critic = EnsembleCritic(observation_dim, action_dim, hidden_dims, num_critics=2)
        self.target_actor = frozen_copy(self.actor)
        self.target_critic = frozen_copy(self.critic)

    def forward(self, observations: Tensor) -> Tensor:
        """Normalized observations (B, O) -> actions (B, A) scaled to [-1, 1]."""
        return torch.tanh(self.actor(observations))

    def prepare(self, data: TrainingData, updates: int, max_updates: int) -> Iterator[Columns]:  # noqa: ARG002
        """The data's next actions, and where there is one."""
        ends, last = data.episode_ends, None
        start = 0
        for piece in data.pieces(PIECE):
            count = len(piece.actions)
            following = piece.actions.roll(-1, dims=0)
            goes_on = (~ends[start : start + count]).to(following)
            if last is not None:  # the piece before waits for its last next action
                last["next_actions"][-1] = piece.actions[0]
                yield last
            last = {"next_actions": following, "has_next_action": goes_on}
            start += count
        assert last is not None  # its last row ends an episode
        yield last

    def critic_loss(self, batch: Batch, noise: Tensor) -> tuple[Tensor, Metrics]:
        """Squared error of both critics to the target; noise (B, A)."""
        with torch.no_grad():
            next_actions = torch.tanh(self.target_actor(batch.next_observations))
            next_actions = SF.smoothed_actions(next_actions, self.target_noise * noise, self.target_noise_bound)
            penalty = (next_actions - batch.columns["next_actions"]).square().sum(dim=-1)
            next_values = SF.conservative(self.target_critic(batch.next_observations, next_actions))
            next_values = next_values - self.critic_penalty * penalty * batch.columns["has_next_action"]
            target_q = SF.td_target(batch.rewards, batch.terminations, next_values, self.discount)
        q_values = self.critic(batch.observations, batch.actions)
        loss = SF.critic_loss(q_values, target_q)
        return loss, {"critic/loss": loss.detach(), "critic/q_data": q_values.detach(), "critic/target_q": target_q}

    def actor_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """Distance of the policy's actions to the data's, against their value on a scale of 1."""
        policy_actions = self(batch.observations)
        q_values = SF.conservative(self.critic(batch.observations, policy_actions)).float()
        distance = SF.imitation_loss(policy_actions, batch.actions)
        loss = self.actor_penalty * distance - q_values.mean() / (q_values.detach().abs().mean() + SF.SCALE_EPSILON)
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
