"""The policy of stage 2: a frozen base, a manifold of residuals, and an actor that moves on it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from einops import repeat
from torch import Tensor, nn

from spar_lightning.algorithms.acting import ActsOnArrays
from spar_lightning.algorithms.algorithm import Batch, frozen_copy
from spar_lightning.algorithms.bc import BC
from spar_lightning.networks import GaussianManifold, LatentActor, VariationalManifold
from spar_lightning.types import ResidualProbe


class States(NamedTuple):
    """Where the policy stands."""

    observations: Tensor  # (B, O), normalized
    base_actions: Tensor  # (B, A), scaled to [-1, 1]
    scales: Tensor  # (B, A), what a standardized residual of 1 is there, in scaled actions

    @property
    def inputs(self) -> tuple[Tensor, Tensor]:
        """What networks are conditioned on."""
        return self.observations, self.base_actions

    def repeated(self, count: int) -> States:
        """Every state once for each of `count` candidates, candidates outermost: (count * B, ...)."""
        return States(*(repeat(field, "b d -> (k b) d", k=count) for field in self))


class ResidualPolicy(nn.Module):
    r"""Actions as a function of state and latent, and the latents that the actor chooses.

    .. math:: a(s, z) = \mathrm{clip}(base(s) + \rho(s) \, g(s, base(s), z), -1, 1), \qquad
        z = \alpha \, \mu(s, base(s))

    with `alpha` the `step`, and `rho(s)` the base's deviation at `s` times `residual_scale`, one number an action
    dimension that makes the data's residuals have unit variance.

    Args:
        base: the frozen base, which also owns the normalization.
        manifold: the decoder `g` of latents to standardized residuals.
        actor: `mu`; its running average is what acts.
        step: in (0, 1], how much of the way from the fitted policy, `z = 0`, to the actor's latents is gone.
        use_base: False puts zero in the base's place: the manifold then models actions, not residuals.
    """

    residual_scale: Tensor
    is_fitted: Tensor

    def __init__(
        self,
        base: BC,
        manifold: VariationalManifold | GaussianManifold,
        actor: LatentActor,
        step: float,
        use_base: bool,
    ) -> None:
        super().__init__()
        self.base = base
        self.manifold = manifold
        self.actor = actor
        self.average_actor = frozen_copy(actor)
        self.step = step
        self.use_base = use_base
        self.register_buffer("residual_scale", torch.ones(base.action_dim))
        self.register_buffer("is_fitted", torch.tensor(False))

    def locate(self, observations: Tensor) -> States:
        """Raw observations (B, O) -> where the policy stands."""
        return self.located(self.base.normalizer.normalize(observations))

    def located(self, normalized: Tensor) -> States:
        """Normalized observations (B, O) -> where the policy stands."""
        base_actions, deviations = self.reference(normalized)
        return States(normalized, base_actions, self.residual_scale * deviations)

    def states(self, batch: Batch, prefix: str = "") -> States:
        """Where the policy stands in a batch with the columns `base_actions` and `base_deviations`.

        Args:
            batch: with those columns.
            prefix: `next_` gives the next states, of columns of such names.
        """
        observations = batch.next_observations if prefix else batch.observations
        columns = batch.columns
        return States(
            observations, columns[f"{prefix}base_actions"], self.residual_scale * columns[f"{prefix}base_deviations"]
        )

    def reference(self, normalized: Tensor) -> tuple[Tensor, Tensor]:
        """Normalized observations (B, O) -> what residuals start from and are measured in, (B, A) each, scaled."""
        if self.use_base:
            return self.base.distribution(normalized)
        zeros = normalized.new_zeros(normalized.shape[0], self.base.action_dim)  # `len` would fix an exported batch
        return zeros, torch.ones_like(zeros)

    def decode(self, states: States, latents: Tensor) -> Tensor:
        """The action before clipping, `base + rho(s) * g(s, a_b, z)`: (B, L) -> (B, A)."""
        return states.base_actions + states.scales * self.manifold.decode(*states.inputs, latents)

    def forward(self, states: States, latents: Tensor) -> Tensor:
        """The action `a(s, z)`, scaled to [-1, 1]: latents (B, L) -> (B, A)."""
        return self.decode(states, latents).clamp(-1.0, 1.0)

    def latents(self, states: States) -> Tensor:
        """The latents (B, L) that the policy acts by: `step` times the averaged actor's."""
        latents: Tensor = self.step * self.average_actor(*states.inputs)
        return latents

    def select(self, observations: Tensor) -> Tensor:
        """Raw observations (B, O) -> the policy's actions (B, A) in the environment's units."""
        states = self.locate(observations)
        return self.base.normalizer.unscale(self(states, self.latents(states)))

    def restart(self) -> None:
        """Put the actor back to where it began, near the fitted policy, with fresh weights."""
        self.actor.initialize()
        self.average_actor.load_state_dict(self.actor.state_dict())

    def freeze_manifold(self) -> None:
        """End the fit: from here on candidates come from one fixed manifold."""
        self.is_fitted.fill_(True)
        self.manifold.requires_grad_(False)

    @torch.no_grad()
    def probe(self, observations: Tensor) -> ResidualProbe:
        """The residual at raw observations (B, O), and how it moves with the latent."""
        states = self.locate(observations)
        latents = self.latents(states)
        with torch.enable_grad():
            inputs = latents.detach().requires_grad_()
            unclipped = self.decode(states, inputs)
            rows = [torch.autograd.grad(column.sum(), inputs, retain_graph=True)[0] for column in unclipped.unbind(1)]
        unclipped = unclipped.detach()
        return ResidualProbe(
            base_actions=states.base_actions,
            actions=unclipped.clamp(-1.0, 1.0),
            unclipped_actions=unclipped,
            latents=latents,
            latent_bound=self.step * self.actor.bound,
            jacobians=torch.stack(rows, dim=1),
        )


class FittedPolicy(ActsOnArrays):
    """The policy at the latent's origin: what fitting the data gave, before any improvement."""

    def __init__(self, policy: ResidualPolicy) -> None:
        self.policy = policy
        self.observation_dim = policy.base.observation_dim

    def select_actions(self, observations: Tensor) -> Tensor:
        """Raw observations (B, O) -> actions (B, A) in the environment's units."""
        states = self.policy.locate(observations)
        origin = observations.new_zeros(len(observations), self.policy.manifold.latent_dim)
        return self.policy.base.normalizer.unscale(self.policy(states, origin))

    def _policy_device(self) -> torch.device:
        return self.policy.residual_scale.device
