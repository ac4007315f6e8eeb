"""The parameters of a network in one buffer, so that an optimizer or an average moves them as one tensor."""

from __future__ import annotations

from itertools import accumulate
from typing import cast

import torch
from torch import Tensor, nn

_ALIGNMENT = 16  # elements: a cache line of float32


def flat_parameters(network: nn.Module) -> Tensor:
    """All parameters of a network as one vector that shares their memory, with zeros between them up to cache lines.

    The first call moves them there; each stays a parameter of its own. Whatever gives them new memory, such as a move
    to another device, takes them apart again: ask anew after that.
    """
    parameters = list(network.parameters())
    starts, size = _layout(parameters)
    flat = torch.empty(0, dtype=parameters[0].dtype, device=parameters[0].device)
    flat.set_(parameters[0].untyped_storage())
    addresses = [flat.data_ptr() + start * flat.element_size() for start in starts]
    if len(flat) == size and addresses == [parameter.data_ptr() for parameter in parameters]:
        return flat
    flat = parameters[0].detach().new_zeros(size)
    for parameter, start in zip(parameters, starts, strict=True):
        view = _view(flat, parameter, start)
        view.copy_(parameter.detach())
        parameter.data = view
    return flat


class FlatParameters:
    """What an optimizer steps in place of a network's parameters: one parameter that shares their memory.

    Args:
        network: on its device already.
    """

    def __init__(self, network: nn.Module) -> None:
        self.parameters = list(network.parameters())
        self.vector = nn.Parameter(flat_parameters(network))
        self._gradient = torch.zeros_like(self.vector)
        starts, _ = _layout(self.parameters)
        self._views = [_view(self._gradient, *one) for one in zip(self.parameters, starts, strict=True)]

    def clear_gradients(self) -> None:
        """Leave no gradient, so that an optimizer passes by."""
        for parameter in (*self.parameters, self.vector):
            parameter.grad = None

    def gather_gradients(self) -> None:
        """Take over those of the network's parameters, each of which must have one."""
        torch._foreach_copy_(self._views, [cast(Tensor, parameter.grad) for parameter in self.parameters])
        self.vector.grad = self._gradient


def _layout(parameters: list[nn.Parameter]) -> tuple[list[int], int]:
    """Where each parameter starts, and the size of all."""
    *starts, size = accumulate((-(-p.numel() // _ALIGNMENT) * _ALIGNMENT for p in parameters), initial=0)
    return starts, size


def _view(flat: Tensor, parameter: Tensor, start: int) -> Tensor:
    return flat[start : start + parameter.numel()].view_as(parameter)
