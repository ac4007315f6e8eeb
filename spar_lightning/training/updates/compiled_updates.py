"""Whole updates, each kind compiled as one program: losses, gradients, Adam's steps and averages."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from spar_lightning.algorithms import Batch, Metrics
from spar_lightning.algorithms.algorithm import Loss
from spar_lightning.training.updates.mapped import clip, follow, mapped_gradients
from spar_lightning.training.updates.optimizers import adam_step, decay_weights
from spar_lightning.training.updates.stack import Stack

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class _Program(NamedTuple):
    stepped: list[str]  # optimizers whose vectors and moments it is given
    rates: list[str]  # that it is given
    run: Callable[[list[Tensor]], Metrics]


class CompiledUpdates:
    """Updates as programs of tensors; each is written down operation by operation when the first of its kind is made.

    That is done with copies of all that they change, and what is written down is compiled: no part of the algorithm's
    code is left in it, so it need not be code that a compiler understands.

    Args:
        stack: of the seeds. The first update of each kind is made before, as it is written: so optimizers have states,
            and it is known which averages follow at rates that change.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._programs: dict[Hashable, _Program] = {}

    def make(
        self, batch: Batch, phase: Hashable, noise: Sequence[Tensor], rates: Mapping[str, float | Tensor]
    ) -> Metrics:
        """Make an update, with this noise in the order in which it asks for some."""
        given = [*_fields(batch), *batch.columns.values(), *noise]
        if phase not in self._programs:
            stepped = [name for name, adam in self._stack.adams.items() if adam.state]
            tensors = [*self._memory(stepped), *given, *self._tensors(rates, list(rates))]
            run = self._compiled(tensors, stepped, phase, list(batch.columns), len(noise), list(rates))
            self._programs[phase] = _Program(stepped, list(rates), run)
        program = self._programs[phase]
        with torch.no_grad(), torch.autocast(self._stack.device.type, enabled=False):  # types were chosen as written
            return program.run([*self._memory(program.stepped), *given, *self._tensors(rates, program.rates)])

    def _tensors(self, rates: Mapping[str, float | Tensor], names: Sequence[str]) -> list[Tensor]:
        return [torch.as_tensor(rates[name], dtype=torch.float32, device=self._stack.device) for name in names]

    def _memory(self, stepped: Sequence[str]) -> list[Tensor]:
        """What updates read and change: vectors and moments of optimizers, and all other tensors."""
        found = []
        for name in stepped:
            for vector in self._stack.vectors[name]:
                found += [vector.detach(), *(self._stack.adams[name].state[vector][key] for key in _MOMENTS)]
        return found + [self._stack.tensors[name] for name in self._others(stepped)]

    def _others(self, stepped: Sequence[str]) -> list[str]:
        known = {key for name in stepped for key in self._stack.trained[name]}
        return [name for name in self._stack.tensors if name not in known]

    def _compiled(
        self,
        tensors: list[Tensor],
        stepped: list[str],
        phase: Hashable,
        columns: list[str],
        noises: int,
        rates: list[str],
    ) -> Callable[[list[Tensor]], Metrics]:
        from torch.fx.experimental.proxy_tensor import make_fx  # takes a while, and few need it

        def update(tensors: list[Tensor]) -> Metrics:
            following = iter(tensors)
            learner = _Traced(self._stack, stepped, self._others(stepped), following)
            observations, actions, rewards, next_observations, terminations = islice(following, 5)
            derived = dict(zip(columns, following))  # noqa: B905 - more are given
            batch = Batch(observations, actions, rewards, next_observations, terminations, derived)
            learner.noise = iter([*islice(following, noises)])
            learner.rates = dict(zip(rates, following, strict=True))
            return self._stack.first.update(batch, phase, learner)

        torch.clear_autocast_cache()  # what was cast before is no part of the program
        written = make_fx(update)([tensor.clone() for tensor in tensors])
        torch.clear_autocast_cache()
        compiled: Callable[[list[Tensor]], Metrics] = torch.compile(written, dynamic=False, fullgraph=True)
        return compiled


class _Traced:
    """The learner of an update that is written down: it knows the tensors that the program is given, and no others."""

    def __init__(self, stack: Stack, stepped: Sequence[str], others: Sequence[str], given: Iterator[Tensor]) -> None:
        self._stack = stack
        self._vectors: dict[str, list[Tensor]] = {}
        self._moments: dict[str, list[tuple[Any, ...]]] = {}
        self._tensors: dict[str, Tensor] = {}
        self.noise: Iterator[Tensor] = iter(())
        self.rates: dict[str, Tensor] = {}
        for name in stepped:
            each = [tuple(islice(given, 1 + len(_MOMENTS))) for _ in stack.vectors[name]]
            self._vectors[name], self._moments[name] = [one[0] for one in each], [one[1:] for one in each]
            self._tensors |= stack.parts(name, self._vectors[name])
        self._tensors |= dict(zip(others, given))  # noqa: B905 - more are given

    def descend(self, name: str, loss: Loss, *arguments: Any) -> Metrics:
        """Step every seed's optimizer `name` down the gradient of its own loss."""
        found, metrics = mapped_gradients(self._stack, self._tensors, name, loss, arguments)
        gradients = self._stack.packed(name, found)
        clip(gradients, self._stack.seeds[0].clip_norm)
        decay_weights(self._vectors[name], self._stack.decays(name), self.rates[name])
        group = self._stack.adams[name].param_groups[0]
        for vector, gradient, moments in zip(self._vectors[name], gradients, self._moments[name], strict=True):
            adam_step(vector, gradient, moments, self.rates[name], group)
        return metrics

    def follow(self, average: nn.Module, source: nn.Module, tau: float | Callable[[int], float]) -> None:
        """Move every seed's slow copy."""
        rate = self.rates[self._stack.name(average)] if callable(tau) else tau
        follow(self._stack, self._tensors, average, source, rate)

    def normal(self, *_: int) -> Tensor:
        """The noise that it was given."""
        return next(self.noise)


def _fields(batch: Batch) -> list[Tensor]:
    """All but the columns."""
    return [batch.observations, batch.actions, batch.rewards, batch.next_observations, batch.terminations]
