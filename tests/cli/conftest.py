"""Data sets of a few thousand transitions and one finished run, made once for all tests of the command line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from commands import CHEETAH, HOPPER, WALKER, fit

from spar_lightning.datasets import collect


@pytest.fixture(scope="session")
def tiny_datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of Minari data sets."""
    folder = tmp_path_factory.mktemp("cli-datasets")
    for dataset in (WALKER, HOPPER, CHEETAH, "spar/hopper/medium-v0"):
        collect(dataset, steps=3000, root=folder, progress=False)
    return folder


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, tiny_datasets: Path) -> Path:
    """The folder of a run on Hopper, 20 updates of the base and 40 of the residual; tests only read it."""
    folder = tmp_path_factory.mktemp("runs") / "hopper"
    with pytest.MonkeyPatch.context() as patch:
        _isolate(patch, tiny_datasets)
        fit(folder)
    return folder


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_datasets: Path) -> None:
    """The tiny data sets are the only ones, and what a command leaves in the process or the folder goes away."""
    _isolate(monkeypatch, tiny_datasets)
    monkeypatch.chdir(tmp_path)


def _isolate(patch: pytest.MonkeyPatch, datasets: Path) -> None:
    torch.set_num_threads(1)
    patch.setenv("OMP_NUM_THREADS", "1")
    patch.setenv("MINARI_DATASETS_PATH", str(datasets))
    for name in [name for name in os.environ if name.startswith("PL_")] or ["PL_GLOBAL_SEED"]:
        patch.setenv(name, "")  # so that what a command sets is undone
        patch.delenv(name)
