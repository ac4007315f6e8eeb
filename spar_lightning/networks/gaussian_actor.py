"""The base's network: what the data do at a state, and how much they vary there."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spar_lightning.networks.mlp import MLP

MIN_DEVIATION = 0.03
"""Floor of the deviation, in units of half the range of actions: what is steadier than that is steady enough."""


class GaussianActor(nn.Module):
    """Mean and standard deviation of the data's actions at a state, per action dimension.

    The mean is a tanh of one half of an MLP's outputs, the deviation a softplus of the other half, above a floor.

    Args:
        observation_dim: O.
        action_dim: A.
        hidden_dims: widths of the hidden layers.
        learned_deviation: False leaves out the second half: the deviation is 1 everywhere.
    """

    def __init__(
        self,
        observation_dim: int,
        action_dim: int,
        hidden_dims: Sequence[int],
        learned_deviation: bool = True,
    ) -> None:
        super().__init__()
        self.learned_deviation = learned_deviation
        self.mlp = MLP(observation_dim, action_dim * (2 if learned_deviation else 1), hidden_dims)
        if learned_deviation:  # starts near a third of half the range, whatever the state
            with torch.no_grad():
                self.mlp.head.weight[action_dim:].mul_(0.1)
                self.mlp.head.bias[action_dim:].fill_(-1.0)

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Normalized observations (..., O) -> mean in (-1, 1) and deviation, (..., A) each, float32."""
        outputs = self.mlp(observations)
        if not self.learned_deviation:
            mean = torch.tanh(outputs)
            return mean, torch.ones_like(mean)
        mean, deviation = outputs.chunk(2, dim=-1)
        return torch.tanh(mean), MIN_DEVIATION + F.softplus(deviation)
