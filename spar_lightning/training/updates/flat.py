"""The parameters of a network in one buffer, so that an optimizer or an average moves them as one tensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

from spar_lightning.functional import update_average
from spar_lightning.types import UserError

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_ALIGNMENT = 16  # elements: 64 bytes of float32, a cache line


def flat_parameters(network: nn.Module) -> Tensor:
    """All parameters of a network as one vector that shares their memory, each padded with zeros to a cache line.

    The first call moves them there; each stays a parameter of its own. Whatever gives them new memory, such as a move
    to another device, takes them apart again: ask anew after that.
    """
    parameters = list(network.parameters())
    if (there := _flat_vector(parameters)) is not None:
        return there
    starts, size = _layout(parameters)
    flat = parameters[0].detach().new_zeros(size)
    for parameter, start in zip(parameters, starts, strict=True):
        view = _view(flat, parameter, start)
        view.copy_(parameter.detach())
        parameter.data = view
    return flat


def _flat_vector(parameters: list[nn.Parameter]) -> Tensor | None:
    """The vector that all of them, and nothing else, lie in, if there is one."""
    starts, size = _layout(parameters)
    flat = torch.empty(0, dtype=parameters[0].dtype, device=parameters[0].device)
    flat.set_(parameters[0].untyped_storage())
    addresses = [flat.data_ptr() + start * flat.element_size() for start in starts]
    is_flat = len(flat) == size and addresses == [parameter.data_ptr() for parameter in parameters]
    return flat if is_flat else None


class Averages:
    """The slow copies of networks that one training has, each moved as one vector."""

    def __init__(self) -> None:
        self._pairs: dict[nn.Module, tuple[list[Tensor], list[Tensor]]] = {}  # a copy's own, and its network's

    def move(self, average: nn.Module, source: nn.Module, tau: float | Callable[[int], float], update: int) -> None:
        """Move a copy towards its network, in the update of this number.

        Raises:
            UserError: if the networks keep statistics of their batches, which would stay behind.
        """
        if average not in self._pairs:
            self._pairs[average] = _paired(average, source)
        slow, fast = self._pairs[average]
        update_average(slow, fast, tau(update) if callable(tau) else tau)


def _paired(average: nn.Module, source: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """The tensors of both, one of each where that can be: a part of what lies in a vector already stays there."""
    check_average(average)
    if all(_is_whole(network) for network in (average, source)):
        return [flat_parameters(average)], [flat_parameters(source)]
    return list(average.parameters()), list(source.parameters())


def _is_whole(network: nn.Module) -> bool:
    """Whether the parameters of a network lie alone, each by itself or all in one vector."""
    parameters = list(network.parameters())
    if all(one.untyped_storage().nbytes() == one.nbytes for one in parameters):
        return True
    return _flat_vector(parameters) is not None


def check_average(average: nn.Module) -> None:
    """See that a network can follow another.

    Raises:
        UserError: if it keeps statistics of its batches, which would stay behind.
    """
    if any(isinstance(part, _NORMS) and part.track_running_stats for part in average.modules()):
        raise UserError(
            "`follow` moves parameters, and the statistics of batches that a BatchNorm keeps would stay behind,"
            " expected networks without: LayerNorm keeps none"
        )


class FlatParameters:
    """What an optimizer steps in place of a network's parameters: one parameter that shares their memory.

    Args:
        network: on its device already.
    """

    def __init__(self, network: nn.Module) -> None:
        self.parameters = list(network.parameters())
        self.vector = nn.Parameter(flat_parameters(network))
        self._gradient = torch.zeros_like(self.vector)
        self._starts, _ = _layout(self.parameters)
        self._settle()

    def _settle(self) -> None:
        self._addresses = [parameter.data_ptr() for parameter in self.parameters]
        self._views = [_view(self._gradient, *one) for one in zip(self.parameters, self._starts, strict=True)]

    def move(self, vector: Tensor, gradient: Tensor) -> None:
        """Keep parameters and gradients in this memory from here on, of the vector's own shape."""
        self._gradient = gradient
        with torch.no_grad():
            vector.copy_(self.vector)
        self.vector.data = vector
        for parameter, start in zip(self.parameters, self._starts, strict=True):
            parameter.data = _view(vector, parameter, start)
        self._settle()

    def parts(self, stacked: Tensor) -> list[Tensor]:
        """Each parameter's part of several vectors (S, P), as views (S, ...)."""
        return [
            stacked[:, start : start + parameter.numel()].view(len(stacked), *parameter.shape)
            for parameter, start in zip(self.parameters, self._starts, strict=True)
        ]

    def packed(self, parts: Sequence[Tensor]) -> Tensor:
        """The way back: each parameter's part, (S, ...), as new vectors (S, P)."""
        pieces: list[Tensor] = []
        for parameter, part in zip(self.parameters, parts, strict=True):
            padding = -parameter.numel() % _ALIGNMENT
            pieces += [part.flatten(1), part.new_zeros(len(part), padding)]
        return torch.cat(pieces, dim=1)

    def clear_gradients(self) -> None:
        """Set all gradients to None, so that an optimizer's step moves nothing."""
        for parameter in (*self.parameters, self.vector):
            parameter.grad = None

    def gather_gradients(self) -> None:
        """Copy the parameters' gradients into the vector's, of which they are views from then on.

        Raises:
            UserError: if a parameter has no gradient, or does not lie in the vector any more.
        """
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        if len(gradients) < len(self.parameters):
            raise UserError(
                f"{len(self.parameters) - len(gradients)} of the {len(self.parameters)} parameters of a network have no"
                " gradient, expected one for each: a part of a network cannot be frozen"
            )
        self.check_place()
        torch._foreach_copy_(self._views, gradients)
        self.vector.grad = self._gradient
        for parameter, view in zip(self.parameters, self._views, strict=True):
            parameter.grad = view

    def check_place(self) -> None:
        """See that the parameters lie where an optimizer steps them.

        Raises:
            UserError: if they do not any more.
        """
        if [parameter.data_ptr() for parameter in self.parameters] != self._addresses:
            raise UserError(
                "the parameters of a network were given new memory during the training, expected them where the"
                " optimizer steps them: change them in place, as `parameter.data.copy_(...)` does"
            )


def _layout(parameters: list[nn.Parameter]) -> tuple[list[int], int]:
    """Where each parameter starts, and the size of all."""
    *starts, size = accumulate((-(-p.numel() // _ALIGNMENT) * _ALIGNMENT for p in parameters), initial=0)
    return starts, size


def _view(flat: Tensor, parameter: Tensor, start: int) -> Tensor:
    return flat[start : start + parameter.numel()].view_as(parameter)
