"""A training without Lightning: for what is fitted on the way, and leaves nothing behind but its networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from spar_lightning.algorithms import Algorithm, Metrics
from spar_lightning.algorithms.algorithm import Loss
from spar_lightning.replay import Minibatches, Transitions
from spar_lightning.training.flat import Averages
from spar_lightning.training.optimizers import FlatAdam
from spar_lightning.training.stream import NetworkUnits
from spar_lightning.types import DatasetStatistics


class Alone:
    """A learner that makes updates as they are written, in full precision.

    Args:
        algorithm: what is trained, on its device.
        max_updates: of its training.
        generator: of the noise, on that device.
    """

    def __init__(self, algorithm: Algorithm, max_updates: int, generator: torch.Generator) -> None:
        self.optimizers = {name: FlatAdam(one, True) for name, one in algorithm.optimizers(max_updates).items()}
        self.made = 0
        """Updates so far."""
        self._generator = generator
        self._averages = Averages()

    def descend(self, name: str, loss: Loss, *arguments: Any) -> Metrics:
        """Step the optimizer `name` down the gradient of `loss(*arguments)`."""
        optimizer = self.optimizers[name]
        value, metrics = loss(*arguments)
        optimizer.clear_gradients()
        value.backward(inputs=optimizer.parameters)  # type: ignore[no-untyped-call]
        optimizer.gather_gradients()
        optimizer.set_rate(optimizer.rate(self.made))
        optimizer.step()
        return metrics

    def follow(self, average: nn.Module, source: nn.Module, tau: float | Callable[[int], float]) -> None:
        """Move a network's slow copy."""
        self._averages.move(average, source, tau, self.made)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers."""
        return torch.randn(*shape, generator=self._generator, device=self._generator.device)


def train_alone(
    algorithm: Algorithm,
    transitions: Transitions,
    statistics: DatasetStatistics,
    indices: Iterable[Tensor],
    max_updates: int,
    goes_on: Callable[[int], bool] = lambda _: True,
) -> bool:
    """Train an algorithm on the CPU, or on the device that its data are on.

    Args:
        algorithm: to be trained.
        transitions: its data, in their own units; derived columns are added.
        statistics: of the data.
        indices: of the transitions (B,) int64 of each batch, at least `max_updates` of them.
        max_updates: to be made.
        goes_on: asked after each update, with the number that were made.

    Returns:
        Whether all were made.
    """
    device = transitions.device
    algorithm.to(device).take_statistics(statistics)
    stream = NetworkUnits(transitions, algorithm.normalizer, device)
    with torch.autocast(device.type, enabled=False), torch.enable_grad():
        with torch.no_grad():
            stream.store(algorithm.prepare(stream, 0, max_updates))
        learner = Alone(algorithm, max_updates, torch.Generator(device).manual_seed(0))
        for learner.made, rows in zip(range(max_updates), indices, strict=False):
            minibatches = Minibatches(transitions, rows.to(device).unsqueeze(0))
            (batch,) = stream.batches(minibatches)
            algorithm.update(batch, algorithm.phase(learner.made), learner)
            if not goes_on(learner.made + 1):
                return False
    return True
