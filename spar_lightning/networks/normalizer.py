"""Units: between the data's own and those that the networks see."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spar_lightning.types import DatasetStatistics


class Normalizer(nn.Module):
    """Observation statistics and action bounds of the training data, as buffers, so that they travel in checkpoints.

    Args:
        observation_dim: O.
        action_dim: A.
    """

    observation_mean: Tensor
    observation_std: Tensor
    action_low: Tensor
    action_high: Tensor
    is_fitted: Tensor

    def __init__(self, observation_dim: int, action_dim: int) -> None:
        super().__init__()
        self.register_buffer("observation_mean", torch.zeros(observation_dim))
        self.register_buffer("observation_std", torch.ones(observation_dim))
        self.register_buffer("action_low", -torch.ones(action_dim))
        self.register_buffer("action_high", torch.ones(action_dim))
        self.register_buffer("is_fitted", torch.tensor(False))

    @torch.no_grad()
    def fit(self, statistics: DatasetStatistics) -> None:
        """Take over the statistics of the training data."""
        for name, value in vars(statistics).items():
            getattr(self, name).copy_(value)
        self.is_fitted.fill_(True)

    def matches(self, statistics: DatasetStatistics) -> bool:
        """Whether these are the statistics of that data, up to rounding."""
        return all(
            torch.allclose(getattr(self, name).cpu().float(), value.cpu().float(), rtol=1e-3, atol=1e-4)
            for name, value in vars(statistics).items()
        )

    def normalize(self, observations: Tensor) -> Tensor:
        """Raw observations (..., O) -> zero mean and unit variance over the training data."""
        return (observations - self.observation_mean) / self.observation_std

    def scale(self, actions: Tensor) -> Tensor:
        """Actions (..., A) in the environment's units -> [-1, 1], clipped to the bounds."""
        unit = (actions - self.action_low) / (self.action_high - self.action_low)
        return (2.0 * unit - 1.0).clamp(-1.0, 1.0)

    def unscale(self, actions: Tensor) -> Tensor:
        """Actions (..., A) in [-1, 1] -> the environment's units."""
        return self.action_low + 0.5 * (actions + 1.0) * (self.action_high - self.action_low)
