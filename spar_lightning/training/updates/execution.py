"""How updates run under Lightning: one by one, as they are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.strategies import ParallelStrategy
from torch import Tensor, nn

from spar_lightning.algorithms import Algorithm, Batch, Metrics
from spar_lightning.algorithms.algorithm import Loss
from spar_lightning.replay import Minibatches
from spar_lightning.training.checks import checked_loss, checked_metrics, optimizer_named
from spar_lightning.training.updates.flat import Averages
from spar_lightning.training.updates.optimizers import FlatAdam
from spar_lightning.training.updates.stream import NetworkUnits


class Execution:
    """The learner of an algorithm that Lightning trains: gradients and steps go through its precision and strategy.

    Args:
        module: whose trainer it is.
        algorithm: what is trained.
        stream: of batches.
        optimizers: by name.
        generator: of the noise, on the module's device.
    """

    def __init__(
        self,
        module: pl.LightningModule,
        algorithm: Algorithm,
        stream: NetworkUnits,
        optimizers: Mapping[str, FlatAdam],
        generator: torch.Generator,
    ) -> None:
        self._module, self._trainer = module, module.trainer
        self._algorithm, self._stream, self.optimizers = algorithm, stream, optimizers
        self._generator = generator
        self._averages = Averages()
        self._update = 0
        # Processes wait for the gradient of every parameter that a loss reaches; one by itself computes those it needs.
        self._selects = not isinstance(self._trainer.strategy, ParallelStrategy)

    def run(self, minibatches: Minibatches, update: int) -> tuple[Metrics, Batch]:
        """Make an update of each minibatch, the first of which has this number.

        Returns:
            What the last update of each kind told, and the last batch.
        """
        metrics: Metrics = {}
        self._update = update
        for batch in self._stream.batches(minibatches):
            told = self._algorithm.update(batch, self._algorithm.phase(self._update), self)
            metrics |= checked_metrics(self._algorithm, told)
            self._update += 1
        return metrics, batch

    # ------------------------------------------------------------------------------------------- what updates ask for

    def descend(self, name: str, loss: Loss, *arguments: Any) -> Metrics:
        """Step the optimizer `name` down the gradient of `loss(*arguments)`."""
        optimizer = optimizer_named(self.optimizers, name)
        value, metrics = checked_loss(loss, loss(*arguments))
        optimizer.clear_gradients()
        with torch.autocast(self._module.device.type, enabled=False):  # the forward pass has chosen the types
            self._module.manual_backward(value, **({"inputs": optimizer.parameters} if self._selects else {}))
        optimizer.gather_gradients()
        optimizer.set_rate(optimizer.rate(self._update))
        # Not counted, but with the help of the precision plugin, which unscales gradients and then asks for clipping.
        self._trainer.strategy.optimizer_step(optimizer, closure=lambda: None)
        torch.clear_autocast_cache()  # it holds the weights as they were
        return metrics

    def follow(self, average: nn.Module, source: nn.Module, tau: float | Callable[[int], float]) -> None:
        """Move a network's slow copy."""
        self._averages.move(average, source, tau, self._update)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers on the module's device."""
        return torch.randn(*shape, generator=self._generator, device=self._module.device)
