"""A module under a trainer that a user has made, with Lightning's own defaults."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest

from spar_lightning.algorithms import BC
from spar_lightning.replay import OfflineDataModule
from spar_lightning.training import BCModule
from spar_lightning.training.module import AlgorithmModule
from spar_lightning.types import UserError


def fit(hopper: str, folder: Path, **settings: Any) -> pl.Trainer:
    data = OfflineDataModule(hopper)
    quiet = {"accelerator": "cpu", "enable_progress_bar": False, "logger": False, "enable_checkpointing": False}
    trainer = pl.Trainer(default_root_dir=folder, **(quiet | settings))
    trainer.fit(BCModule(data.observation_dim, data.action_dim, hidden_dims=(8,)), datamodule=data)
    return trainer


@pytest.mark.parametrize("settings", [{}, {"max_epochs": 10}], ids=str)
def test_a_training_without_an_end_is_refused(hopper: str, tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="has no end: expected `max_steps`, in updates, or `max_time`"):
        fit(hopper, tmp_path, **settings)


@pytest.mark.parametrize(
    "settings", [{"max_time": "00:00:00:01"}, {"max_epochs": 2, "limit_train_batches": 3}], ids=str
)
def test_other_ends_than_a_number_of_updates(hopper: str, tmp_path: Path, settings: dict[str, Any]) -> None:
    assert fit(hopper, tmp_path, **settings).global_step > 0


def test_validations_that_would_never_come_are_said(hopper: str, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="`val_check_interval` is 1.0, a share of an epoch that has no end"):
        fit(hopper, tmp_path, max_steps=2)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*share of an epoch.*")
        fit(hopper, tmp_path, max_steps=2, val_check_interval=2, check_val_every_n_epoch=None)
        fit(hopper, tmp_path, max_steps=2, limit_val_batches=0)


@pytest.mark.parametrize("settings", [{"log_every_n_steps": 0}, {"barebones": True}], ids=str)
def test_nothing_is_logged_if_so_asked(hopper: str, tmp_path: Path, settings: dict[str, Any]) -> None:
    bare = (
        {"logger": None, "enable_checkpointing": None, "enable_progress_bar": None} if "barebones" in settings else {}
    )
    trainer = fit(hopper, tmp_path, max_steps=4, **(bare | settings))
    assert trainer.global_step == 4
    assert not trainer.logged_metrics


def test_a_constructor_of_ones_own_is_kept() -> None:
    class Named(AlgorithmModule):
        algorithm_class = BC

        def __init__(self, *arguments: Any, name: str = "", **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            self.name = name

    module = Named(3, 1, name="mine", hidden_dims=(8,))
    assert module.name == "mine"
    assert module.hparams["hidden_dims"] == [8]
