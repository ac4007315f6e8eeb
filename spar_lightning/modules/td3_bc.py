"""TD3+BC, a baseline in one stage: an actor-critic whose actor is held by a cloning term."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import cast

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from spar_lightning import functional as SF
from spar_lightning.data import offline_data
from spar_lightning.modules.averages import MovingAverage, frozen_copy
from spar_lightning.modules.base import check_dimensions
from spar_lightning.modules.manual import ManualUpdates, Metrics, Trained
from spar_lightning.modules.policy import ActsOnArrays
from spar_lightning.modules.settings import check_settings
from spar_lightning.networks import MLP, EnsembleCritic, Normalizer
from spar_lightning.networks.critic import EnsembleLinear
from spar_lightning.networks.mlp import weigh
from spar_lightning.types import TransitionBatch


class TD3BCModule(ActsOnArrays, ManualUpdates):
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
        gradient_clip_norm: largest gradient norm of each optimizer's step; None does not clip.
        compile: compile the losses with their gradients, which takes a minute and a C++ compiler: pays for long runs.
    """

    _shown = ("critic/loss", "actor/loss")
    _pure_losses = MappingProxyType({"_td_loss": "critic", "actor_loss": "actor"})

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
        gradient_clip_norm: float | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__(gradient_clip_norm, compile)
        check_settings(locals())
        hidden_dims = list(hidden_dims)
        self.save_hyperparameters()
        self.observation_dim, self.action_dim = observation_dim, action_dim
        self.normalizer = Normalizer(observation_dim, action_dim)
        self.actor = MLP(observation_dim, action_dim, hidden_dims)
        self.critic = EnsembleCritic(observation_dim, action_dim, hidden_dims, num_critics=2, layer_norm=False)
        self.target_actor = frozen_copy(self.actor)
        self.target_critic = frozen_copy(self.critic)

    def forward(self, observations: Tensor) -> Tensor:
        """Normalized observations (B, O) -> actions (B, A) scaled to [-1, 1]."""
        return torch.tanh(self.actor(observations))

    def _select_actions(self, observations: Tensor) -> Tensor:
        return self.normalizer.unscale(self(self.normalizer.normalize(observations)))

    def _policy_device(self) -> torch.device:
        return self.device

    # ------------------------------------------------------------------------------------------------- the losses

    def critic_loss(self, batch: TransitionBatch) -> tuple[Tensor, Metrics]:
        """Squared error of both critics to the target; the batch is in the networks' units."""
        return self._td_loss(batch, torch.randn_like(batch.actions))

    def _td_loss(self, batch: TransitionBatch, noise: Tensor) -> tuple[Tensor, Metrics]:
        target_q = self._target_q(batch, noise)
        q_values = self.critic(batch.observations, batch.actions)
        loss = SF.critic_loss(q_values, target_q)
        return loss, {"critic/loss": loss.detach(), "critic/q_data": q_values.detach(), "critic/target_q": target_q}

    @torch.no_grad()
    def _target_q(self, batch: TransitionBatch, noise: Tensor) -> Tensor:
        next_actions = torch.tanh(self.target_actor(batch.next_observations))
        noise = self.hparams["target_noise"] * noise
        next_actions = SF.smoothed_actions(next_actions, noise, self.hparams["target_noise_bound"])
        next_values = SF.conservative(self.target_critic(batch.next_observations, next_actions))
        return SF.td_target(batch.rewards, batch.terminations, next_values, self.hparams["discount"])

    def actor_loss(self, batch: TransitionBatch) -> tuple[Tensor, Metrics]:
        """Value of the policy's actions, on the scale that `alpha` gives it, against their distance to the data's.

        The batch is in the networks' units.
        """
        policy_actions = self(batch.observations)
        q_values = self._first_critic(batch.observations, policy_actions)
        loss = SF.value_and_cloning_loss(q_values, policy_actions, batch.actions, self.hparams["alpha"])
        return loss, {"actor/loss": loss.detach(), "critic/q_policy": q_values.detach()}

    def _first_critic(self, observations: Tensor, actions: Tensor) -> Tensor:
        """`Q_1` of normalized observations and scaled actions, (B,) float32, with its weights as constants.

        The actor's step needs neither the other critic nor any gradient of a critic's weights.
        """
        features = torch.cat([observations, actions], dim=-1)
        for layer in cast(Iterable[EnsembleLinear], self.critic.hidden):
            features = torch.relu_(torch.addmm(layer.bias[0].detach(), features, layer.weight[0].detach()))
        head = self.critic.head
        return weigh(features, head.weight[0, :, 0].detach()) + head.bias[0, :, 0].detach()

    # ------------------------------------------------------------------------------------------------ the training

    def setup(self, stage: str) -> None:
        """Refuse data of another shape; take the normalization from the training data."""
        datamodule = offline_data(self.trainer)
        check_dimensions(self, datamodule)
        if stage == "fit":
            self.normalizer.fit(datamodule.statistics)

    def on_fit_start(self) -> None:
        """Pair the target networks with what they follow, now that all are on their device."""
        super().on_fit_start()
        tau = self.hparams["target_tau"]
        self._targets = [
            MovingAverage(self.target_critic, self.critic, tau),
            MovingAverage(self.target_actor, self.actor, tau),
        ]

    def _update(self, batch: TransitionBatch) -> None:
        """One critic update, and every `actor_every` one of the actor and of the target networks."""
        batch = self._in_network_units(batch)
        loss, metrics = self.critic_loss(batch)
        self._latest |= metrics
        self._step("critic", loss)
        if (self._updates + 1) % self.hparams["actor_every"] == 0:
            loss, metrics = self.actor_loss(batch)
            self._latest |= metrics
            self._step("actor", loss)
            for target in self._targets:
                target.update()

    def _in_network_units(self, batch: TransitionBatch) -> TransitionBatch:
        """The batch with observations normalized and actions scaled to [-1, 1], once for both losses."""
        return batch._replace(
            observations=self.normalizer.normalize(batch.observations),
            actions=self.normalizer.scale(batch.actions),
            next_observations=self.normalizer.normalize(batch.next_observations),
        )

    def _metrics(self, batch: TransitionBatch) -> Metrics:
        """Means of what the last updates left behind, values in the reward's own scale."""
        return {name: value.float().mean() for name, value in self._latest.items()}

    def validation_step(self, batch: TransitionBatch | Tensor, batch_idx: int) -> None:
        """Squared distance to the actions of held-out episodes, scaled, summed over A."""
        if isinstance(batch, TransitionBatch):
            actions = self(self.normalizer.normalize(batch.observations))
            distance = SF.imitation_loss(actions, self.normalizer.scale(batch.actions))
            self.log("actor/validation_distance", distance, batch_size=len(batch.observations))

    def test_step(self, batch: Tensor, batch_idx: int) -> None:
        """Nothing to do: rollouts are the test."""

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One optimizer for both critics and one for the actor, at constant learning rates."""
        return self._adam(
            {
                "critic": Trained([self.critic], self.hparams["learning_rate"]),
                "actor": Trained([self.actor], self.hparams["actor_learning_rate"]),
            }
        )
