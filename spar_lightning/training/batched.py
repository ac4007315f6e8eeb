"""Several seeds in one process: their updates as one computation, each as it would be alone, to rounding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.optim import Adam

from spar_lightning.algorithms import Algorithm, Batch, Metrics
from spar_lightning.algorithms.algorithm import Loss
from spar_lightning.functional import update_average
from spar_lightning.replay import Minibatches
from spar_lightning.training.optimizers import FlatAdam
from spar_lightning.training.stream import NetworkUnits
from spar_lightning.types import UserError


class Seed(NamedTuple):
    """What one seed brings along, all of it on one device."""

    algorithm: Algorithm
    stream: NetworkUnits
    optimizers: Mapping[str, FlatAdam]
    generator: torch.Generator  # of its noise
    settings: Mapping[str, Any]  # of the algorithm
    clip_norm: float | None  # largest gradient norm of an optimizer's step


class BatchedExecution:
    """The learner of algorithms that differ in their seed alone: each loss is mapped over them.

    The parameters of all seeds lie together, along a first dimension; those of each algorithm, and the gradients of its
    optimizers, are views of them, so that each is evaluated and saved as if it were alone.

    Args:
        seeds: of the same algorithm, with the same settings.
    """

    def __init__(self, seeds: Sequence[Seed]) -> None:
        self._seeds, self._first = seeds, seeds[0].algorithm
        if len({(type(seed.algorithm), repr(seed.settings)) for seed in seeds}) > 1:
            raise UserError("the settings of several seeds differ, expected the same but for the seed")
        self._update = 0
        self._tensors: dict[str, Tensor] = {}  # of every parameter and buffer: (S, ...)
        self._trained: dict[str, list[str]] = {}  # optimizer -> names of its parameters
        self._gradients: dict[str, list[Tensor]] = {}  # optimizer -> (S, P) of each network
        self._parts: dict[str, list[Tensor]] = {}  # optimizer -> (S, ...) of each parameter, views of the gradients
        self._adams: dict[str, Adam] = {}
        self._stepped: set[str] = set()  # optimizers that have stepped here
        self._names = {id(parameter): name for name, parameter in self._first.named_parameters()}
        for name in seeds[0].optimizers:
            self._stack_optimizer(name)
        self._stack_the_rest()

    def run(self, minibatches: Sequence[Minibatches], update: int) -> list[tuple[Metrics, Batch]]:
        """Make an update of each seed's minibatches; gives for each seed what `Execution.run` gives."""
        drawn = [seed.stream.batches(one) for seed, one in zip(self._seeds, minibatches, strict=True)]
        metrics: Metrics = {}
        self._update = update
        for batches in zip(*drawn, strict=True):
            metrics |= self._first.update(_together(batches), self._first.phase(self._update), self)
            self._update += 1
        return [({name: value[k] for name, value in metrics.items()}, batch) for k, batch in enumerate(batches)]

    # ------------------------------------------------------------------------------------------- what updates ask for

    def descend(self, name: str, loss: Loss, *arguments: Any) -> Metrics:
        """Step every seed's optimizer `name` down the gradient of its own loss."""
        trained = {key: self._tensors[key] for key in self._trained[name]}
        others = {key: tensor for key, tensor in self._tensors.items() if key not in trained}
        caller = _Caller(self._first, loss)
        device = self._seeds[0].generator.device.type
        is_mixed, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)

        def value(trained: dict[str, Tensor], others: dict[str, Tensor], *inputs: Any) -> tuple[Tensor, Metrics]:
            tensors = {f"algorithm.{key}": tensor for key, tensor in (trained | others).items()}
            with torch.autocast(device, dtype=dtype, enabled=is_mixed):
                found: tuple[Tensor, Metrics] = functional_call(caller, tensors, inputs)
            return found

        with torch.autocast(device, enabled=False):  # the way back goes in the types of the forward pass
            gradients, metrics = vmap(grad(value, has_aux=True))(trained, others, *arguments)
        torch._foreach_copy_(self._parts[name], [gradients[key] for key in trained])
        self._clip(name)
        for seed in self._seeds:
            seed.optimizers[name].set_rate(seed.optimizers[name].rate(self._update))  # for whoever looks at it
        self._adams[name].param_groups[0]["lr"] = self._seeds[0].optimizers[name].rate(self._update)
        self._adams[name].step()
        if name not in self._stepped:
            self._stepped.add(name)
            self._share_states(name)
        return dict(metrics)

    def follow(self, average: nn.Module, source: nn.Module, tau: float | Callable[[int], float]) -> None:
        """Move every seed's slow copy."""
        names = [[self._names[id(parameter)] for parameter in network.parameters()] for network in (average, source)]
        slow, fast = ([self._tensors[name] for name in found] for found in names)
        update_average(slow, fast, tau(self._update) if callable(tau) else tau)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, each seed's own: (S, *shape)."""
        drawn = [torch.randn(*shape, generator=seed.generator, device=seed.generator.device) for seed in self._seeds]
        return torch.stack(drawn)

    # ----------------------------------------------------------------------------------------------------- the memory

    def _stack_optimizer(self, name: str) -> None:
        """Put the vectors of an optimizer, and their gradients, side by side; one Adam steps them with their states."""
        optimizers = [seed.optimizers[name] for seed in self._seeds]
        self._trained[name], self._gradients[name], self._parts[name] = [], [], []
        for flats in zip(*(optimizer.flats for optimizer in optimizers), strict=True):
            vectors = torch.stack([flat.vector.detach() for flat in flats])
            gradients = torch.zeros_like(vectors)
            for flat, vector, gradient in zip(flats, vectors, gradients, strict=True):
                flat.move(vector, gradient)
                flat.vector.grad = gradient
            names = [self._names[id(parameter)] for parameter in flats[0].parameters]
            self._tensors |= dict(zip(names, flats[0].parts(vectors), strict=True))
            self._trained[name] += names
            self._gradients[name].append(gradients)
            self._parts[name] += flats[0].parts(gradients)
        group = optimizers[0].param_groups[0]
        adam = Adam(
            [flat.vector for optimizer in optimizers for flat in optimizer.flats],
            lr=group["lr"],
            fused=group["fused"],
            capturable=group["capturable"],
        )
        for optimizer in optimizers:
            for flat in optimizer.flats:
                if flat.vector in optimizer.state:  # of a run that goes on
                    adam.state[flat.vector] = optimizer.state[flat.vector]
        self._adams[name] = adam

    def _share_states(self, name: str) -> None:
        """Let each seed's optimizer have its own part of the common one's state, from the first step on."""
        for seed in self._seeds:
            for flat in seed.optimizers[name].flats:
                seed.optimizers[name].state[flat.vector] = self._adams[name].state[flat.vector]

    def _stack_the_rest(self) -> None:
        names = [name for name, _ in (*self._first.named_parameters(), *self._first.named_buffers())]
        for name in names:
            if name in self._tensors:
                continue
            owner, _, own = name.rpartition(".")
            tensors = [getattr(seed.algorithm.get_submodule(owner), own) for seed in self._seeds]
            together = torch.stack([tensor.detach() for tensor in tensors])
            for tensor, row in zip(tensors, together, strict=True):
                tensor.data = row
            self._tensors[name] = together

    def _clip(self, name: str) -> None:
        norm = self._seeds[0].clip_norm
        if norm is None:
            return
        gradients = self._gradients[name]
        squares = torch.stack([gradient.square().sum(dim=1) for gradient in gradients]).sum(dim=0)
        factors = (norm / (squares.sqrt() + 1e-6)).clamp(max=1.0)  # as torch's own clipping has it
        torch._foreach_mul_(gradients, [factors.unsqueeze(1)] * len(gradients))


class _Caller(nn.Module):
    """Calls a loss of an algorithm, or of a part of it, as a module whose tensors can be exchanged."""

    def __init__(self, algorithm: Algorithm, loss: Loss) -> None:
        super().__init__()
        self.algorithm = algorithm
        self._loss = loss

    def forward(self, *inputs: Any) -> tuple[Tensor, Metrics]:
        """The loss and its metrics."""
        return self._loss(*inputs)


def _together(batches: Sequence[Batch]) -> Batch:
    """Batches of several seeds along a first dimension."""
    return Batch(
        torch.stack([one.observations for one in batches]),
        torch.stack([one.actions for one in batches]),
        torch.stack([one.rewards for one in batches]),
        torch.stack([one.next_observations for one in batches]),
        torch.stack([one.terminations for one in batches]),
        {name: torch.stack([one.columns[name] for one in batches]) for name in batches[0].columns},
    )
