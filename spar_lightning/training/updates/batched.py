"""Updates that are tensors in, tensors out, of one seed or of several at once; each as it would be alone, to rounding.

Nothing of a trainer takes part in them, and nothing in them reads a tensor's value: so they can be compiled as a whole,
and captured.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spar_lightning.algorithms import Batch, Metrics
from spar_lightning.algorithms.algorithm import Loss
from spar_lightning.replay import Minibatches
from spar_lightning.training.checks import checked_metrics
from spar_lightning.training.updates.compiled_updates import CompiledUpdates
from spar_lightning.training.updates.mapped import clip, follow, mapped_gradients
from spar_lightning.training.updates.stack import Stack, Training
from spar_lightning.types import UserError

_READS = ("converted to Python scalars", "converted to Scalar", "Boolean value of Tensor")
"""What torch says where a tensor of several seeds is taken for a number."""

Told = list[tuple[Metrics, Batch]]
"""What the updates of a training step tell: of each seed, metrics and the last batch."""

Rates = Mapping[str, float | Tensor]
"""What changes from update to update: learning rates by optimizer, rates of averages by their first parameter."""


class BatchedExecution:
    """The learner of algorithms that differ in their seed alone: each loss is mapped over them.

    Args:
        seeds: of the same algorithm, with the same settings.
    """

    def __init__(self, seeds: Sequence[Training]) -> None:
        self._stack = Stack(seeds)
        self._rates: Rates = {}  # of the update that is being made
        self._number = 0  # of that update
        self._taus: dict[str, Callable[[int], float]] = {}  # of averages that do not follow at one rate
        self._shapes: dict[Hashable, list[tuple[int, ...]]] = {}  # phase -> of the noise that its updates ask for
        self._asked: list[tuple[int, ...]] = []
        self._whole = CompiledUpdates(self._stack) if seeds[0].compiles else None

    def run(self, minibatches: Sequence[Minibatches], update: int) -> Told:
        """Make an update of each seed's minibatches; gives for each seed what `Execution.run` gives."""
        rates = self.rates(update, len(minibatches[0]))
        self._number = update
        told = self.make(minibatches, self.phases(update, len(minibatches[0])), rates)
        self.tell(rates[-1])
        return told

    def phases(self, update: int, count: int) -> tuple[Hashable, ...]:
        """Of so many updates, the first of which has this number."""
        return tuple(self._stack.first.phase(update + number) for number in range(count))

    def rates(self, update: int, count: int) -> list[Rates]:
        """Likewise."""
        found = {name: one.rate for name, one in self._stack.seeds[0].optimizers.items()} | self._taus
        return [{name: rate(number) for name, rate in found.items()} for number in range(update, update + count)]

    def tell(self, rates: Rates) -> None:
        """Show the last rates in each seed's optimizers, for whoever looks there."""
        for seed in self._stack.seeds:
            for name, optimizer in seed.optimizers.items():
                optimizer.set_rate(rates[name])

    def make(self, minibatches: Sequence[Minibatches], phases: Sequence[Hashable], rates: Sequence[Rates]) -> Told:
        """Make the updates: of each seed as many minibatches as there are phases and rates."""
        drawn = [seed.stream.batches(one) for seed, one in zip(self._stack.seeds, minibatches, strict=True)]
        metrics: Metrics = {}
        for batches, phase, self._rates in zip(zip(*drawn, strict=True), phases, rates, strict=True):
            metrics |= self._update(self._stack.together(batches), phase)
            self._number += 1
        if self._stack.is_alone:
            return [(metrics, batches[0])]
        return [({name: value[k] for name, value in metrics.items()}, batch) for k, batch in enumerate(batches)]

    def _update(self, batch: Batch, phase: Hashable) -> Metrics:
        if self._whole is not None and phase in self._shapes:
            noise = [self._draw(shape) for shape in self._shapes[phase]]
            # Those that the first update of a phase has just made known, the others of its training step do not have.
            known = {name: tau(self._number) for name, tau in self._taus.items() if name not in self._rates}
            return self._whole.make(batch, phase, noise, {**known, **self._rates})
        self._asked = []
        algorithm = self._stack.first
        try:
            metrics = checked_metrics(algorithm, algorithm.update(batch, phase, self))
        except (RuntimeError, ValueError) as error:
            if self._stack.is_alone or not any(words in str(error) for words in _READS):
                raise
            raise UserError(
                f"`update` of {type(algorithm).__name__} reads the value of a tensor ({error}), which seeds do not have"
                " in common: choose by the phase, or with `torch.where`, or train each seed by itself"
            ) from error
        self._shapes[phase] = self._asked  # what the first of a kind asks for, all of it do
        return metrics

    # ------------------------------------------------------------------------------------------- what updates ask for

    def descend(self, name: str, loss: Loss, *arguments: Any) -> Metrics:
        """Step every seed's optimizer `name` down the gradient of its own loss."""
        gradients, metrics = mapped_gradients(self._stack, self._stack.tensors, name, loss, arguments)
        torch._foreach_copy_(self._stack.gradient_parts[name], gradients)
        clip(self._stack.gradients[name], self._stack.seeds[0].clip_norm)
        self._stack.step(name, self._rates[name])
        return metrics

    def follow(self, average: nn.Module, source: nn.Module, tau: float | Callable[[int], float]) -> None:
        """Move every seed's slow copy."""
        if callable(tau):
            name = self._stack.name(average)
            self._taus[name] = tau  # known by the time that such updates are compiled or captured
            rate = self._rates[name] if name in self._rates else tau(self._number)
        else:
            rate = tau
        follow(self._stack, self._stack.tensors, average, source, rate)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, each seed's own, as losses see them."""
        self._asked.append(shape)
        return self._draw(shape)

    def _draw(self, shape: tuple[int, ...]) -> Tensor:
        generators = [seed.generator for seed in self._stack.seeds]
        return self._stack.joined([torch.randn(*shape, generator=one, device=one.device) for one in generators])
