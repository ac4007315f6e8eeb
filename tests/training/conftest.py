"""A small data set of a real environment, and a base trained on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import BATCH_SIZE, HIDDEN, fit

from spar_lightning.datasets import collect
from spar_lightning.replay import OfflineDataModule
from spar_lightning.training import BCModule, SPARModule


@pytest.fixture(scope="session")
def dataset(datasets_root: Path) -> str:
    return collect("spar/hopper/medium-v0", steps=2000, progress=False)


@pytest.fixture
def datamodule(dataset: str) -> OfflineDataModule:
    return OfflineDataModule(dataset, batch_size=BATCH_SIZE, seed=0)


@pytest.fixture(scope="session")
def _trained_base(dataset: str) -> dict[str, Any]:
    torch.manual_seed(0)
    data = OfflineDataModule(dataset, batch_size=BATCH_SIZE, seed=0)
    module = BCModule(data.observation_dim, data.action_dim, hidden_dims=HIDDEN)
    fit(module, data, max_steps=100)
    return {"hparams": dict(module.hparams), "state": module.state_dict()}


@pytest.fixture
def make_base(_trained_base: dict[str, Any]) -> Callable[[], BCModule]:
    """Makes the same trained base over again."""

    def make() -> BCModule:
        base = BCModule(**_trained_base["hparams"])
        base.load_state_dict(_trained_base["state"])
        return base

    return make


@pytest.fixture
def make_spar(make_base: Callable[[], BCModule]) -> Callable[..., SPARModule]:
    """Makes a small module whose actor moves after 6 updates, beside the critics, which are refreshed every 5."""

    def make(base: BCModule | None = None, **settings: Any) -> SPARModule:
        base = base or make_base()
        torch.manual_seed(0)
        networks = {"hidden_dims": HIDDEN, "critic_hidden_dims": HIDDEN, "num_critics": 2, "num_check_critics": 1}
        course = {"warmup_steps": 6, "freeze_critic": False, "refresh_every": 5}
        actor = {"lsi_batch": 16, "num_candidates": 4, "actor_every": 2}
        return SPARModule(base, **(networks | course | actor | settings))

    return make
