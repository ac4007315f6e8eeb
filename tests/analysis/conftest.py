"""Two tiny runs of the same data and an ablation, made once; tests only read them."""

from __future__ import annotations

import pytest
import torch
from tiny_runs import HOPPER, Runs, make_runs

from spar_lightning.datasets import collect


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    datasets = tmp_path_factory.mktemp("analysis-datasets")
    collect(HOPPER, steps=3000, root=datasets, progress=False)
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(datasets))
        patch.setenv("PL_GLOBAL_SEED", "")
        return make_runs(tmp_path_factory.mktemp("analysis-runs"), datasets)


@pytest.fixture
def tiny(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> Runs:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(runs.datasets))
    return runs
