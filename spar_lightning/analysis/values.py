"""What critics say of actions, and what rollouts came to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spar_lightning.analysis.sample import CHUNK, Sample
from spar_lightning.evaluation import Rollouts
from spar_lightning.networks import EnsembleCritic
from spar_lightning.training import SPARModule

Array = npt.NDArray[np.floating]

NEGLIGIBLE = 0.05
"""Share of a discounted return that may lie beyond the end of an episode that was cut."""


class Gains(NamedTuple):
    """What critics expect of an action over the base's, in discounted return, (N,) each."""

    guiding: Array  # of those that the policy has followed
    checking: Array | None  # of those that it never saw


@torch.no_grad()
def expected_gains(module: SPARModule, sample: Sample) -> Gains:
    """At the states of a sample, for the policy's actions: means over critics."""
    critics = module.algorithm.critics
    guiding = _gain(critics.average_critic, sample) * critics.return_std
    checking = None if critics.check_critic is None else _gain(critics.check_critic, sample) * critics.return_std
    return Gains(guiding.numpy(), None if checking is None else checking.numpy())


def _gain(critic: EnsembleCritic, sample: Sample) -> Tensor:
    parts = zip(
        torch.split(sample.normalized, CHUNK),
        torch.split(sample.probe.actions, CHUNK),
        torch.split(sample.probe.base_actions, CHUNK),
        strict=True,
    )
    return torch.cat([(critic(s, a) - critic(s, base)).mean(dim=0) for s, a, base in parts])


def action_gradients(module: SPARModule, sample: Sample) -> Tensor:
    """Gradients (N, A) of the guiding critics' mean by the fitted policy's action: where others would go."""
    found = []
    for states, fitted in zip(
        torch.split(sample.normalized, CHUNK), torch.split(sample.fitted_actions, CHUNK), strict=True
    ):
        actions = fitted.detach().clone().requires_grad_()
        with torch.enable_grad():
            total = module.algorithm.critics.average_critic(states, actions).mean(dim=0).sum()
        found.append(torch.autograd.grad(total, actions)[0])
    return torch.cat(found)


@torch.no_grad()
def critic_values(module: SPARModule, observations: Array, actions: Array) -> Array:
    """Discounted returns (T,) that the guiding critics expect, means over them.

    Args:
        module: with the critics.
        observations: (T, O), in the environment's units.
        actions: (T, A), likewise.
    """
    normalizer, critics = module.base.normalizer, module.algorithm.critics
    normalized = normalizer.normalize(torch.as_tensor(observations, dtype=torch.float32))
    scaled = normalizer.scale(torch.as_tensor(actions, dtype=torch.float32))
    values: Array = critics.unstandardized(critics.average_critic(normalized, scaled).mean(dim=0)).numpy()
    return values


def discounted_returns(rewards: Array, discount: float) -> Array:
    """Returns from each step to the end of an episode, (T,) -> (T,).

    >>> discounted_returns(np.array([1.0, 0.0, 4.0]), 0.5).tolist()
    [2.0, 2.0, 4.0]
    """
    returns, following = np.zeros(len(rewards)), 0.0
    for step in reversed(range(len(rewards))):
        returns[step] = following = rewards[step] + discount * following
    return returns


def known_steps(length: int, terminated: bool, discount: float) -> int:
    """How many of an episode's steps have a return that is known: all, or those far enough before a cut.

    >>> known_steps(1000, True, 0.99), known_steps(1000, False, 0.99), known_steps(100, False, 0.99)
    (1000, 701, 0)
    """
    if terminated:
        return length
    if discount >= 1.0:
        return 0
    return max(0, length - int(np.ceil(np.log(NEGLIGIBLE) / np.log(discount))))


class Calibration(NamedTuple):
    """Steps of episodes: what critics expected, and what came."""

    expected: Array  # (M,)
    returns: Array  # (M,), discounted, in the scale of the rewards that were trained on


def calibration(
    module: SPARModule, rollouts: Rollouts, discount: float, factor: float = 1.0, shift: float = 0.0
) -> Calibration:
    """Compare critics with the returns of recorded rollouts, at every step whose return is known.

    Args:
        module: with the critics.
        rollouts: recorded.
        discount: per step.
        factor: on rewards, as in the training.
        shift: added to them then.
    """
    assert rollouts.trajectories is not None
    assert rollouts.rewards is not None
    assert rollouts.terminated is not None
    expected, returns = [], []
    episodes = zip(rollouts.trajectories, rollouts.rewards, rollouts.terminated, strict=True)
    for (observations, actions), rewards, terminated in episodes:
        known = slice(known_steps(len(rewards), bool(terminated), discount))
        expected.append(critic_values(module, observations, actions)[known])
        returns.append(discounted_returns(factor * rewards + shift, discount)[known])
    return Calibration(np.concatenate(expected), np.concatenate(returns))
