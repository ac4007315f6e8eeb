"""Updates on a GPU that do not wait for Python: those of a training step as one CUDA graph, of one seed or several.

Not run on a GPU yet as it stands here, nor with compiled updates: `tests/training/test_captured.py`, behind the marker
`cuda`, says what must hold. What is recorded runs on a CPU in `tests/training/test_batched.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from spar_lightning.replay import Minibatches
from spar_lightning.training.batched import BatchedExecution, Told
from spar_lightning.training.stack import Seed

MOST_GRAPHS = 16
"""Kinds of training steps that are recorded; each holds memory of its own, and further ones are made as written."""


class Captured(NamedTuple):
    """The updates of some phases, one after the other, in fixed memory."""

    graph: torch.cuda.CUDAGraph
    indices: list[Tensor]  # of each seed (K, B) int64, of the transitions that they are about: written before a replay
    rates: Tensor  # (K, rates), likewise
    names: list[str]  # of the rates
    told: Told  # written by each replay
    memory: tuple[int, ...]  # where parameters and data were: elsewhere it would read what is no more


class CapturedExecution(BatchedExecution):
    """Replays updates that were recorded once: the same kernels on the same memory, launched together.

    A sequence of phases is first made as it is, which also lets compilers and libraries set themselves up, and recorded
    after that. What changes from replay to replay lies in tensors: which transitions, learning rates, and the states of
    the generators of random numbers, which the graph takes from torch. Metrics are read when someone asks for them.
    """

    def __init__(self, seeds: Sequence[Seed]) -> None:
        super().__init__(seeds)
        self._rehearsals = 2 if seeds[0].compiles else 1  # a compiled update is one only when the second is made
        self._made: Counter[tuple[Hashable, ...]] = Counter()
        self.captured: dict[tuple[Hashable, ...], Captured] = {}
        self._side = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def run(self, minibatches: Sequence[Minibatches], update: int) -> Told:
        """Make the updates, by a replay if there were such updates before."""
        count = len(minibatches[0])
        phases, memory = self.phases(update, count), self._memory(minibatches)
        self._made[phases] += 1
        found = self.captured.get(phases)
        if found is None or found.memory != memory:
            is_full = len(self.captured) >= MOST_GRAPHS and phases not in self.captured
            if self._made[phases] <= self._rehearsals or is_full:
                return self._made_aside(minibatches, update)
            found = self.captured[phases] = self._capture(minibatches, phases, memory)
        for indices, one in zip(found.indices, minibatches, strict=True):
            indices.copy_(one.indices)
        rates = [[one[name] for name in found.names] for one in self.rates(update, count)]
        # From pinned memory: any other copy would wait for the replay before.
        found.rates.copy_(torch.tensor(rates).pin_memory(), non_blocking=True)
        found.graph.replay()
        self.tell(dict(zip(found.names, found.rates[-1], strict=True)))
        return found.told

    def _memory(self, minibatches: Sequence[Minibatches]) -> tuple[int, ...]:
        data = [one.transitions.column("observations").data_ptr() for one in minibatches]
        parameters = [parameter.data_ptr() for seed in self._stack.seeds for parameter in seed.algorithm.parameters()]
        return (*data, *parameters)

    def _made_aside(self, minibatches: Sequence[Minibatches], update: int) -> Told:
        """As they are, on the kind of stream that a recording needs."""
        self._side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._side):
            told = super().run(minibatches, update)
        torch.cuda.current_stream().wait_stream(self._side)
        return told

    def _capture(
        self, minibatches: Sequence[Minibatches], phases: Sequence[Hashable], memory: tuple[int, ...]
    ) -> Captured:
        """Record the updates without making them."""
        torch.clear_autocast_cache()  # what was cast before lies outside of the graph's memory
        graph, copies = torch.cuda.CUDAGraph(), [one.indices.clone() for one in minibatches]
        for seed in self._stack.seeds:
            graph.register_generator_state(seed.generator)
        names = [*self._stack.adams, *self._taus]
        rates = torch.zeros(len(phases), len(names), device=self._stack.device)
        with torch.cuda.graph(graph):
            given = [Minibatches(one.transitions, copy) for one, copy in zip(minibatches, copies, strict=True)]
            told = self.make(given, phases, [dict(zip(names, row, strict=True)) for row in rates])
        torch.clear_autocast_cache()
        return Captured(graph, copies, rates, names, told, memory)


def joint_execution(seeds: Sequence[Seed]) -> BatchedExecution:
    """What makes the updates of seeds together: captured where those of each can be."""
    return CapturedExecution(seeds) if all(seed.captures for seed in seeds) else BatchedExecution(seeds)
