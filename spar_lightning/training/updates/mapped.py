"""Losses and averages of all seeds, as functions of their tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from spar_lightning.algorithms import Algorithm, Metrics
from spar_lightning.algorithms.algorithm import Loss
from spar_lightning.functional import update_average
from spar_lightning.training.checks import checked_loss, optimizer_named
from spar_lightning.training.updates.stack import Stack


def mapped_gradients(
    stack: Stack, tensors: Mapping[str, Tensor], name: str, loss: Loss, arguments: Sequence[Any]
) -> tuple[list[Tensor], Metrics]:
    """Each seed's gradient of its own loss, of every parameter that an optimizer steps; and the losses' metrics.

    Args:
        stack: of the seeds.
        tensors: parameters and buffers of all, as `Stack.tensors`.
        name: of the optimizer.
        loss: a method of the first seed's algorithm, or of a part of it.
        arguments: of the loss, of all seeds.
    """
    trained = {key: tensors[key] for key in optimizer_named(stack.trained, name)}
    others = {key: tensor for key, tensor in tensors.items() if key not in trained}
    caller, device = _Caller(stack.first, loss), stack.device.type
    is_mixed, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)

    def value(trained: dict[str, Tensor], others: dict[str, Tensor], *inputs: Any) -> tuple[Tensor, Metrics]:
        exchanged = {f"algorithm.{key}": tensor for key, tensor in (trained | others).items()}
        with torch.autocast(device, dtype=dtype, enabled=is_mixed):
            return checked_loss(loss, functional_call(caller, exchanged, inputs))

    each = grad(value, has_aux=True)
    with torch.autocast(device, enabled=False):  # the way back goes in the types of the forward pass
        gradients, metrics = (each if stack.is_alone else vmap(each))(trained, others, *arguments)
    return [gradients[key] for key in trained], dict(metrics)


def follow(
    stack: Stack, tensors: Mapping[str, Tensor], average: nn.Module, source: nn.Module, tau: float | Tensor
) -> None:
    """Move the slow copies of a network of the first seed's algorithm, of all seeds."""
    slow, fast = ([tensors[stack.names[id(p)]] for p in network.parameters()] for network in (average, source))
    if not isinstance(tau, Tensor):
        update_average(slow, fast, tau)
        return
    for one, other in zip(slow, fast, strict=True):  # a compiler knows these, and joins them
        one.lerp_(other, tau)


def clip(gradients: list[Tensor], norm: float | None) -> None:
    """Scale gradients (S, P) of an optimizer's networks in place, so that none of a seed's is longer; None does not."""
    if norm is None:
        return
    squares = torch.stack([gradient.square().sum(dim=1) for gradient in gradients]).sum(dim=0)
    factors = (norm / (squares.sqrt() + 1e-6)).clamp(max=1.0)  # as torch's own clipping has it
    for gradient in gradients:
        gradient.mul_(factors.unsqueeze(1))


class _Caller(nn.Module):
    """Calls a loss of an algorithm, or of a part of it, as a module whose tensors can be exchanged."""

    def __init__(self, algorithm: Algorithm, loss: Loss) -> None:
        super().__init__()
        self.algorithm = algorithm
        self._loss = loss

    def forward(self, *inputs: Any) -> tuple[Tensor, Metrics]:
        """The loss and its metrics."""
        return self._loss(*inputs)
