"""What actions are worth: an ensemble of critics and a value network, on the scale of the data's returns."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spar_lightning import functional as SF
from spar_lightning.algorithms.algorithm import Batch, Metrics, frozen_copy
from spar_lightning.networks import EnsembleCritic, ValueNetwork


class Critics(nn.Module):
    """Estimates of standardized returns, `(return - return_mean) / return_std`.

    Args:
        observation_dim: size of an observation.
        action_dim: size of an action.
        hidden_dims: widths of the hidden layers.
        num_critics: Q-networks that value candidates; `average_critic` is their running average.
        num_check_critics: Q-networks beside them that never guide the policy.
        bootstraps: keep a `target_critic`.
    """

    return_mean: Tensor
    return_std: Tensor

    def __init__(
        self,
        observation_dim: int,
        action_dim: int,
        hidden_dims: Sequence[int],
        num_critics: int,
        num_check_critics: int,
        bootstraps: bool,
    ) -> None:
        super().__init__()
        dims = (observation_dim, action_dim)
        self.critic = EnsembleCritic(*dims, hidden_dims, num_critics)
        self.check_critic = EnsembleCritic(*dims, hidden_dims, num_check_critics) if num_check_critics else None
        self.value = ValueNetwork(observation_dim, hidden_dims)
        self.average_critic = frozen_copy(self.critic)
        self.target_critic = frozen_copy(self.critic) if bootstraps else None
        self.register_buffer("return_mean", torch.zeros(()))
        self.register_buffer("return_std", torch.ones(()))

    @property
    def trained(self) -> list[nn.Module]:
        """The networks that are regressed."""
        return [self.critic, self.value, *([] if self.check_critic is None else [self.check_critic])]

    def decays(self, of_critics: float) -> list[float]:
        """Of the weights of each of them: V, which compares no actions, has none."""
        return [0.0 if network is self.value else of_critics for network in self.trained]

    def loss(self, batch: Batch, target_q: Tensor, value_target: Tensor, expectile: float) -> tuple[Tensor, Metrics]:
        """Regression of every Q(s, a) and of V(s) on standardized targets (B,)."""
        q_values = self.critic(batch.observations, batch.actions)
        critic_loss = SF.critic_loss(q_values, target_q)
        value_loss = SF.expectile_loss(self.value(batch.observations), value_target, expectile)
        metrics = {
            "critic/loss": critic_loss.detach(),
            "value/loss": value_loss.detach(),
            "critic/q_data": q_values.detach(),
            "critic/target_q": target_q,
        }
        if self.check_critic is not None:
            critic_loss = critic_loss + SF.critic_loss(self.check_critic(batch.observations, batch.actions), target_q)
        return critic_loss + value_loss, metrics

    @torch.no_grad()
    def set_scale(self, returns: Tensor) -> None:
        """Take mean and deviation of returns (N,)."""
        self.return_mean.copy_(returns.double().mean())
        self.return_std.copy_(returns.double().std(correction=0).clamp(min=SF.SCALE_EPSILON))

    def standardized(self, returns: Tensor) -> Tensor:
        """Returns in the reward's scale (N,) -> standardized."""
        return (returns - self.return_mean) / self.return_std

    def unstandardized(self, values: Tensor) -> Tensor:
        """The way back."""
        return values * self.return_std + self.return_mean
