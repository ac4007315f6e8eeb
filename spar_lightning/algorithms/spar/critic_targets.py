"""What critics are regressed on: the data's returns, or values of the next state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from spar_lightning import functional as SF
from spar_lightning.algorithms.algorithm import Batch, Learner
from spar_lightning.algorithms.spar.critics import Critics
from spar_lightning.algorithms.spar.policy import ResidualPolicy


class Targets(NamedTuple):
    """Of one batch, standardized."""

    target_q: Tensor  # (B,)
    value_target: Tensor  # (B,)
    expectile: float  # of the value network's regression


@dataclass(eq=False)
class Returns:
    """Lambda-returns of the data, the column `returns`: the behaviour's values, which cannot diverge.

    Args:
        expectile: of the value network's regression; 0.5 is the mean.
    """

    expectile: float

    def __call__(self, batch: Batch) -> Targets:
        """The column as it is."""
        returns = batch.columns["returns"]
        return Targets(returns, returns, self.expectile)


@dataclass(eq=False)
class InSample:
    """Values of next states by an expectile of the critics over the data's actions (implicit Q-learning, 2021).

    Args:
        critics: with a target critic.
        discount: per step.
        expectile: of the value network's regression.
        deviations: an action is worth `mean - deviations * std` over critics; None takes the minimum.
    """

    critics: Critics
    discount: float
    expectile: float
    deviations: float | None

    reads_next_base_actions: ClassVar = False

    def noises(self, learner: Learner, count: int) -> tuple[Tensor, ...]:  # noqa: ARG002
        """What targets take beside the batch: nothing."""
        return ()

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Targets:
        """Targets of a batch."""
        assert self.critics.target_critic is not None
        next_values = self.critics.value(batch.next_observations)
        q_values = self.critics.target_critic(batch.observations, batch.actions)
        value_target = SF.conservative(q_values, self.deviations)
        return Targets(bootstrapped(self.critics, batch, next_values, self.discount), value_target, self.expectile)


@dataclass(eq=False)
class PolicyValue:
    """Values of the policy's own next actions, with noise on their latents, as actor-critic methods have it.

    Args:
        critics: with a target critic.
        policy: of which the averaged actor acts.
        discount: per step.
        expectile: of the value network's regression.
        deviations: an action is worth `mean - deviations * std` over critics; None takes the minimum.
        noise: standard deviation of the noise, in the latents' prior deviations.
    """

    critics: Critics
    policy: ResidualPolicy
    discount: float
    expectile: float
    deviations: float | None
    noise: float

    reads_next_base_actions: ClassVar = True

    def noises(self, learner: Learner, count: int) -> tuple[Tensor, ...]:
        """What targets take beside a batch of `count`: (B, L), standard normal."""
        return (learner.normal(count, self.policy.manifold.latent_dim),)

    @torch.no_grad()
    def __call__(self, batch: Batch, noise: Tensor) -> Targets:
        """Targets of a batch and its noise."""
        assert self.critics.target_critic is not None
        states = self.policy.states(batch, "next_")
        latents = self.policy.latents(states)
        latents = SF.latent_candidates(latents, noise.unsqueeze(0), self.noise, self.policy.actor.bound)[1]
        q_values = self.critics.target_critic(states.observations, self.policy(states, latents))
        next_values = SF.conservative(q_values, self.deviations)
        target_q = bootstrapped(self.critics, batch, next_values, self.discount)
        return Targets(target_q, target_q, self.expectile)


def bootstrapped(critics: Critics, batch: Batch, next_values: Tensor, discount: float) -> Tensor:
    """One-step targets from standardized next values (B,), standardized again."""
    values = critics.unstandardized(next_values.float())
    return critics.standardized(SF.td_target(batch.rewards, batch.terminations, values, discount))
