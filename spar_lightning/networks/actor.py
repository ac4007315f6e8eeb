"""The latent actor, the only part of the policy that improvement moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from spar_lightning.networks.mlp import MLP


class LatentActor(nn.Module):
    """`mu(s, a_b) = bound * tanh(MLP(s, a_b) / bound)`, near zero at first: the policy starts at the fitted one.

    Args:
        observation_dim: O.
        action_dim: A.
        latent_dim: L.
        hidden_dims: widths of the hidden layers.
        bound: half-width of the latent box.
    """

    def __init__(
        self, observation_dim: int, action_dim: int, latent_dim: int, hidden_dims: Sequence[int], bound: float
    ) -> None:
        super().__init__()
        self.bound = bound
        self.mlp = MLP(observation_dim + action_dim, latent_dim, hidden_dims)
        self._start_near_zero()

    def initialize(self) -> None:
        """Draw all weights anew."""
        for layer in (*self.mlp.hidden, self.mlp.head):
            cast(nn.Linear, layer).reset_parameters()
        self._start_near_zero()

    @torch.no_grad()
    def _start_near_zero(self) -> None:
        self.mlp.head.weight.mul_(0.01)
        nn.init.zeros_(self.mlp.head.bias)

    def forward(self, observations: Tensor, base_actions: Tensor) -> Tensor:
        """Normalized observations (B, O) and scaled base actions (B, A) -> latents (B, L) in the open box."""
        return self.bound * torch.tanh(self.mlp(observations, base_actions) / self.bound)
