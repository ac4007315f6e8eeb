"""The mean of several trained policies: chance of a single training averages out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from spar_lightning.algorithms.acting import ActsOnArrays
from spar_lightning.algorithms.algorithm import Algorithm
from spar_lightning.networks import Normalizer
from spar_lightning.types import Policy, UserError


class MeanPolicy(Algorithm):
    r"""Acts by the mean of its members' actions: it is evaluated, exported and deployed, but not trained.

    .. math:: a(s) = \frac{1}{M} \sum_m a_m(s)

    Members are trained one by one, each from its own seed. What they have learned of the data they share, and it
    stays; what one of them has by chance is divided by their number. Where actions have two good modes their mean may
    be in neither: look at its score.

    Args:
        members: trained algorithms for the same observations and actions; each has its own units.
    """

    def __init__(self, members: Sequence[Algorithm]) -> None:
        if not members:
            raise UserError("`members` is empty, expected policies to take the mean of")
        first = members[0]
        super().__init__(first.observation_dim, first.action_dim)
        for member in members:
            found, expected = ((one.observation_dim, one.action_dim) for one in (member, first))
            if found != expected:
                raise UserError(
                    f"one of the `members` has {found[0]} observations and {found[1]} actions, another {expected[0]}"
                    f" and {expected[1]}, expected the same: only policies for one task have a mean"
                )
        self.members = nn.ModuleList(members)
        self.requires_grad_(False).eval()

    def _make_normalizer(self) -> None:
        """Nothing: each member has one."""

    @property
    def normalizer(self) -> Normalizer:  # type: ignore[override]
        """The first member's, for whoever asks where the data are; each acts by its own."""
        return self._members[0].normalizer

    @property
    def _members(self) -> list[Algorithm]:
        return [member for member in self.members if isinstance(member, Algorithm)]

    def select_actions(self, observations: Tensor) -> Tensor:
        """Raw observations (B, O) -> the mean of the members' actions (B, A) in the environment's units."""
        return _mean([member.select_actions(observations) for member in self._members])

    def reference_policies(self) -> dict[str, Policy]:
        """The means of what all members are compared with: `base` of bases, `fitted` of fitted policies."""
        found = [member.reference_policies() for member in self._members]
        shared = [name for name in found[0] if all(name in of for of in found)]
        return {name: Mean([of[name] for of in found], self) for name in shared}

    def optimizers(self, max_updates: int) -> NoReturn:  # noqa: ARG002
        """None.

        Raises:
            UserError: always.
        """
        raise UserError("a mean of policies is not trained: train its members, and combine them anew")

    def update(self, *_: Any) -> NoReturn:
        """None, as `optimizers`."""
        self.optimizers(0)


class Mean(ActsOnArrays):
    """The mean of fixed policies."""

    def __init__(self, policies: Sequence[Policy], owner: MeanPolicy) -> None:
        self.policies, self._owner = policies, owner
        self.observation_dim = owner.observation_dim

    def select_actions(self, observations: Tensor) -> Tensor:
        """Raw observations (B, O) -> the mean of the policies' actions (B, A)."""
        return _mean([policy.act(observations) for policy in self.policies])

    def _policy_device(self) -> torch.device:
        return self._owner.normalizer.observation_mean.device


def _mean(actions: Sequence[Tensor]) -> Tensor:
    """Of a few tensors, with operations that every export has."""
    total = actions[0]
    for other in actions[1:]:
        total = total + other
    return total / len(actions)
