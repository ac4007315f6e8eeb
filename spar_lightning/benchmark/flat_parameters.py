"""What it is worth that each network's parameters lie in one vector.

Updates of TD3+BC and SPAR, with Adam and averages over vectors, and with both over the parameters themselves; windows
of the two take turns. Without a trainer, on the CPU: `python -m spar_lightning.benchmark.flat_parameters`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Adam

from spar_lightning.algorithms import BC, SPAR, TD3BC, Algorithm, Batch, Metrics
from spar_lightning.algorithms.algorithm import Loss
from spar_lightning.benchmark.settings import ACTION_DIM, OBSERVATION_DIM
from spar_lightning.functional import update_average
from spar_lightning.training.updates.flat import flat_parameters
from spar_lightning.training.updates.optimizers import FlatAdam

BATCH_SIZE = 256


class FlatLearner:
    """Steps and averages vectors, as a training does."""

    def __init__(self, algorithm: Algorithm) -> None:
        self._adams = {name: FlatAdam(one, fused=True) for name, one in algorithm.optimizers(-1).items()}

    def descend(self, name: str, loss: Loss, *arguments: Any) -> Metrics:
        """As `Execution.descend`."""
        adam = self._adams[name]
        value, metrics = loss(*arguments)
        adam.clear_gradients()
        value.backward(inputs=adam.parameters)  # type: ignore[no-untyped-call]
        adam.gather_gradients()
        adam.step()
        return metrics

    def follow(self, average: nn.Module, source: nn.Module, tau: float | Callable[[int], float]) -> None:
        """One vector."""
        update_average([flat_parameters(average)], [flat_parameters(source)], tau(0) if callable(tau) else tau)

    def normal(self, *shape: int) -> Tensor:
        """Torch's own numbers."""
        return torch.randn(*shape)


class ListLearner(FlatLearner):
    """Steps and averages the parameters themselves."""

    def __init__(self, algorithm: Algorithm) -> None:
        self._parameters = {
            name: [parameter for network in one.networks for parameter in network.parameters()]
            for name, one in algorithm.optimizers(-1).items()
        }
        self._lists = {name: Adam(found, lr=3e-4, fused=True) for name, found in self._parameters.items()}

    def descend(self, name: str, loss: Loss, *arguments: Any) -> Metrics:
        """With torch's fused Adam."""
        value, metrics = loss(*arguments)
        self._lists[name].zero_grad()
        value.backward(inputs=self._parameters[name])  # type: ignore[no-untyped-call]
        self._lists[name].step()
        return metrics

    def follow(self, average: nn.Module, source: nn.Module, tau: float | Callable[[int], float]) -> None:
        """All parameters in one call."""
        update_average([*average.parameters()], [*source.parameters()], tau(0) if callable(tau) else tau)


def random_batch() -> Batch:
    """Of the columns that SPAR reads after its warm-up, too."""
    actions = torch.rand(BATCH_SIZE, ACTION_DIM) * 2 - 1
    columns = {"base_actions": actions, "base_deviations": actions.abs() + 0.1, "returns": torch.randn(BATCH_SIZE)}
    observations = torch.randn(2, BATCH_SIZE, OBSERVATION_DIM)
    rewards = torch.randn(BATCH_SIZE)
    return Batch(observations[0], actions, rewards, observations[1], torch.zeros(BATCH_SIZE), columns)


def make(kind: str) -> Algorithm:
    """An algorithm with networks of the default widths, in the phase that it spends most of its time in."""
    if kind == "td3_bc":
        return TD3BC(OBSERVATION_DIM, ACTION_DIM)
    return SPAR(BC(OBSERVATION_DIM, ACTION_DIM), freeze_critic=False, warmup_steps=0, manifold_steps=0)


def ratio(kind: str, rounds: int, window: int) -> float:
    """Median over rounds of how much faster vectors are: more than 1 where they pay."""
    algorithms, batch = [make(kind), make(kind)], random_batch()
    learners = [FlatLearner(algorithms[0]), ListLearner(algorithms[1])]
    found, number = [], 0
    for _ in range(rounds + 1):
        seconds = []
        for algorithm, learner in zip(algorithms, learners, strict=True):
            began = time.process_time()
            for update in range(number, number + window):
                algorithm.update(batch, algorithm.phase(update), learner)
            seconds.append(time.process_time() - began)
        number += window
        found.append(seconds[1] / seconds[0])
    return float(np.median(found[1:]))  # the first warms up


if __name__ == "__main__":
    torch.set_num_threads(1)
    rounds, window = (int(argument) for argument in (sys.argv[1:] or ["7", "50"]))
    for kind in ("td3_bc", "spar"):
        print(f"{kind}: {ratio(kind, rounds, window):.2f} times as fast with vectors")
