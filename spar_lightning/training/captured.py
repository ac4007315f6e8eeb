"""Updates on a GPU that do not wait for Python: those of a training step as one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import lightning.pytorch as pl
import torch
from lightning.pytorch.strategies import ParallelStrategy
from torch import Tensor, nn

from spar_lightning.algorithms import Batch, Metrics
from spar_lightning.replay import Minibatches, Transitions
from spar_lightning.training.execution import Execution
from spar_lightning.training.optimizers import FlatAdam
from spar_lightning.types import UserError

GRADIENT_HOOKS = ("on_before_backward", "on_after_backward", "on_before_optimizer_step", "on_before_zero_grad")
"""Hooks of callbacks that see gradients in the middle of an update."""


MOST_GRAPHS = 16
"""Kinds of training steps that are recorded; each holds memory of its own, and further ones are made as written."""


class Captured(NamedTuple):
    """The updates of some phases, one after the other, in fixed memory."""

    graph: torch.cuda.CUDAGraph
    indices: Tensor  # (K, B) int64, of the transitions that they are about: written before each replay
    rates: Tensor  # (optimizers and averages, K), likewise
    metrics: Metrics  # written by each replay
    batch: Batch  # the last one, likewise
    memory: tuple[int, ...]  # where parameters and data were: elsewhere it would read what is no more


class CapturedExecution(Execution):
    """Replays updates that were recorded once: the same kernels on the same memory, launched together.

    A sequence of phases is first made as it is written, which also lets libraries set themselves up, and recorded the
    second time. What changes from replay to replay lies in tensors: which transitions, learning rates, and the state of
    the generator of random numbers, which the graph takes from torch. Metrics are read when someone asks for them.
    """

    def __init__(self, *arguments: Any, clip_norm: float | None, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._clip_norm = clip_norm
        self._seen: set[tuple[Hashable, ...]] = set()
        self._captured: dict[tuple[Hashable, ...], Captured] = {}
        self._side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._taus: dict[nn.Module, Callable[[int], float]] = {}  # of averages that do not follow at one rate
        self._rates: Tensor | None = None  # while updates are recorded
        self._number = 0

    def run(self, minibatches: Minibatches, update: int) -> tuple[Metrics, Batch]:
        """Make the updates, by a replay if there were such updates before."""
        phases = tuple(self._algorithm.phase(update + number) for number in range(len(minibatches)))
        if phases not in self._seen:
            self._seen.add(phases)
            return self._made_aside(minibatches, update)
        found, memory = self._captured.get(phases), self._memory(minibatches)
        if found is None or found.memory != memory:
            if len(self._captured) >= MOST_GRAPHS and phases not in self._captured:
                return self._made_aside(minibatches, update)
            found = self._captured[phases] = self._capture(minibatches, phases, memory)
        found.indices.copy_(minibatches.indices)
        changing = [*(one.rate for one in self.optimizers.values()), *self._taus.values()][: len(found.rates)]
        rates = [[rate(update + n) for n in range(len(phases))] for rate in changing]
        # From pinned memory: any other copy would wait for the replay before.
        found.rates.copy_(torch.tensor(rates).pin_memory(), non_blocking=True)
        found.graph.replay()
        for number, optimizer in enumerate(self.optimizers.values()):  # for whoever looks at it
            optimizer.set_rate(found.rates[number, -1])
        return found.metrics, found.batch

    def _memory(self, minibatches: Minibatches) -> tuple[int, ...]:
        data = minibatches.transitions.column("observations").data_ptr()
        return (data, *(parameter.data_ptr() for parameter in self._algorithm.parameters()))

    def _made_aside(self, minibatches: Minibatches, update: int) -> tuple[Metrics, Batch]:
        """As they are written, on the kind of stream that a recording needs."""
        self._side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._side):
            told = super().run(minibatches, update)
        torch.cuda.current_stream().wait_stream(self._side)
        return told

    def _capture(self, minibatches: Minibatches, phases: Sequence[Hashable], memory: tuple[int, ...]) -> Captured:
        """Record the updates without making them."""
        torch.clear_autocast_cache()  # what was cast before lies outside of the graph's memory
        graph, indices = torch.cuda.CUDAGraph(), minibatches.indices.clone()
        graph.register_generator_state(self._generator)
        self._rates = torch.zeros(len(self.optimizers) + len(self._taus), len(phases), device=indices.device)
        metrics: Metrics = {}
        with torch.cuda.graph(graph):
            batches = self._stream.batches(Minibatches(minibatches.transitions, indices))
            for (self._number, phase), batch in zip(enumerate(phases), batches, strict=True):
                metrics |= self._algorithm.update(batch, phase, self)
        rates, self._rates = self._rates, None
        return Captured(graph, indices, rates, metrics, batch, memory)

    def _differentiate(self, value: Tensor, keywords: dict[str, Any]) -> None:
        value.backward(**keywords)  # type: ignore[no-untyped-call]

    def _step(self, name: str, optimizer: FlatAdam) -> None:
        if self._rates is None:
            optimizer.set_rate(torch.tensor(optimizer.rate(self._update), device=self._module.device))
        else:
            optimizer.set_rate(self._rates[list(self.optimizers).index(name), self._number])
        if self._clip_norm is not None:
            torch.nn.utils.clip_grad_norm_([flat.vector for flat in optimizer.flats], self._clip_norm)
        optimizer.step()

    def _rate_of(self, average: nn.Module, tau: Callable[[int], float]) -> Tensor:
        if self._rates is None:
            self._taus[average] = tau  # known by the time that such updates are recorded
            return torch.tensor(tau(self._update), device=self._module.device)
        return self._rates[len(self.optimizers) + list(self._taus).index(average), self._number]


def obstacle(trainer: pl.Trainer, transitions: Transitions) -> str | None:
    """Why updates cannot be captured, None where they can be."""
    device = trainer.strategy.root_device
    if device.type != "cuda":
        return "they are not on a CUDA device"
    if trainer.precision == "16-mixed":
        return "16-mixed precision looks at gradients after each update: bf16-mixed does not"
    if isinstance(trainer.strategy, ParallelStrategy):
        return "processes exchange gradients"
    if transitions.device != device:
        return "the transitions are on disk, not on the device"
    return _gradient_callback(trainer)


def check_joint(trainer: pl.Trainer, compiles: bool) -> None:
    """See that updates of several seeds can be made together.

    Raises:
        UserError: if something is asked for that only updates of one seed have.
    """
    reason = _gradient_callback(trainer)
    if isinstance(trainer.strategy, ParallelStrategy):
        reason = f"`trainer.strategy` is {type(trainer.strategy).__name__}: use --trainer.devices 1"
    elif trainer.precision == "16-mixed":
        reason = "`trainer.precision` is 16-mixed: use bf16-mixed or 32-true"
    elif compiles:
        reason = "`model.compile` is true: leave it out"
    if reason is not None:
        raise UserError(f"several seeds cannot be trained together: {reason}; or train them one by one")


def _gradient_callback(trainer: pl.Trainer) -> str | None:
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        for hook in GRADIENT_HOOKS:
            if getattr(type(callback), hook) is not getattr(pl.Callback, hook):
                return f"{type(callback).__name__} looks at gradients in the middle of an update"
    return None
