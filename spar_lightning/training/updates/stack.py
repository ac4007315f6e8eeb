"""The tensors of several seeds side by side; what each seed has are views of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Adam

from spar_lightning.algorithms import Algorithm, Batch
from spar_lightning.training.updates.optimizers import FlatAdam, decay_weights
from spar_lightning.training.updates.stream import NetworkUnits
from spar_lightning.types import UserError


class Training(NamedTuple):
    """What one training is made of, all of it on one device."""

    algorithm: Algorithm
    stream: NetworkUnits
    optimizers: Mapping[str, FlatAdam]
    generator: torch.Generator  # of its noise
    settings: Mapping[str, Any]  # of the algorithm
    clip_norm: float | None  # largest gradient norm of an optimizer's step
    compiles: bool = False  # each update as one program
    captures: bool = False  # those of a training step as one CUDA graph


class Stack:
    """Parameters, buffers and optimizers of algorithms that differ in their seed alone.

    They lie along a first dimension; those of each algorithm, and the gradients and states of its optimizers, are views
    of them, so that each is evaluated and saved as if it were alone. A seed by itself has no such dimension in what a
    loss sees, but in what an optimizer steps: `S` is 1 there.

    Args:
        seeds: of the same algorithm, with the same settings.
    """

    def __init__(self, seeds: Sequence[Training]) -> None:
        if len({(type(seed.algorithm), repr(seed.settings), seed.clip_norm) for seed in seeds}) > 1:
            raise UserError("the settings of several seeds differ, expected the same but for the seed")
        self.seeds, self.first, self.is_alone = seeds, seeds[0].algorithm, len(seeds) == 1
        self.device = seeds[0].generator.device
        self.names = {id(parameter): name for name, parameter in self.first.named_parameters()}
        self.tensors: dict[str, Tensor] = {}  # of every parameter and buffer: (S, ...), or (...) of a seed by itself
        self.trained: dict[str, list[str]] = {}  # optimizer -> names of its parameters
        self.vectors: dict[str, list[nn.Parameter]] = {}  # optimizer -> (S, P) of each network
        self.gradients: dict[str, list[Tensor]] = {}  # likewise
        self.gradient_parts: dict[str, list[Tensor]] = {}  # optimizer -> of each parameter, views of the gradients
        self.adams: dict[str, Adam] = {}
        self._shared: set[str] = set()  # optimizers whose states each seed has its part of
        for name in seeds[0].optimizers:
            self._stack_optimizer(name)
        self._stack_the_rest()

    def check_place(self) -> None:
        """See that the parameters of all seeds lie where the optimizers step them.

        Raises:
            UserError: if some were given new memory.
        """
        for seed in self.seeds:
            for optimizer in seed.optimizers.values():
                for flat in optimizer.flats:
                    flat.check_place()

    def joined(self, tensors: Sequence[Tensor]) -> Tensor:
        """One tensor of each seed, as losses see them."""
        return tensors[0] if self.is_alone else torch.stack(list(tensors))

    def together(self, batches: Sequence[Batch]) -> Batch:
        """One batch of each seed, likewise."""
        if self.is_alone:
            return batches[0]
        fields = [torch.stack(list(field)) for field in zip(*(batch[:5] for batch in batches), strict=True)]
        columns = {name: torch.stack([one.columns[name] for one in batches]) for name in batches[0].columns}
        return Batch(fields[0], fields[1], fields[2], fields[3], fields[4], columns)

    def noise(self, shape: Sequence[int]) -> Tensor:
        """Standard normal numbers, each seed's own, as losses see them."""
        generators = [seed.generator for seed in self.seeds]
        return self.joined([torch.randn(*shape, generator=one, device=one.device) for one in generators])

    def name(self, network: nn.Module) -> str:
        """By which a network of the first algorithm is told from others: that of its first parameter."""
        return self.names[id(next(network.parameters()))]

    def parts(self, name: str, vectors: Sequence[Tensor]) -> dict[str, Tensor]:
        """The parameters of an optimizer, as losses see them, in vectors (S, P) of its networks."""
        found = [
            part
            for flat, vector in zip(self.seeds[0].optimizers[name].flats, vectors, strict=True)
            for part in flat.parts(vector)
        ]
        return dict(zip(self.trained[name], [part[0] for part in found] if self.is_alone else found, strict=True))

    def packed(self, name: str, parts: Sequence[Tensor]) -> list[Tensor]:
        """The way back: new vectors (S, P) of an optimizer's networks."""
        following = iter([part.unsqueeze(0) for part in parts] if self.is_alone else parts)
        return [
            flat.packed([*islice(following, len(flat.parameters))]) for flat in self.seeds[0].optimizers[name].flats
        ]

    def decays(self, name: str) -> Sequence[float]:
        """How the weights of each network of an optimizer decay."""
        return self.seeds[0].optimizers[name].decays

    def step(self, name: str, rate: float | Tensor) -> None:
        """Step an optimizer of all seeds by the gradients of its vectors."""
        self.begin(name)
        decay_weights(self.vectors[name], self.decays(name), rate)
        self.adams[name].param_groups[0]["lr"] = rate
        self.adams[name].step()

    def begin(self, name: str) -> None:
        """See that an optimizer that is about to make steps has a state, and each seed its own part of it."""
        if name in self._shared:
            return
        self._shared.add(name)
        for vector in self.vectors[name]:
            if not (state := self.adams[name].state[vector]):
                state["step"] = torch.zeros((), device=vector.device)
                state |= {key: torch.zeros_like(vector) for key in ("exp_avg", "exp_avg_sq")}
        self._share_states(name)

    def _stack_optimizer(self, name: str) -> None:
        """Put the vectors of an optimizer, their gradients and the states of a run that goes on side by side."""
        optimizers = [seed.optimizers[name] for seed in self.seeds]
        self.trained[name], self.vectors[name], self.gradients[name] = [], [], []
        group, states = optimizers[0].param_groups[0], []
        for flats in zip(*(optimizer.flats for optimizer in optimizers), strict=True):
            vector = nn.Parameter(torch.stack([flat.vector.detach() for flat in flats]))
            vector.grad = gradients = torch.zeros_like(vector)
            for flat, row, gradient in zip(flats, vector.detach(), gradients, strict=True):
                flat.move(row, gradient)
                flat.vector.grad = gradient
            self.trained[name] += [self.names[id(parameter)] for parameter in flats[0].parameters]
            self.vectors[name].append(vector)
            self.gradients[name].append(gradients)
            # Not by index, which would leave an empty state behind, and in checkpoints.
            states.append([one.state.get(flat.vector, {}) for one, flat in zip(optimizers, flats, strict=True)])
        self.tensors |= self.parts(name, [vector.detach() for vector in self.vectors[name]])
        self.gradient_parts[name] = [*self.parts(name, self.gradients[name]).values()]
        settings = {key: group[key] for key in ("lr", "fused", "capturable")}
        self.adams[name] = adam = Adam(self.vectors[name], **settings)
        for vector, state in zip(self.vectors[name], states, strict=True):
            if state[0]:
                moments = {key: torch.stack([one[key] for one in state]) for key in ("exp_avg", "exp_avg_sq")}
                adam.state[vector] = {"step": state[0]["step"].clone(), **moments}

    def _share_states(self, name: str) -> None:
        """Let each seed's optimizer have its own part of the common one's state, from the first step on."""
        for number, seed in enumerate(self.seeds):
            for flat, vector in zip(seed.optimizers[name].flats, self.vectors[name], strict=True):
                state = self.adams[name].state[vector]
                moments = {key: state[key][number] for key in ("exp_avg", "exp_avg_sq")}
                seed.optimizers[name].state[flat.vector] = {"step": state["step"], **moments}

    def _stack_the_rest(self) -> None:
        for name, _ in (*self.first.named_parameters(), *self.first.named_buffers()):
            if name in self.tensors:
                continue
            owner, _, own = name.rpartition(".")
            tensors = [getattr(seed.algorithm.get_submodule(owner), own) for seed in self.seeds]
            self.tensors[name] = together = self.joined([tensor.detach() for tensor in tensors])
            for tensor, row in zip(tensors, () if self.is_alone else together, strict=False):
                tensor.data = row


def copy_tensors(checkpoint: dict[str, Any]) -> None:
    """Let a checkpoint of a seed have its own weights and states: a view is saved with all that it is of."""
    checkpoint["state_dict"] = {name: value.clone() for name, value in checkpoint["state_dict"].items()}
    for optimizer in checkpoint.get("optimizer_states", ()):
        states = optimizer["state"].items()  # of the optimizer itself: not to be changed
        optimizer["state"] = {k: {name: value.clone() for name, value in one.items()} for k, one in states}
