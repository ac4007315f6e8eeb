"""Losses compiled together with their gradients."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any, cast

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from spar_lightning.algorithms.algorithm import Loss
from spar_lightning.types import UserError


class CompiledLoss:
    """A loss whose value and gradient are computed by one compiled graph, called as the loss itself is.

    A loss that is compiled alone becomes two graphs, and everything that the second needs is written to memory by the
    first: on a CPU that costs what fusion saves. Calling `backward` on the value hands out the gradient.

    Args:
        loss: a function or method that returns a scalar and metrics; without random numbers, side effects, or Python
            numbers that change from call to call, so that it is compiled once.
        parameters: what the gradient is taken with respect to; each must take part.
        device_type: of the parameters.
    """

    def __init__(self, loss: Loss, parameters: Sequence[nn.Parameter], device_type: str) -> None:
        self._parameters = tuple(parameters)
        ours = self._parameters

        def value_and_gradient(*arguments: Any) -> tuple[Tensor, dict[str, Tensor], tuple[Tensor, ...]]:
            value, metrics = loss(*arguments)
            with torch.autocast(device_type, enabled=False):
                gradients = torch.autograd.grad(value, ours)
            return value.detach(), metrics, gradients

        # For this process, and read whenever a graph is made: gradients may be part of one, and it is not split for
        # DDP, which would part them from the loss.
        torch._dynamo.config.trace_autograd_ops = True
        torch._dynamo.config.optimize_ddp = False
        own = _with_code_of_its_own(value_and_gradient, loss.__name__)
        self._compiled = torch.compile(own, dynamic=False, fullgraph=True)

    def __call__(self, *arguments: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """Value and metrics."""
        value, metrics, gradients = self._compiled(*arguments)
        return _WithGradient.apply(value, gradients, *self._parameters), metrics  # type: ignore[no-untyped-call]


def _with_code_of_its_own(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The function under another name: graphs are kept by code, few for each, and all of them are tried at a call."""
    function = cast(FunctionType, function)
    return FunctionType(
        function.__code__.replace(co_name=name), function.__globals__, name, closure=function.__closure__
    )


class _WithGradient(torch.autograd.Function):
    """A value with a gradient that is known; backward works once."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: tuple[Tensor, ...], *parameters: Tensor) -> Tensor:  # noqa: ARG004
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        # The factor is 1 unless a scaler of 16-bit gradients multiplies the loss, which none does on a CPU.
        gradients = ctx.gradients if factor.is_cpu and factor == 1.0 else torch._foreach_mul(ctx.gradients, factor)
        ctx.gradients = None  # the last reference of ours, so that autograd keeps the tensors without a copy
        return None, None, *gradients


def can_compile() -> bool:
    """Whether losses can be compiled here; a torch that cannot is told of, and does without.

    Raises:
        UserError: as `require_compiler`.
    """
    if not traces_gradients():
        rank_zero_warn(
            f"`compile` is set, but torch {torch.__version__} cannot compile gradients, expected 2.11 or later: the"
            " losses are not compiled"
        )
        return False
    require_compiler()
    return True


def traces_gradients() -> bool:
    """Whether this torch can have a gradient in a compiled graph, as 2.11 is the first to."""
    return hasattr(torch._dynamo.config, "trace_autograd_ops")


def require_compiler() -> None:
    """See that losses can be compiled here.

    Raises:
        UserError: if there is no C++ compiler, or the one that `CXX` names does not run.
    """
    chosen = os.environ.get("CXX")
    names = [chosen] if chosen else ["g++", "clang++"]
    if not any(_runs(name) for name in names):
        raise UserError(
            f"`compile` is set, but {' and '.join(names)} cannot be run: expected a C++ compiler; install one, name it"
            " with the environment variable CXX, or leave `compile` out"
        )


def _runs(compiler: str) -> bool:
    path = shutil.which(compiler)
    return path is not None and subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0
