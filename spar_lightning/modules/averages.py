"""Slow copies of networks: targets, averaged critics, the policy that is the result."""

from __future__ import annotations

from copy import deepcopy
from typing import TypeVar

from torch import nn

from spar_lightning.functional import update_average
from spar_lightning.modules.flat import flat_parameters

Network = TypeVar("Network", bound=nn.Module)


def frozen_copy(network: Network) -> Network:
    """A copy that takes no gradients."""
    copy = deepcopy(network)
    copy.requires_grad_(False)
    return copy


class MovingAverage:
    """Keeps a network's copy as the running average of its parameters: `average += tau * (source - average)`.

    Args:
        average: the copy, moved in place.
        source: the network that it follows.
        tau: rate per update, in (0, 1]; 1 copies.
    """

    def __init__(self, average: nn.Module, source: nn.Module, tau: float) -> None:
        self.tau = tau
        self._averages, self._sources = [flat_parameters(average)], [flat_parameters(source)]

    def update(self) -> None:
        """Take one step towards the source."""
        update_average(self._averages, self._sources, self.tau)
