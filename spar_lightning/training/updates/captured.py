"""Updates on a GPU that do not wait for Python: those of a training step as one CUDA graph, of one seed or several.

Not run on a GPU yet as it stands here, nor with compiled updates: `tests/training/test_captured.py`, behind the marker
`cuda`, says what must hold; there too a CPU plays the graph. What is recorded is tested in `test_batched.py`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from spar_lightning.replay import Minibatches
from spar_lightning.training.updates.batched import BatchedExecution, Told
from spar_lightning.training.updates.stack import Training

MOST_GRAPHS = 32
"""That are kept; each holds memory of its own, and the one that was not replayed for the longest time makes room."""


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

    A graph has a power of two of updates, so that few are enough however training steps are parted. A sequence of
    phases is first made as it is, which also lets compilers and libraries set themselves up, and recorded after that.
    What changes from replay to replay lies in tensors: which transitions, learning rates, and the states of the
    generators of random numbers, which the graph takes from torch. Metrics are read when someone asks for them.
    """

    def __init__(self, seeds: Sequence[Training]) -> None:
        super().__init__(seeds)
        self._made: set[tuple[Hashable, ...]] = set()
        self.captured: dict[tuple[Hashable, ...], Captured] = {}
        self._side = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def run(self, minibatches: Sequence[Minibatches], update: int) -> Told:
        """Make the updates, by replays if there were such updates before."""
        self._stack.check_place()
        told: Told = []
        for start, stop in powers_of_two(len(minibatches[0])):
            found = self._replayed([one.part(start, stop) for one in minibatches], update + start)
            earlier = [metrics for metrics, _ in told] or [{} for _ in found]
            told = [(before | metrics, last) for before, (metrics, last) in zip(earlier, found, strict=True)]
        return told

    def _replayed(self, minibatches: Sequence[Minibatches], update: int) -> Told:
        count = len(minibatches[0])
        phases, memory = self.phases(update, count), self._memory(minibatches)
        found = self.captured.pop(phases, None)
        if found is None or found.memory != memory:
            if phases not in self._made:
                self._made.add(phases)
                return self._made_aside(minibatches, update)
            if len(self.captured) >= MOST_GRAPHS:
                del self.captured[next(iter(self.captured))]
            found = self._capture(minibatches, phases, memory)
        self.captured[phases] = found  # the last of them
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


def powers_of_two(count: int) -> list[tuple[int, int]]:
    """Parts of a whole, the largest first, each of a power of two.

    >>> powers_of_two(10)
    [(0, 8), (8, 10)]
    """
    sizes = [1 << bit for bit in reversed(range(count.bit_length())) if count >> bit & 1]
    ends = [*accumulate(sizes)]
    return list(zip([0, *ends], ends, strict=False))
