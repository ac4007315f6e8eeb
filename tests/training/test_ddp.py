"""Two processes on the CPU train every algorithm as one would: other batches, the same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.strategies import DDPStrategy
from small_runs import BATCH_SIZE, HIDDEN, differing, fit

from spar_lightning.callbacks import ResumableCheckpoint
from spar_lightning.replay import OfflineDataModule
from spar_lightning.training import ALGORITHMS, BCModule, SPARModule
from spar_lightning.training.module import AlgorithmModule

UPDATES = 24


class Kept(pl.Callback):
    """Writes what each process has at the end into a file of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.batches: list[torch.Tensor] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.batches.append(batch.indices)
        if trainer.global_step == UPDATES // 2:
            trainer.save_checkpoint(self.folder / "half.ckpt")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        kept = {"weights": pl_module.state_dict(), "batches": torch.cat(self.batches), "metrics": metrics}
        torch.save(kept, self.folder / f"{trainer.global_rank}.pt")


def train(module: AlgorithmModule, data: OfflineDataModule, folder: Path, updates: int = UPDATES, **more: Any) -> None:
    """Train in two processes; a fork each, so that nothing is imported again."""
    folder.mkdir(parents=True, exist_ok=True)
    callbacks = [Kept(folder), ResumableCheckpoint(str(folder / "checkpoints"))]
    strategy = DDPStrategy(start_method="fork")
    fit(module, data, updates, callbacks, devices=2, strategy=strategy, **more)


def kept(folder: Path) -> list[dict[str, Any]]:
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.fixture
def make(make_spar: Callable[..., SPARModule]) -> Callable[[str], AlgorithmModule]:
    """Makes a small module of any algorithm."""

    def made(name: str) -> AlgorithmModule:
        torch.manual_seed(0)
        return make_spar() if name == "spar" else ALGORITHMS[name](11, 3, hidden_dims=HIDDEN)

    return made


@pytest.mark.parametrize("name", ALGORITHMS)
def test_processes_agree(
    make: Callable[[str], AlgorithmModule], datamodule: OfflineDataModule, tmp_path: Path, name: str
) -> None:
    train(make(name), datamodule, tmp_path)
    first, second = kept(tmp_path)
    assert not differing(first["weights"], second["weights"])
    assert differing(first["weights"], make(name).state_dict()), "nothing was trained"
    assert first["batches"].shape == second["batches"].shape
    assert (first["batches"] != second["batches"]).float().mean() > 0.9
    assert first["metrics"].keys() == second["metrics"].keys() != set()
    assert first["metrics"] == second["metrics"]


@pytest.mark.parametrize("name", ["spar", "td3_bc"])
def test_a_run_that_goes_on_in_two_processes_ends_in_the_same_bits(
    make: Callable[[str], AlgorithmModule], dataset: str, tmp_path: Path, name: str
) -> None:
    def data() -> OfflineDataModule:
        return OfflineDataModule(dataset, batch_size=BATCH_SIZE, seed=0)

    train(make(name), data(), tmp_path / "whole")
    train(make(name), data(), tmp_path / "rest", ckpt_path=str(tmp_path / "whole" / "half.ckpt"))
    for whole, rest in zip(kept(tmp_path / "whole"), kept(tmp_path / "rest"), strict=True):
        assert torch.equal(whole["batches"][-len(rest["batches"]) :], rest["batches"])
        assert not differing(whole["weights"], rest["weights"])


def test_two_halves_of_a_batch_train_as_the_whole(dataset: str, tmp_path: Path) -> None:
    errors = []
    for size, folder in ((64, None), (32, tmp_path)):
        data = OfflineDataModule(dataset, batch_size=size, seed=0)
        torch.manual_seed(0)
        module = BCModule(11, 3, hidden_dims=HIDDEN, learning_rate=3e-3)
        if folder is None:
            fit(module, data, max_steps=200)
        else:
            train(module, data, folder, updates=200)
            module.load_state_dict(kept(folder)[0]["weights"])
            data.setup("fit")
        batch = data.transitions.batch(slice(0, len(data.transitions)))
        with torch.no_grad():
            errors.append(float((module.act(batch.observations) - batch.actions).square().mean()))
    assert errors[1] == pytest.approx(errors[0], rel=0.05)
