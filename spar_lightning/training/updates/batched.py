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
from spar_lightning.training.updates.compiled_updates import CompiledUpdates, Taus
from spar_lightning.training.updates.flat import check_average
from spar_lightning.training.updates.mapped import clip, follow, mapped_gradients
from spar_lightning.training.updates.stack import Stack, Training
from spar_lightning.types import UserError

# What torch says where a tensor is taken for a number, and what to say of it: "which ..."
_MAPPED = dict.fromkeys(
    ("converted to Python scalars", "converted to Scalar", "Boolean value of Tensor"),
    "seeds do not have in common: choose by the phase, or with `torch.where`, or train each seed by itself",
)
_TRACED = {
    "get value out of a tracing tensor": "a compiled update does not know beforehand: choose by the phase, or with"
    " `torch.where`, or leave `compile` out"
}

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
        self._taus: Taus = {}  # by the time that updates are captured, all of them are known
        self._whole = CompiledUpdates(self._stack, self._taus) if seeds[0].compiles else None

    def run(self, minibatches: Sequence[Minibatches], update: int) -> Told:
        """Make an update of each seed's minibatches; gives for each seed what `Execution.run` gives."""
        self._stack.check_place()
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
        try:
            if self._whole is not None:
                return self._whole.make(batch, phase, self._number, self._rates)
            return checked_metrics(self._stack.first, self._stack.first.update(batch, phase, self))
        except (RuntimeError, ValueError) as error:
            known = _TRACED if self._stack.is_alone else _TRACED | _MAPPED
            why = next((why for words, why in known.items() if words in str(error)), None)
            if why is None:
                raise
            raise UserError(
                f"`update` of {type(self._stack.first).__name__} reads the value of a tensor ({error}), which {why}"
            ) from error

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
        check_average(average)
        if callable(tau):
            name = self._stack.name(average)
            self._taus[name] = tau
            rate = self._rates[name] if name in self._rates else tau(self._number)
        else:
            rate = tau
        follow(self._stack, self._stack.tensors, average, source, rate)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, each seed's own, as losses see them."""
        return self._stack.noise(shape)
