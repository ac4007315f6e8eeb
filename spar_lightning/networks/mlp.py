"""The multilayer perceptron that all networks are made of."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def weigh(features: Tensor, weights: Tensor) -> Tensor:
    """Sum of features (..., H) under weights, broadcast to (..., H): a layer with one output, in float32.

    A matrix product with a single column takes several times as long, forwards and backwards.
    """
    return (features.float() * weights).sum(dim=-1)


class MLP(nn.Module):
    """Linear layers with ReLU between them; the last layer is computed in float32 under any autocast.

    Differences between candidates' values and actions are a thousandth of their size, which bfloat16 cannot hold;
    the last layer is a small part of the arithmetic.

    Args:
        input_dim: sum of the last dimensions of all inputs.
        output_dim: width of the output.
        hidden_dims: widths of the hidden layers.
    """

    def __init__(self, input_dim: int, output_dim: int, hidden_dims: Sequence[int]) -> None:
        super().__init__()
        widths = [input_dim, *hidden_dims]
        self.hidden = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(widths))
        self.head = nn.Linear(widths[-1], output_dim)

    def features(self, *inputs: Tensor) -> Tensor:
        """Map inputs (..., D_i), concatenated along the last dimension, to what the last layer sees."""
        features = inputs[0] if len(inputs) == 1 else torch.cat(inputs, dim=-1)
        for layer in self.hidden:
            features = torch.relu_(layer(features))
        return features

    def forward(self, *inputs: Tensor) -> Tensor:
        """Map inputs (..., D_i), concatenated along the last dimension, to (..., output_dim) float32."""
        features = self.features(*inputs)
        if not torch.is_autocast_enabled(features.device.type):
            return F.linear(features, self.head.weight, self.head.bias)
        with torch.autocast(features.device.type, enabled=False):
            return F.linear(features.float(), self.head.weight, self.head.bias)
