"""Runs of a second each."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "cli"))

from commands import HOPPER, fit, last

__all__ = ["HOPPER", "Runs", "make_runs"]


class Runs(NamedTuple):
    run: Path
    other: Path  # of another seed
    ablation: Path
    datasets: Path


def make_runs(folder: Path, datasets: Path) -> Runs:
    found = Runs(folder / "run", folder / "other", folder / "ablation", datasets)
    fit(found.run, dataset=HOPPER)
    fit(found.other, "--seed_everything", "1", dataset=HOPPER)
    fitted = ["--stage", "improvement", "--ckpt_path", str(last(found.run))]
    fit(found.ablation, *fitted, "--model.improvement", "value_gradient", dataset=HOPPER)
    return found
