"""Short training runs, and what to watch in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from spar_lightning.replay import OfflineDataModule

HIDDEN = (16, 16)
BATCH_SIZE = 32


def fit(
    module: pl.LightningModule,
    datamodule: OfflineDataModule,
    max_steps: int,
    callbacks: Sequence[pl.Callback] = (),
    ckpt_path: str | None = None,
    **settings: Any,
) -> pl.Trainer:
    """Train on the CPU without logger, validation and progress bar."""
    defaults: dict[str, Any] = {
        "accelerator": "cpu",
        "max_epochs": -1,
        "limit_val_batches": 0,
        "log_every_n_steps": 4,
        "logger": False,
        "enable_checkpointing": any(isinstance(callback, pl.callbacks.Checkpoint) for callback in callbacks),
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = pl.Trainer(max_steps=max_steps, callbacks=list(callbacks), **(defaults | settings))
    trainer.fit(module, datamodule=datamodule, ckpt_path=ckpt_path, weights_only=None if ckpt_path is None else True)
    return trainer


def copy_state(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def memory(tensors: Iterable[Tensor]) -> set[int]:
    """Where tensors lie, each block of memory once."""
    return {tensor.untyped_storage().data_ptr() for tensor in tensors}


def differing(left: dict[str, Tensor], right: dict[str, Tensor]) -> set[str]:
    """Names of the weights that are not the same bits."""
    assert left.keys() == right.keys()
    return {name for name in left if not torch.equal(left[name], right[name])}


class Stub(nn.Module):
    """A network that gives the same numbers whatever it is asked."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = values

    def forward(self, *_: Tensor) -> Tensor:
        return self.values


class History(pl.Callback):
    """Keeps weights, column of returns, losses and metrics of every update; entry 0 is before the first."""

    def __init__(self) -> None:
        self.states: list[dict[str, Tensor]] = []
        self.returns: list[Tensor] = []
        self.losses: list[dict[str, Tensor]] = []
        self.metrics: list[dict[str, float]] = []

    def _keep(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.states.append(copy_state(pl_module))
        transitions = trainer.datamodule.transitions
        if "returns" in transitions.batch(slice(0, 1)).columns:
            self.returns.append(transitions.column("returns").clone())

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if not self.states:
            self._keep(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._keep(trainer, pl_module)
        self.losses.append({name: value.detach() for name, value in outputs.items()})
        self.metrics.append({name: float(value) for name, value in trainer.callback_metrics.items()})

    def changes(self, update: int) -> set[str]:
        """The parts that the update of this number, from 0, has changed."""
        return {_part(name) for name in differing(self.states[update], self.states[update + 1])}


def _part(name: str) -> str:
    words = [word for word in name.split(".") if word not in ("algorithm", "critics")]
    return ".".join(words[:2]) if words[0] == "policy" else words[0]
