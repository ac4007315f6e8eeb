"""Several updates of one training step are the updates that as many training steps would make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import DDPStrategy
from small_runs import BATCH_SIZE, HIDDEN, History, copy_state, differing, fit

from spar_lightning.callbacks import FiniteLossGuard, ResidualMonitor, ResumableCheckpoint
from spar_lightning.replay import OfflineDataModule
from spar_lightning.training import BCModule, SPARModule
from spar_lightning.types import NonFiniteLossError, UserError

MakeSPAR = Callable[..., SPARModule]
END = 24


class Notes(Logger):
    """Keeps what is logged, by step; what a clock or Lightning adds is left out."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[tuple[int, dict[str, float]]] = []

    @property
    def name(self) -> str:
        return "notes"

    @property
    def version(self) -> str:
        return "0"

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        assert step is not None
        if kept := {name: value for name, value in metrics.items() if name != "epoch"}:
            self.entries.append((step, kept))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass


def train(
    module: pl.LightningModule, dataset: str, per_batch: int, every: int = 12, end: int = END, **settings: Any
) -> tuple[pl.Trainer, Notes]:
    """Train, validating every `every` updates."""
    notes = settings.pop("logger", Notes())
    data = OfflineDataModule(dataset, BATCH_SIZE, validation_fraction=0.2, seed=0, updates_per_batch=per_batch)
    intervals = {"val_check_interval": every // per_batch, "check_val_every_n_epoch": None, "limit_val_batches": 1.0}
    callbacks = settings.pop("callbacks", [])
    return fit(module, data, end, callbacks, logger=notes, num_sanity_val_steps=0, **(intervals | settings)), notes


# The warm-up, of 14 updates, and the refreshes of the returns, every 5, end within a training step or with it.
@pytest.mark.parametrize("settings", [{}, {"critic_target": "policy"}, {"freeze_critic": True}], ids=str)
@pytest.mark.parametrize("per_batch", [2, 4, 12])
def test_weights_and_logs_are_the_same(
    make_spar: MakeSPAR, dataset: str, per_batch: int, settings: dict[str, Any]
) -> None:
    settings = settings | {"warmup_steps": 14}
    one = make_spar(**settings)
    trainer, notes = train(one, dataset, 1, callbacks=[ResidualMonitor(every_n_updates=12)])
    several = make_spar(**settings)
    other_trainer, other_notes = train(several, dataset, per_batch, callbacks=[ResidualMonitor(every_n_updates=12)])
    assert not differing(copy_state(one), copy_state(several))
    assert other_trainer.global_step == trainer.global_step == END
    steps = {step for step, _ in notes.entries}
    assert {3, 7, 11, 23} <= steps, "expected entries of every fourth update"
    validations = [step for step, metrics in notes.entries if "fit/validation_reconstruction" in metrics]
    assert validations == [11]
    assert sorted(other_notes.entries, key=repr) == sorted(notes.entries, key=repr)
    assert torch.equal(*(found.datamodule.transitions.column("returns") for found in (trainer, other_trainer)))


def test_a_run_goes_on_with_another_number(make_spar: MakeSPAR, dataset: str, tmp_path: Path) -> None:
    whole = make_spar()
    _, notes = train(whole, dataset, 1, every=6)
    train(make_spar(), dataset, 4, every=6, end=8, callbacks=[ResumableCheckpoint(dirpath=str(tmp_path))])
    resumed = make_spar()
    torch.manual_seed(99)
    trainer, rest = train(
        resumed,
        dataset,
        2,
        every=6,
        callbacks=[ResumableCheckpoint(dirpath=str(tmp_path))],
        ckpt_path=str(tmp_path / "last.ckpt"),
    )
    assert trainer.global_step == END
    # The learning rates of the first part fell towards its own end, so only what comes when is compared.
    validations = [step for step, metrics in rest.entries if step >= 8 and "fit/validation_reconstruction" in metrics]
    assert [step for step, _ in rest.entries] == [step for step, _ in notes.entries if step >= 8]
    assert not validations, "the manifold is frozen by then"


class StopAt(pl.Callback):
    """Ends training early, as an interruption would, without another plan for the learning rates."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        trainer.should_stop = trainer.global_step >= self.step


@pytest.mark.parametrize("stop", [4, 8, 16])
@pytest.mark.parametrize(("before", "after"), [(4, 2), (4, 1), (1, 4), (4, 4)])
def test_an_interrupted_run_goes_on_with_another_number_bit_for_bit(
    make_spar: MakeSPAR, dataset: str, tmp_path: Path, stop: int, before: int, after: int
) -> None:
    checkpoint = ResumableCheckpoint(dirpath=str(tmp_path))
    whole = make_spar()
    _, notes = train(whole, dataset, 1)
    train(make_spar(), dataset, before, callbacks=[StopAt(stop), checkpoint])
    resumed = make_spar()
    torch.manual_seed(99)
    trainer, rest = train(
        resumed,
        dataset,
        after,
        callbacks=[ResumableCheckpoint(dirpath=str(tmp_path))],
        ckpt_path=str(tmp_path / "last.ckpt"),
    )
    assert trainer.global_step == END
    assert not differing(copy_state(whole), copy_state(resumed))
    later = [entry for entry in notes.entries if entry[0] >= stop]
    assert sorted(rest.entries, key=repr) == sorted(later, key=repr)


def test_a_step_that_would_pass_the_end_is_refused(make_spar: MakeSPAR, dataset: str) -> None:
    with pytest.raises(UserError, match="`max_steps` is 10, expected a multiple of `updates_per_batch`, 4"):
        train(make_spar(), dataset, 4, end=10)


def test_a_checkpoint_between_steps_is_refused(make_spar: MakeSPAR, dataset: str, tmp_path: Path) -> None:
    trainer, _ = train(make_spar(), dataset, 1, end=6)
    trainer.save_checkpoint(tmp_path / "six.ckpt")
    with pytest.raises(UserError, match="at update 6, which `updates_per_batch`, 4, does not divide"):
        train(make_spar(), dataset, 4, ckpt_path=str(tmp_path / "six.ckpt"))


def test_a_base_makes_the_same_updates(dataset: str) -> None:
    states = []
    for per_batch in (1, 4):
        torch.manual_seed(0)
        module = BCModule(11, 3, hidden_dims=HIDDEN)
        data = OfflineDataModule(dataset, batch_size=BATCH_SIZE, seed=0, updates_per_batch=per_batch)
        assert fit(module, data, 12).global_step == 12
        states.append(copy_state(module))
    assert not differing(*states)


def test_a_training_step_returns_the_losses_of_its_last_update(make_spar: MakeSPAR, dataset: str) -> None:
    histories = {1: History(), 4: History()}
    for per_batch, history in histories.items():
        train(make_spar(), dataset, per_batch, callbacks=[history])
    assert len(histories[4].losses) == END // 4
    for number, losses in enumerate(histories[4].losses):
        assert losses == histories[1].losses[4 * number + 3]


def test_a_loss_that_is_no_number_is_seen(make_spar: MakeSPAR, dataset: str) -> None:
    with pytest.raises(NonFiniteLossError, match="NaN or infinite at update"):
        train(make_spar(critic_learning_rate=1e30), dataset, 4, end=48, callbacks=[FiniteLossGuard(every_n_updates=6)])


def test_a_step_of_everything_as_a_check(make_spar: MakeSPAR, dataset: str) -> None:
    data = OfflineDataModule(dataset, batch_size=BATCH_SIZE, seed=0, updates_per_batch=4)
    assert fit(make_spar(), data, 30, fast_dev_run=True).global_step == 4


@pytest.mark.slow
def test_processes_stay_together(make_spar: MakeSPAR, dataset: str, tmp_path: Path) -> None:
    checkpoints = []
    for per_batch in (1, 4):
        strategy = DDPStrategy(start_method="fork", find_unused_parameters=True, broadcast_buffers=False)
        keep = ResumableCheckpoint(dirpath=str(tmp_path / str(per_batch)))
        train(make_spar(), dataset, per_batch, callbacks=[keep], strategy=strategy, devices=2, logger=False)
        checkpoints.append(torch.load(tmp_path / str(per_batch) / "last.ckpt", weights_only=True))
    assert [checkpoint["global_step"] for checkpoint in checkpoints] == [END, END]
    assert not differing(*(checkpoint["state_dict"] for checkpoint in checkpoints))
