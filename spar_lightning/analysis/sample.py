"""What a policy does at states of its data, beside its base and the data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spar_lightning.replay import OfflineDataModule, spread_rows
from spar_lightning.training import SPARModule
from spar_lightning.types import ResidualProbe

CHUNK = 4096  # states a forward pass

Array = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Sample:
    """Actions at N states of the data, all scaled to [-1, 1]."""

    rows: Tensor  # (N,) int64, of the training data
    observations: Tensor  # (N, O), in the data's units
    normalized: Tensor  # (N, O)
    data_actions: Tensor  # (N, A)
    fitted_actions: Tensor  # (N, A), of the latent's origin
    scales: Tensor  # (N, A), what a standardized residual of 1 is
    probe: ResidualProbe  # of the policy

    @classmethod
    def take(cls, module: SPARModule, data: OfflineDataModule, count: int) -> Sample:
        """At `count` states or fewer, evenly spaced over the training data."""
        transitions = data.transitions
        rows = spread_rows(len(transitions), count)
        batch = transitions.batch(rows)
        pieces = [_piece(module, one) for one in torch.split(batch.observations, CHUNK)]
        probes, fitted, scales = zip(*pieces, strict=True)
        normalizer = module.base.normalizer
        return cls(
            rows,
            batch.observations,
            normalizer.normalize(batch.observations),
            normalizer.scale(batch.actions),
            torch.cat(fitted),
            torch.cat(scales),
            join_probes(probes),
        )

    @cached_property
    def residuals(self) -> Array:
        """(N, A), of the policy from its base."""
        return _array(self.probe.actions - self.probe.base_actions)

    @cached_property
    def data_residuals(self) -> Array:
        """(N, A), of the data from the base."""
        return _array(self.data_actions - self.probe.base_actions)

    @cached_property
    def sizes(self) -> Array:
        """(N,), of each residual: its root mean square over action dimensions."""
        return _array((self.probe.actions - self.probe.base_actions).square().mean(dim=1).sqrt())

    @cached_property
    def spread(self) -> Array:
        """(A,), of the data around the base: the unit in which residuals are modelled, on average over states."""
        return _array(self.scales.square().mean(dim=0).sqrt())


@torch.no_grad()
def _piece(module: SPARModule, observations: Tensor) -> tuple[ResidualProbe, Tensor, Tensor]:
    states = module.policy.locate(observations)
    origin = observations.new_zeros(len(observations), module.policy.manifold.latent_dim)
    return module.probe_residual(observations), module.policy(states, origin), states.scales


def join_probes(probes: tuple[ResidualProbe, ...]) -> ResidualProbe:
    """Probes of several pieces as one."""
    base, actions, unclipped, latents, bounds, jacobians = zip(*probes, strict=True)
    return ResidualProbe(
        torch.cat(base), torch.cat(actions), torch.cat(unclipped), torch.cat(latents), bounds[0], torch.cat(jacobians)
    )


def _array(values: Tensor) -> Array:
    return values.detach().cpu().numpy()
