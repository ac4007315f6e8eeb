"""The file of metrics of a run that goes on."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
from commands import fit

from spar_lightning.callbacks.rollouts import rollout_evaluation
from spar_lightning.cli.run.metrics_file import ContinuedCSVLogger


def logger(folder: Path, updates: int = 0) -> ContinuedCSVLogger:
    return ContinuedCSVLogger(updates, save_dir=folder, name="", version="csv")


def log(target: ContinuedCSVLogger, steps: range, **more: float) -> None:
    for step in steps:
        target.log_metrics({"loss": float(step)} | more, step)
    target.save()


def rows(folder: Path) -> list[tuple[int, str]]:
    return [(int(row["step"]), row["loss"]) for row in csv.DictReader((folder / "csv/metrics.csv").open())]


def test_what_comes_after_the_checkpoint_is_dropped(tmp_path: Path) -> None:
    log(logger(tmp_path), range(10))
    log(logger(tmp_path, updates=6), range(6, 8))
    assert [step for step, _ in rows(tmp_path)] == list(range(8))


def test_a_new_run_does_not_keep_the_rows_of_another(tmp_path: Path) -> None:
    log(logger(tmp_path), range(10))
    log(logger(tmp_path), range(2))
    assert [step for step, _ in rows(tmp_path)] == [0, 1]


def test_a_row_that_is_logged_again_takes_the_place_of_the_first(tmp_path: Path) -> None:
    log(logger(tmp_path), range(4))
    again = logger(tmp_path, updates=4)
    again.log_metrics({"loss": 9.0}, 2)
    again.log_metrics({"other": 1.0}, 3)  # another metric of the same step is no repetition
    again.save()
    assert sorted(rows(tmp_path)) == [(0, "0.0"), (1, "1.0"), (2, "9.0"), (3, ""), (3, "3.0")]


def test_a_row_that_a_kill_has_cut_short_is_dropped(tmp_path: Path) -> None:
    log(logger(tmp_path), range(4), more=1.0)
    path = tmp_path / "csv/metrics.csv"
    path.write_text(path.read_text()[:-3])
    log(logger(tmp_path, updates=4), range(4, 5), more=1.0)
    assert [step for step, _ in rows(tmp_path)] == [0, 1, 2, 4]


@pytest.mark.parametrize(
    "step", ["--1", "\u00b2", "9" * 5000, "x" * 200_000, ""], ids=["signs", "power", "digits", "text", "none"]
)
def test_a_row_whose_step_is_no_number_is_dropped(tmp_path: Path, step: str) -> None:
    log(logger(tmp_path), range(4))
    with (tmp_path / "csv/metrics.csv").open("a", encoding="utf-8") as file:
        file.write(f"1.0,{step}\n")
    log(logger(tmp_path, updates=4), range(4, 5))
    assert rows(tmp_path)[-1][0] == 4


def test_a_row_of_more_fields_than_names_is_dropped(tmp_path: Path) -> None:
    log(logger(tmp_path), range(4))
    with (tmp_path / "csv/metrics.csv").open("a", encoding="utf-8") as file:
        file.write("1.0,3,5\n")
    log(logger(tmp_path, updates=4), range(4, 5))
    assert [step for step, _ in rows(tmp_path)] == [0, 1, 2, 3, 4]


def test_a_new_column_does_not_put_the_earlier_rows_at_risk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = logger(tmp_path)
    log(target, range(4))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device.*metrics\.csv"):
        log(target, range(4, 5), more=1.0)
    assert [step for step, _ in rows(tmp_path)] == list(range(4))


def test_rows_of_the_end_are_on_the_disk_before_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has the results goes on no more: a kill right after them must not cost rows."""
    seen: list[str] = []

    def look(path: Path, document: object) -> None:
        seen.append((path.parent / "csv" / "metrics.csv").read_text())

    monkeypatch.setattr(rollout_evaluation, "write_json", look)
    fit(tmp_path / "run")
    assert "final/" in seen[0].splitlines()[0]
    assert "rollout/" in seen[0].splitlines()[0]
