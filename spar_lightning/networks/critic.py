"""Value estimates: an ensemble of critics as one batched module, and a state-value network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spar_lightning.networks.mlp import MLP, weigh


class EnsembleLinear(nn.Module):
    """C linear layers as one batched matrix product, each initialised as `torch.nn.Linear` is."""

    def __init__(self, num_members: int, input_dim: int, output_dim: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(input_dim)
        self.weight = nn.Parameter(torch.empty(num_members, input_dim, output_dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(num_members, 1, output_dim).uniform_(-bound, bound))

    def forward(self, features: Tensor, members: int | None = None) -> Tensor:
        """(C, B, input_dim) -> (C, B, output_dim); of the first `members` alone, if asked to."""
        return torch.baddbmm(self.bias[:members], features, self.weight[:members])


class EnsembleLayerNorm(nn.Module):
    """Layer normalization with scale and shift of its own for each member."""

    ones: Tensor
    zeros: Tensor

    def __init__(self, num_members: int, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.register_buffer("ones", torch.ones(dim), persistent=False)
        self.register_buffer("zeros", torch.zeros(dim), persistent=False)
        self.weight = nn.Parameter(torch.ones(num_members, 1, dim))
        self.bias = nn.Parameter(torch.zeros(num_members, 1, dim))

    def forward(self, features: Tensor, members: int | None = None) -> Tensor:
        """(C, B, dim) -> (C, B, dim); of the first `members` alone, if asked to."""
        # torch's kernel is slower without a scale and a shift than with them; its own are shared by all members.
        # In the features' type: mapped over seeds, it knows no mixture on a CPU.
        normalized = F.layer_norm(features, (self.dim,), self.ones.to(features), self.zeros.to(features))
        return torch.addcmul(self.bias[:members].to(normalized), normalized, self.weight[:members].to(normalized))


class _NoNorm(nn.Module):
    """Features as they are."""

    def forward(self, features: Tensor, members: int | None = None) -> Tensor:  # noqa: ARG002
        """(C, B, dim), unchanged."""
        return features


class EnsembleCritic(nn.Module):
    """C independent Q-networks, evaluated together; the last layer is always float32.

    Args:
        observation_dim: O.
        action_dim: A.
        hidden_dims: widths of the hidden layers.
        num_critics: C.
        layer_norm: normalize the features of every hidden layer.
    """

    def __init__(
        self,
        observation_dim: int,
        action_dim: int,
        hidden_dims: Sequence[int],
        num_critics: int,
        layer_norm: bool = True,
    ) -> None:
        super().__init__()
        self.num_critics = num_critics
        widths = [observation_dim + action_dim, *hidden_dims]
        self.hidden = nn.ModuleList(EnsembleLinear(num_critics, *pair) for pair in pairwise(widths))
        self.norms = nn.ModuleList(
            EnsembleLayerNorm(num_critics, width) if layer_norm else _NoNorm() for width in widths[1:]
        )
        self.head = EnsembleLinear(num_critics, widths[-1], 1)

    def forward(self, observations: Tensor, actions: Tensor, members: int | None = None) -> Tensor:
        """Values of normalized observations (B, O) and scaled actions (B, A): (C, B) float32.

        Args:
            observations: (B, O).
            actions: (B, A).
            members: evaluate the first of the critics alone, so many of them.
        """
        features = torch.cat([observations, actions], dim=-1).expand(members or self.num_critics, -1, -1)
        for linear, norm in zip(self.hidden, self.norms, strict=True):
            features = torch.relu_(norm(linear(features, members), members))
        return weigh(features, self.head.weight[:members].mT) + self.head.bias[:members].squeeze(-1)


class ValueNetwork(nn.Module):
    """State values V(s): an MLP with one output."""

    def __init__(self, observation_dim: int, hidden_dims: Sequence[int]) -> None:
        super().__init__()
        self.mlp = MLP(observation_dim, 1, hidden_dims)

    def forward(self, observations: Tensor) -> Tensor:
        """Values of normalized observations (B, O): (B,) float32."""
        return weigh(self.mlp.features(observations), self.mlp.head.weight) + self.mlp.head.bias
