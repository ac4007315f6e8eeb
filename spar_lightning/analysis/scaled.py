"""A policy whose residual is scaled."""

from __future__ import annotations

import torch
from torch import Tensor

from spar_lightning.algorithms.acting import ActsOnArrays
from spar_lightning.training import SPARModule


class ScaledResidual(ActsOnArrays):
    """Acts by `base + factor * residual`, clipped: 0 is the base, 1 the policy.

    Args:
        module: with base and residual.
        factor: of the residual.
    """

    def __init__(self, module: SPARModule, factor: float) -> None:
        self._module, self._factor = module, factor
        self.observation_dim = module.observation_dim

    def select_actions(self, observations: Tensor) -> Tensor:
        """Raw observations (B, O) -> actions (B, A) in the environment's units."""
        policy = self._module.policy
        states = policy.locate(observations)
        actions = policy(states, policy.latents(states))
        scaled = states.base_actions + self._factor * (actions - states.base_actions)
        return self._module.base.normalizer.unscale(scaled.clamp(-1.0, 1.0))

    def _policy_device(self) -> torch.device:
        return self._module.device
