"""For every test: one thread, the same random numbers, and a folder of data sets that goes away."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

collect_ignore_glob = ["*conftest.py"]  # for doctests, which would import them all under the one name


@pytest.fixture(scope="session", autouse=True)
def datasets_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Minari's folder for the whole session, so that no test touches the user's own."""
    root = tmp_path_factory.mktemp("datasets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(root))
        yield root


@pytest.fixture(autouse=True)
def _deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)  # an earlier test's seed would be the data module's
    torch.set_num_threads(1)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the global generator
    torch.manual_seed(0)
