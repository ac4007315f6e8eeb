"""Metrics of rollouts and residuals, reduced over ranks by torchmetrics."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from spar_lightning.evaluation.intervals import mean_interval
from spar_lightning.evaluation.scores import normalized_score
from spar_lightning.types import ResidualProbe

CONFIDENCE = 0.95
SATURATED = 0.99
"""Share of the latent bound from which a latent counts as saturated."""


def _sample_std(values: Tensor) -> Tensor:
    """Over episodes; as PyTorch computes it, since they are reduced on any device: NumPy's last digits are others."""
    # torch.std warns for a single value; that one episode has no spread is no news.
    return values.std() if len(values) > 1 else values.new_tensor(float("nan"))


class EpisodeScores(Metric):
    """Mean and standard deviation of episodes' returns and scores.

    `compute` gives `episodes`, `return`, `return_std`, `length` and, with `reference_scores`, `normalized_score` and
    `normalized_score_std`: scalars, standard deviations over episodes (sample; NaN for a single episode).

    Args:
        reference_scores: returns of a random and an expert policy, if there are any.

    >>> metric = EpisodeScores(reference_scores=(0.0, 200.0))
    >>> metric.update(torch.tensor([50.0, 150.0]), torch.tensor([10, 20]))
    >>> {name: round(float(value), 1) for name, value in metric.compute().items() if "std" not in name}
    {'episodes': 2.0, 'return': 100.0, 'length': 15.0, 'normalized_score': 50.0}
    """

    is_differentiable = False
    full_state_update = False
    returns: list[Tensor]
    lengths: list[Tensor]

    def __init__(self, reference_scores: tuple[float, float] | None = None) -> None:
        super().__init__()
        self.reference_scores = reference_scores
        self.add_state("returns", [], dist_reduce_fx="cat")
        self.add_state("lengths", [], dist_reduce_fx="cat")

    def update(self, returns: Tensor, lengths: Tensor) -> None:
        """Add episodes: returns (n,) and lengths (n,) in steps; n may be 0 on a rank without seeds."""
        self.returns.append(returns.double().to(self.device))
        self.lengths.append(lengths.double().to(self.device))

    def compute(self) -> dict[str, Tensor]:
        """Scalars by name; see the class."""
        returns, lengths = dim_zero_cat(self.returns), dim_zero_cat(self.lengths)
        values = {
            "episodes": returns.new_tensor(len(returns)),
            "return": returns.mean(),
            "return_std": _sample_std(returns),
            "length": lengths.mean(),
        }
        if self.reference_scores is not None:
            scores = normalized_score(returns, self.reference_scores)
            values |= {"normalized_score": scores.mean(), "normalized_score_std": _sample_std(scores)}
        return values


class PairedImprovement(Metric):
    """Mean difference of two policies over the same seeds, with its 95% interval by Student's t.

    `compute` gives `mean`, `low`, `high` and `episodes`. One episode has a mean and a NaN interval.

    >>> metric = PairedImprovement()
    >>> metric.update(torch.tensor([3.0, 5.0]), torch.tensor([1.0, 1.0]))
    >>> {name: round(float(value), 2) for name, value in metric.compute().items()}
    {'mean': 3.0, 'low': -9.71, 'high': 15.71, 'episodes': 2.0}
    """

    is_differentiable = False
    full_state_update = False
    differences: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("differences", [], dist_reduce_fx="cat")

    def update(self, policy: Tensor, base: Tensor) -> None:
        """Add pairs: returns or scores (n,) of the policy and of the base, seed by seed."""
        self.differences.append((policy.double() - base.double()).to(self.device))

    def compute(self) -> dict[str, Tensor]:
        """Scalars by name; see the class."""
        differences = dim_zero_cat(self.differences)
        numbers = [*mean_interval(differences.cpu().numpy(), CONFIDENCE), len(differences)]
        names = ("mean", "low", "high", "episodes")
        return {name: differences.new_tensor(number) for name, number in zip(names, numbers, strict=True)}


class ResidualStatistics(Metric):
    """Size and saturation of a policy's residual, means over states.

    `compute` gives `residual/abs_mean` (scalar) and `residual/abs_mean_per_dimension` (A,), of action minus base
    action on the scale [-1, 1]; `residual/latent_saturation`, the share of latents at 0.99 of their bound or beyond;
    `residual/action_saturation`, the share of action dimensions that clipping changed; `residual/latent_norm`, the
    Euclidean norm of the policy's latent, 0 for the fitted policy.

    Args:
        action_dim: A, size of an action.
    """

    is_differentiable = False
    full_state_update = False
    states: Tensor
    absolute: Tensor
    saturated: Tensor
    clipped: Tensor
    norm: Tensor

    def __init__(self, action_dim: int) -> None:
        super().__init__()
        self.add_state("absolute", torch.zeros(action_dim), dist_reduce_fx="sum")
        for name in ("states", "saturated", "clipped", "norm"):
            self.add_state(name, torch.zeros(()), dist_reduce_fx="sum")

    def update(self, probe: ResidualProbe) -> None:
        """Add B states."""
        self.states += len(probe.actions)
        self.absolute += (probe.actions - probe.base_actions).abs().sum(dim=0)
        self.saturated += (probe.latents.abs() >= SATURATED * probe.latent_bound).float().mean(dim=1).sum()
        self.clipped += (probe.actions != probe.unclipped_actions).float().mean(dim=1).sum()
        self.norm += probe.latents.norm(dim=1).sum()

    def compute(self) -> dict[str, Tensor]:
        """Scalars by name, and one vector; see the class."""
        per_dimension = self.absolute / self.states
        return {
            "residual/abs_mean": per_dimension.mean(),
            "residual/abs_mean_per_dimension": per_dimension,
            "residual/latent_saturation": self.saturated / self.states,
            "residual/action_saturation": self.clipped / self.states,
            "residual/latent_norm": self.norm / self.states,
        }
