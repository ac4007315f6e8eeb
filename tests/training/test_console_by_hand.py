"""A training by hand prints what one of the command line does."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path

import lightning.pytorch as pl
import pytest
from lightning.pytorch.callbacks import ModelSummary, TQDMProgressBar

from spar_lightning.callbacks import StageProgressBar
from spar_lightning.replay import OfflineDataModule
from spar_lightning.training import BCModule


class OwnBar(TQDMProgressBar):
    """One that someone has chosen."""


def fit(folder: Path, hopper: str, updates_per_batch: int = 1, **settings: object) -> pl.Trainer:
    data = OfflineDataModule(hopper, updates_per_batch=updates_per_batch)
    trainer = pl.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        max_steps=20,
        max_epochs=-1,
        val_check_interval=20 // updates_per_batch,
        check_val_every_n_epoch=None,
        **settings,
    )
    trainer.fit(BCModule(data.observation_dim, data.action_dim, hidden_dims=(16,)), datamodule=data)
    return trainer


def test_a_training_by_hand_is_as_quiet(
    tmp_path: Path, hopper: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    trainer = fit(tmp_path, hopper)
    printed = "".join(capfd.readouterr())
    assert "20/20" in printed
    assert "BCModule" in printed
    for noise in ("Epoch", "Sanity", "Params", "GPU available: False", "TPU", "💡", "num_workers", "LeafSpec", "v_num"):
        assert noise not in printed, noise
    kinds = [type(callback) for callback in trainer.callbacks]
    assert StageProgressBar in kinds
    assert ModelSummary not in kinds


def test_the_bar_moves_within_a_training_step(tmp_path: Path, hopper: str, capfd: pytest.CaptureFixture[str]) -> None:
    bar = StageProgressBar("stage", refresh_rate=1_000_000, seconds=0.0)
    fit(tmp_path, hopper, updates_per_batch=20, callbacks=[bar], logger=False, log_every_n_steps=5)
    printed = "".join(capfd.readouterr())
    for done in (5, 10, 15, 20):
        assert f" {done}/20 " in printed


def test_what_someone_has_chosen_stays(tmp_path: Path, hopper: str) -> None:
    chosen = OwnBar()
    trainer = fit(tmp_path, hopper, callbacks=[chosen], logger=False)
    assert trainer.progress_bar_callback is chosen
    quiet = fit(tmp_path, hopper, enable_progress_bar=False, logger=False)
    assert quiet.progress_bar_callback is None


def test_importing_the_package_is_quick() -> None:
    code = "import time; import spar_lightning, sys; print(time.process_time(), 'torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    seconds, has_torch = re.fullmatch(r"([\d.]+) (True|False)\n", found).groups()
    assert float(seconds) < 2
    assert has_torch == "False"
