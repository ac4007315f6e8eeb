"""Suites of a few runs, and a stand-in for training that takes no time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from spar_lightning.suite.jobs import Job

SUITE = """
seeds: 2
data_sets: [spar/hopper/medium-v0]
methods:
  BC: {algorithm: bc}
  TD3+BC: {algorithm: td3_bc, model.hidden_dims: [16]}
"""

TRAINING = """
import json, sys, time
from pathlib import Path
arguments = sys.argv[1:]
folder = Path(arguments[arguments.index("--run_dir") + 1]) if "--run_dir" in arguments else (
    Path(arguments[arguments.index("--resume") + 1]))
print("trains", *arguments)
if "bc" in arguments and FAILS:
    print("error: there is no simulator", file=sys.stderr)
    sys.exit(2)
if WAITS:
    (folder / "started").touch()
    time.sleep(60)
document = {"score": 30.0, "return": 600.0, "dataset": "spar/hopper/medium-v0", "updates": 100}
seeds = int(arguments[arguments.index("--num_seeds") + 1]) if "--num_seeds" in arguments else 0
first = int(arguments[arguments.index("--seed_everything") + 1]) if "--seed_everything" in arguments else 0
for place in [folder / f"seed_{first + seed}" for seed in range(seeds)] or [folder]:
    (place / "results.json").write_text(json.dumps(document))
"""
"""What `fit` leaves behind, without the training."""


@pytest.fixture
def suite_file(tmp_path: Path) -> Path:
    path = tmp_path / "toy.yaml"
    path.write_text(SUITE)
    return path


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a stand-in in the place of `fit`; with `fails` that of the method BC fails, with `waits` it goes on long."""

    def replace(fails: bool = False, waits: bool = False) -> None:
        code = f"FAILS, WAITS = {fails}, {waits}\n{TRAINING}"
        monkeypatch.setattr(Job, "command", lambda job: [sys.executable, "-c", code, *job.arguments()])

    replace()
    return replace
