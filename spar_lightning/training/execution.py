"""How updates run: one by one as they are written, or with compiled losses; the same numbers either way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from spar_lightning.algorithms import Algorithm, Batch, Metrics
from spar_lightning.algorithms.algorithm import Loss
from spar_lightning.functional import update_average
from spar_lightning.training.compiled import CompiledLoss
from spar_lightning.training.flat import flat_parameters
from spar_lightning.training.optimizers import FlatAdam


class Execution:
    """The learner of an algorithm that Lightning trains: gradients and steps go through its precision and strategy.

    Args:
        module: whose trainer it is.
        algorithm: what is trained.
        optimizers: by name.
        clip_norm: largest gradient norm of each optimizer's step; None does not clip.
        compiles: compile every loss together with its gradient.
    """

    def __init__(
        self,
        module: pl.LightningModule,
        algorithm: Algorithm,
        optimizers: Mapping[str, FlatAdam],
        clip_norm: float | None,
        compiles: bool,
    ) -> None:
        self._module, self._trainer = module, module.trainer
        self._algorithm, self.optimizers = algorithm, optimizers
        self._clip_norm, self._compiles = clip_norm, compiles
        self._losses: dict[str, Loss] = {}  # compiled
        self._averages: dict[nn.Module, tuple[Tensor, Tensor]] = {}
        self._update = 0
        # Several processes wait for the gradient of every parameter that a loss reaches; one computes those it needs.
        self._selects = self._trainer.world_size == 1

    def run(self, batches: list[Batch], update: int) -> Metrics:
        """Make an update of each batch, the first of which has this number; gives what the last of each kind told."""
        metrics: Metrics = {}
        for self._update, batch in enumerate(batches, start=update):
            metrics |= self._algorithm.update(batch, self._algorithm.phase(self._update), self)
        return metrics

    # ------------------------------------------------------------------------------------------- what updates ask for

    def descend(self, name: str, loss: Loss, *arguments: Any) -> Metrics:
        """Step the optimizer `name` down the gradient of `loss(*arguments)`."""
        optimizer = self.optimizers[name]
        if self._compiles:
            loss = self._compiled(name, loss)
        value, metrics = loss(*arguments)
        optimizer.clear_gradients()
        with torch.autocast(self._module.device.type, enabled=False):  # the forward pass has chosen the types
            if self._selects and not self._compiles:
                self._module.manual_backward(value, inputs=optimizer.parameters)
            else:
                self._module.manual_backward(value)
        optimizer.gather_gradients()
        optimizer.set_rate(optimizer.rate(self._update))
        # Not counted, but with the help of the precision plugin, which unscales gradients and then asks for clipping.
        self._trainer.strategy.optimizer_step(optimizer, closure=lambda: None)
        torch.clear_autocast_cache()  # it holds the weights as they were
        return metrics

    def follow(self, average: nn.Module, source: nn.Module, tau: float) -> None:
        """Move a network's slow copy."""
        if average not in self._averages:
            self._averages[average] = flat_parameters(average), flat_parameters(source)
        vector, followed = self._averages[average]
        update_average([vector], [followed], tau)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers on the module's device."""
        return torch.randn(*shape, device=self._module.device)

    def _compiled(self, name: str, loss: Loss) -> Loss:
        key = f"{name}.{loss.__name__}"
        if key not in self._losses:
            self._losses[key] = CompiledLoss(loss, self.optimizers[name].parameters, self._module.device.type)
        return self._losses[key]
