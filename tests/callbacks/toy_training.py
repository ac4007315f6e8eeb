# ruff: noqa: NPY002 - the global generator is what is restored
"""A module, a data module and a trainer that exercise callbacks in a second."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import torch

from spar_lightning.datasets import Episode
from spar_lightning.replay import PackedTransitions
from spar_lightning.types import EnvironmentUnavailableError, ResidualProbe

sys.path.insert(0, str(Path(__file__).parents[1] / "evaluation"))

from toy_environment import STEPS, Constant, ToyEnvironment, bonus

__all__ = ["STEPS", "ToyData", "ToyEnvironment", "ToyModule", "ToyResidualModule", "bonus", "train"]

torch.set_num_threads(1)


class StatefulLoader:
    """Numbers the batches; goes on where its state was taken, and starts a new epoch at 0."""

    def __init__(self, length: int) -> None:
        self.length, self.position, self._resumed = length, 0, False

    def __len__(self) -> int:
        return self.length

    def __iter__(self):
        self.position, self._resumed = self.position if self._resumed else 0, False
        while self.position < self.length:
            self.position += 1
            yield torch.tensor([float(self.position)])

    def state_dict(self):
        return {"position": self.position}

    def load_state_dict(self, state):
        self.position, self._resumed = state["position"], True


class ToyData(pl.LightningDataModule):
    name = "toy/replay-v0"
    environment_id = "Toy-v0"

    def __init__(self, reference_scores=(0.0, 10.0), unavailable=None, length=10_000) -> None:
        super().__init__()
        self.reference_scores = reference_scores
        self.unavailable = unavailable
        self.length = length
        numbers = np.arange(1000, dtype=np.float32).reshape(500, 2)
        episode = Episode(numbers, np.zeros((500, 1), dtype=np.float32), numbers[:, 0], numbers, termination=True)
        self.transitions = PackedTransitions.from_episodes([episode])

    def make_environment(self):
        if self.unavailable:
            raise EnvironmentUnavailableError(self.unavailable)
        return ToyEnvironment()

    def train_dataloader(self):
        return StatefulLoader(self.length)

    def val_dataloader(self):
        return [torch.zeros(1)]

    test_dataloader = val_dataloader


class ToyModule(pl.LightningModule):
    """Its action rises by `step_size` an update, from 0; it draws random numbers and notes them in `trace`."""

    def __init__(self, step_size: float = 0.01, nan_loss_at=None, nan_weight_at=None) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.step_size, self.nan_loss_at, self.nan_weight_at = step_size, nan_loss_at, nan_weight_at
        self.action = torch.nn.Parameter(torch.zeros(1))
        self.trace: list[tuple[float, ...]] = []
        self.probed: list[torch.Tensor] = []

    def act(self, observations):
        torch.rand(1), np.random.rand(), random.random()  # an evaluation that draws must do no harm
        assert not self.training
        return np.full((len(observations), 1), float(self.action), dtype=np.float32)

    def training_step(self, batch, batch_idx):
        self.trace.append((float(batch), float(torch.rand(1)), float(np.random.rand()), random.random()))
        self.action.grad = torch.full_like(self.action, -1.0)
        if self.global_step + 1 == self.nan_weight_at:
            self.action.grad *= float("nan")
        self.optimizers().step()
        loss = self.action.detach().clone().squeeze()
        bad = self.nan_loss_at is not None and self.global_step >= self.nan_loss_at
        return {"toy/loss": loss * float("nan") if bad else loss, "toy/other": loss}

    def validation_step(self, batch, batch_idx):
        pass

    test_step = validation_step

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.step_size)


class ToyResidualModule(ToyModule):
    """Adds a base at action 0, a second reference from update 10 on, and a residual to probe."""

    def __init__(self, **arguments) -> None:
        super().__init__(**arguments)
        self.base, self.fitted = Constant(0.0), Constant(0.02)

    def reference_policies(self):
        return {"base": self.base} | ({"fitted": self.fitted} if self.global_step >= 10 else {})

    def probe_residual(self, observations):
        torch.rand(1)
        self.probed.append(observations)
        count = len(observations)
        actions = self.action.detach().expand(count, 2)
        jacobians = torch.tensor([[1.0], [0.0]]).expand(count, 2, 1)
        return ResidualProbe(torch.zeros(count, 2), actions, actions, torch.ones(count, 1), 2.0, jacobians)


def train(folder, module, callbacks, max_steps=20, validate_every=5, ckpt_path=None, data=None, **arguments):
    """Fit, and return the trainer."""
    defaults = {
        "accelerator": "cpu",
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "enable_checkpointing": any(isinstance(callback, pl.callbacks.Checkpoint) for callback in callbacks),
    }
    trainer = pl.Trainer(
        default_root_dir=folder,
        callbacks=callbacks,
        max_steps=max_steps,
        val_check_interval=validate_every,
        check_val_every_n_epoch=None,
        **(defaults | arguments),
    )
    trainer.fit(module, datamodule=data or ToyData(), ckpt_path=ckpt_path, weights_only=True)
    return trainer
