"""Where residuals of the data live: a latent space with a decoder, fitted to them and then frozen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spar_lightning.networks.mlp import MLP

LOG_STD_RANGE = (-5.0, 2.0)
"""Bounds of the encoder's log standard deviation: keeps the KL term finite early in training."""


class VariationalManifold(nn.Module):
    """Conditional variational auto-encoder of standardized residuals, with prior N(0, I) over the latents.

    Args:
        observation_dim: O.
        action_dim: A.
        latent_dim: L.
        hidden_dims: widths of the hidden layers of encoder and decoder.
    """

    def __init__(self, observation_dim: int, action_dim: int, latent_dim: int, hidden_dims: Sequence[int]) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.encoder = MLP(observation_dim + 2 * action_dim, 2 * latent_dim, hidden_dims)
        self.decoder = MLP(observation_dim + action_dim + latent_dim, action_dim, hidden_dims)

    def encode(self, observations: Tensor, base_actions: Tensor, residuals: Tensor) -> tuple[Tensor, Tensor]:
        """(B, O), (B, A), standardized residuals (B, A) -> mean and log standard deviation, (B, L) each."""
        mean, log_std = self.encoder(observations, base_actions, residuals).chunk(2, dim=-1)
        return mean, log_std.clamp(*LOG_STD_RANGE)

    def decode(self, observations: Tensor, base_actions: Tensor, latents: Tensor) -> Tensor:
        """(B, O), (B, A), (B, L) -> standardized residuals (B, A) float32."""
        residuals: Tensor = self.decoder(observations, base_actions, latents)
        return residuals


class GaussianManifold(nn.Module):
    """The ablation without a decoder: the latent is the standardized residual, one number an action dimension."""

    def __init__(self, action_dim: int) -> None:
        super().__init__()
        self.latent_dim = action_dim

    def decode(self, observations: Tensor, base_actions: Tensor, latents: Tensor) -> Tensor:  # noqa: ARG002
        """Return the latents (B, A) as they are."""
        return latents.to(torch.float32)
