"""Whole updates, each kind compiled as one program: losses, gradients, Adam's steps and averages."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from spar_lightning.algorithms import Batch, Metrics
from spar_lightning.algorithms.algorithm import Loss
from spar_lightning.training.checks import checked_metrics
from spar_lightning.training.updates.flat import check_average
from spar_lightning.training.updates.mapped import clip, follow, mapped_gradients
from spar_lightning.training.updates.optimizers import adam_step, decay_weights
from spar_lightning.training.updates.products import FasterProducts
from spar_lightning.training.updates.stack import Stack
from spar_lightning.types import UserError

_SKIPS_GUARDS = hasattr(torch.compiler, "skip_all_guards_unsafe")  # torch 2.9
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")

Shape = tuple[int, ...]
Update = Callable[[list[Tensor]], Metrics]
Taus = dict[str, Callable[[int], float]]
"""How averages follow that do not at one rate, by their first parameter: rates by the update's number."""


class _Program(NamedTuple):
    shapes: list[Shape]  # of the noise that it is given
    stepped: list[str]  # optimizers whose vectors and moments it is given
    rates: list[str]  # that it is given
    run: Update


class CompiledUpdates:
    """Updates as programs of tensors; each is written down operation by operation before the first of its kind.

    That is done with copies of all that they change, and what is written down is compiled: no part of the algorithm's
    code is left in it, so it need not be code that a compiler understands, and what that code reads of Python's own
    (numbers, attributes) stays as it was then.

    Args:
        stack: of the seeds.
        taus: where it tells of averages that do not follow at one rate.
    """

    def __init__(self, stack: Stack, taus: Taus) -> None:
        self._stack, self._taus = stack, taus
        self._programs: dict[Hashable, _Program] = {}

    def make(self, batch: Batch, phase: Hashable, number: int, rates: Mapping[str, float | Tensor]) -> Metrics:
        """Make the update of this number, with rates of optimizers and of averages that are known to need one."""
        given = [*_fields(batch), *batch.columns.values()]
        kind = phase, *batch.columns, *((tensor.shape, tensor.dtype) for tensor in given)
        if kind not in self._programs:
            if not self._programs:
                rank_zero_info("updates are compiled: the first of each kind takes seconds, or a minute")
            with _unchanged(self._stack):
                self._programs[kind] = self._written(batch, given, phase)
        program = self._programs[kind]
        noise = [self._stack.noise(shape) for shape in program.shapes]
        # An average that has only now become known has no rate yet, up to the end of the training step.
        found = [rates[name] if name in rates else self._taus[name](number) for name in program.rates]
        tensors = [*self._memory(program.stepped), *given, *noise, *self._tensors(found)]
        with torch.no_grad(), torch.autocast(self._stack.device.type, enabled=False):  # types were chosen as written
            try:
                return program.run(tensors)
            except AssertionError as error:
                raise UserError(
                    f"an update met tensors of other shapes than when it was compiled ({_first_line(error)}): expected"
                    " shapes that depend on no value of a tensor; change the loss, or leave `compile` out"
                ) from error
            except RuntimeError as error:
                if not type(error).__module__.startswith("torch._"):  # of no compiler
                    raise
                raise UserError(
                    f"an update could not be compiled ({_first_line(error)}): if a compilation was broken off before,"
                    " delete the folder of what was compiled, `torchinductor_...` among temporary files or the one"
                    " that TORCHINDUCTOR_CACHE_DIR names; or leave `compile` out"
                ) from error

    def _written(self, batch: Batch, given: Sequence[Tensor], phase: Hashable) -> _Program:
        """The program of a kind of update, by an update that is made with copies of all that it changes."""
        rehearsal = _Rehearsal(self._stack)
        checked_metrics(self._stack.first, self._stack.first.update(batch, phase, rehearsal))
        self._taus |= rehearsal.taus
        for name in rehearsal.stepped:
            self._stack.begin(name)
        stepped, noise, rates = rehearsal.stepped, rehearsal.noise, [*rehearsal.stepped, *rehearsal.taus]
        tensors = [*self._memory(stepped), *given, *noise, *self._tensors([0.0] * len(rates))]

        def update(tensors: list[Tensor]) -> Metrics:
            following = iter(tensors)
            learner = _Traced(self._stack, stepped, self._others(stepped), following)
            observations, actions, rewards, next_observations, terminations = islice(following, 5)
            columns = dict(zip(batch.columns, following))  # noqa: B905 - more are given
            traced = Batch(observations, actions, rewards, next_observations, terminations, columns)
            learner.noise = iter([*islice(following, len(noise))])
            learner.rates = dict(zip(rates, following, strict=True))
            with FasterProducts():  # type: ignore[no-untyped-call]
                return self._stack.first.update(traced, phase, learner)

        return _Program(rehearsal.shapes, stepped, rates, _compiled(update, tensors))

    def _tensors(self, rates: Sequence[float | Tensor]) -> list[Tensor]:
        dtype = next(self._stack.first.parameters()).dtype
        return [torch.as_tensor(rate, dtype=dtype, device=self._stack.device) for rate in rates]

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


@contextmanager
def _unchanged(stack: Stack) -> Iterator[None]:
    """Give all tensors, and torch's own random numbers, back as they were: an algorithm may change some by itself."""
    kept = {name: tensor.clone() for name, tensor in stack.tensors.items()}
    with torch.random.fork_rng([stack.device] if stack.device.type == "cuda" else []):
        yield
    with torch.no_grad():
        for name, tensor in stack.tensors.items():
            tensor.copy_(kept[name])


def _compiled(
    update: Callable[[list[Tensor]], Metrics], tensors: Sequence[Tensor]
) -> Callable[[list[Tensor]], Metrics]:
    """An update as it was with copies of these tensors, for others of the same shapes."""
    from torch.fx.experimental.proxy_tensor import make_fx  # takes a while, and few need it

    torch.clear_autocast_cache()  # what was cast before is no part of the program
    written = make_fx(update)([tensor.clone() for tensor in tensors])
    torch.clear_autocast_cache()
    # Whether its tensors are what they were is not asked anew at each call: they are, and asking takes a twentieth.
    options: Any = {"guard_filter_fn": torch.compiler.skip_all_guards_unsafe} if _SKIPS_GUARDS else None
    compiled: Update = torch.compile(written.forward, dynamic=False, fullgraph=True, options=options)
    return compiled


def _first_line(error: Exception) -> str:
    """Of what a compiler says, without its title."""
    lines = [line for line in str(error).splitlines() if line and not line.endswith(":")]
    return lines[0] if lines else type(error).__name__


class _Rehearsal:
    """The learner of an update that changes nothing, and tells what it asks for."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._tensors = {name: tensor.clone() for name, tensor in stack.tensors.items()}
        self.shapes: list[Shape] = []  # of noise, of each seed
        self.noise: list[Tensor] = []  # of all
        self.stepped: list[str] = []
        self.taus: Taus = {}

    def descend(self, name: str, loss: Loss, *arguments: Any) -> Metrics:
        """The metrics of a loss."""
        _, metrics = mapped_gradients(self._stack, self._tensors, name, loss, arguments)
        if name not in self.stepped:
            self.stepped.append(name)
        return metrics

    def follow(self, average: nn.Module, source: nn.Module, tau: float | Callable[[int], float]) -> None:  # noqa: ARG002
        """Nothing."""
        check_average(average)
        if callable(tau):
            self.taus[self._stack.name(average)] = tau

    def normal(self, *shape: int) -> Tensor:
        """Zeros."""
        self.shapes.append(shape)
        self.noise.append(self._stack.joined([torch.zeros(shape, device=self._stack.device)] * len(self._stack.seeds)))
        return self.noise[-1]


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
