"""Evaluation in a second process gives what evaluation in the first one does."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from commands import fit, results, same, weights


def scores(run: Path) -> list[dict[str, str]]:
    """Steps and what was logged of the rollouts."""
    rows = csv.DictReader((run / "csv" / "metrics.csv").open())
    return [
        {name: value for name, value in row.items() if name == "step" or name.startswith("rollout/")}
        for row in rows
        if row.get("rollout/return")
    ]


@pytest.mark.slow
def test_background_evaluation_gives_the_numbers_of_the_foreground(finished_run: Path, tmp_path: Path) -> None:
    run = fit(tmp_path / "run", "--callbacks.rollout.background", "true")
    for key in ("history", "best", "score", "base", "fitted", "improvement", "updates", "checkpoints"):
        assert results(run)[key] == results(finished_run)[key]
    assert scores(run) == scores(finished_run)
    for name in ("best", "last"):
        files = [folder / "checkpoints" / f"{name}.ckpt" for folder in (run, finished_run)]
        assert same(*map(weights, files))
