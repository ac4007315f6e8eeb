"""Which runs are seeds of one experiment, and what the table says of them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from spar_lightning.report import summarize
from spar_lightning.report.documents import read_runs
from spar_lightning.report.short_table import short_table
from spar_lightning.types import UserError

SETTINGS = {"model": {"kappa": 2.0, "base": {"dropout": 0.1}}, "data": {"batch_size": 256}}


def write(folder: Path, age: float = 0.0, **changes: Any) -> None:
    """A results.json of `age` seconds."""
    document = {
        "dataset": "toy/one-v0",
        "seed": 0,
        "updates": 100,
        "score": 30.0,
        "base": {"score": 20.0, "return": 20.0},
        "improvement": {"mean": 10.0},
        "best": {"score": 35.0, "return": 35.0},
        "wall_time_s": {"total": 90.0},
        "settings": SETTINGS,
    }
    folder.mkdir()
    path = folder / "results.json"
    path.write_text(json.dumps(document | changes))
    os.utime(path, (1e9 - age, 1e9 - age))


def model(**changes: Any) -> dict[str, Any]:
    return SETTINGS | {"model": SETTINGS["model"] | changes}


@pytest.fixture
def table(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    def read() -> tuple[list[dict[str, str]], list[str]]:
        """Rows by column, and the lines below the table."""
        summarize([str(tmp_path)])
        lines = capsys.readouterr().out.splitlines()
        cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
        names, _, *rows = cells
        notes = [line for line in lines if line and not line.startswith("|")]
        return [dict(zip(names, row, strict=True)) for row in rows], notes

    return read


def test_runs_without_results_are_told(tmp_path, table):
    write(tmp_path / "finished")
    (tmp_path / "finished" / "config.yaml").touch()
    for name in ("stopped", "running"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").touch()
    (row,), notes = table()
    assert row["seeds"] == "0"
    assert notes == [f"Left out: 2 without results, such as {tmp_path / 'running'} (`fit --resume` goes on)."]


def test_runs_without_results_are_told_of_a_folder_below_the_home(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "finished")
    (tmp_path / "stopped").mkdir()
    (tmp_path / "stopped" / "config.yaml").touch()
    summarize(["~"])
    assert f"Left out: 1 without results, such as {tmp_path / 'stopped'} " in capsys.readouterr().out


def test_seeds_of_one_experiment_share_a_row(tmp_path, table):
    for seed, improvement in enumerate([3.0, 1.0, 2.0]):
        write(tmp_path / str(seed), age=seed, seed=seed, improvement={"mean": improvement})
    (row,), notes = table()
    assert row == {
        "dataset": "toy/one-v0",
        "settings": "",
        "seeds": "0 1 2",
        "updates": "100",
        "base": "20.0 (20, 20, 20)",
        "fitted": "-",
        "last": "30.0 (30, 30, 30)",
        "improvement [95%]": "+2.0 [-0.5, +4.5]",
        "best seen": "35.0 (35, 35, 35)",
        "minutes (main stage)": "1.5",
    }
    assert notes == []


def test_other_settings_are_another_experiment_and_are_named(tmp_path, table):
    write(tmp_path / "a", seed=0)
    write(tmp_path / "b", seed=1, settings=model(kappa=4.0))
    write(tmp_path / "c", seed=2, settings=model(base={"dropout": 0.0}))
    write(tmp_path / "d", dataset="toy/two-v0", settings=model(kappa=8.0))
    rows, _ = table()
    assert [(row["dataset"], row["seeds"], row["settings"]) for row in rows] == [
        ("toy/one-v0", "2", "model.base.dropout=0.0, model.kappa=2.0"),
        ("toy/one-v0", "0", "model.base.dropout=0.1, model.kappa=2.0"),
        ("toy/one-v0", "1", "model.base.dropout=0.1, model.kappa=4.0"),
        ("toy/two-v0", "0", ""),  # nothing to tell it from
    ]


def test_a_setting_that_only_some_have_is_named(tmp_path, table):
    write(tmp_path / "a")
    write(tmp_path / "b", settings=model(sigma=0.5))
    rows, _ = table()
    assert sorted(row["settings"] for row in rows) == ["", "model.sigma=0.5"]


def test_other_lengths_are_another_row_with_the_same_settings(tmp_path, table):
    write(tmp_path / "a")
    write(tmp_path / "b", updates=2000)
    rows, notes = table()
    assert [(row["updates"], row["settings"]) for row in rows] == [("100", ""), ("2,000", "")]
    assert notes == []


def test_runs_of_an_earlier_version_form_one_group(tmp_path, table):
    write(tmp_path / "new", seed=0)
    for seed in (1, 2):
        write(tmp_path / str(seed), seed=seed)
        path = tmp_path / str(seed) / "results.json"
        document = json.loads(path.read_text())
        del document["settings"]
        path.write_text(json.dumps(document))
    rows, _ = table()
    assert sorted((row["seeds"], row["settings"]) for row in rows) == [("0", ""), ("1 2", "not recorded")]


def test_of_runs_with_one_seed_the_newest_counts(tmp_path, table):
    write(tmp_path / "a", age=10, score=50.0)
    write(tmp_path / "b", age=5, score=60.0)
    write(tmp_path / "c", age=20, score=70.0)
    (row,), (note,) = table()
    assert (row["seeds"], row["last"]) == ("0", "60.0")
    assert "2 older" in note


def test_runs_without_a_seed_are_all_kept(tmp_path, table):
    write(tmp_path / "a", seed=None)
    write(tmp_path / "b", seed=None)
    write(tmp_path / "c", seed=4)
    (row,), notes = table()
    assert row["seeds"] == "4 - -"
    assert notes == []


def test_a_single_run_has_no_interval(tmp_path, table):
    write(tmp_path / "a")
    (row,), _ = table()
    assert row["improvement [95%]"] == "+10.0"


def test_runs_without_scores_are_counted(tmp_path, table):
    write(tmp_path / "a")
    write(tmp_path / "b", score=None)
    rows, (note,) = table()
    assert len(rows) == 1
    assert "1 without an evaluation" in note


def test_returns_stand_in_where_no_score_is_defined(tmp_path, table):
    rows = {"base": {"score": None, "return": 2.0}, "best": {"score": None, "return": 9.0}}
    write(tmp_path / "a", score=None, **{"return": 7.0}, **rows)
    (row,), notes = table()
    assert (row["dataset"], row["base"], row["last"], row["best seen"]) == (
        "toy/one-v0 (returns)",
        "2.0",
        "7.0",
        "9.0",
    )
    assert notes == []


def test_a_folder_without_runs_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"no results\.json"):
        summarize([str(tmp_path)])


def test_a_module_of_one_stage_has_its_own_row_without_a_base(tmp_path, table):
    write(tmp_path / "a", module="SPARModule")
    write(tmp_path / "b", module="TD3BCModule", score=12.0, settings={"model": {"alpha": 2.5}, "data": {}})
    document = json.loads((tmp_path / "b" / "results.json").read_text())
    for name in ("base", "improvement"):
        del document[name]
    (tmp_path / "b" / "results.json").write_text(json.dumps(document))
    rows, notes = table()
    columns = ("settings", "base", "last", "improvement [95%]")
    assert [tuple(row[name] for name in columns) for row in rows] == [
        ("SPARModule", "20.0", "30.0", "+10.0"),
        ("TD3BCModule", "-", "12.0", "-"),
    ]
    assert notes == []


def test_files_go_by_their_names_where_these_differ(tmp_path: Path) -> None:
    for place, path in enumerate(("/one/logs.npz", "/two/logs.npz", "/two/mine.npz")):
        write(tmp_path / str(place), dataset=path)
    lines = short_table(read_runs([str(tmp_path)]))[2:]
    assert [line.split("|")[1].strip() for line in lines] == ["/one/logs.npz", "/two/logs.npz", "mine.npz"]
