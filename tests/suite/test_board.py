"""What a person sees, and how long the rest is said to take."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from spar_lightning.suite.board import Board
from spar_lightning.suite.engine import LocalProcesses
from spar_lightning.suite.jobs import Job, State
from spar_lightning.suite.runs import Run
from spar_lightning.suite.tally import Tally


def job(folder: Path, method: str, seed: int, state: State = State.NEW) -> Job:
    return Job((Run("toy", "one", method, "", seed, {}, folder / method / str(seed)),), state)


def write_progress(job: Job, updates: int) -> None:
    """As a run of 100 updates does."""
    (job.folder / "csv").mkdir(parents=True, exist_ok=True)
    (job.folder / "config.yaml").write_text("trainer:\n  max_steps: 100\n")
    (job.folder / "csv" / "metrics.csv").write_text(f"step,loss\n{updates - 1},0.5\n")


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    return [job(tmp_path, "BC", 0), job(tmp_path, "BC", 1), job(tmp_path, "SPAR", 0), job(tmp_path, "SPAR", 1)]


def test_the_table_shows_what_runs_what_is_done_and_what_failed(jobs: list[Job]) -> None:
    results = jobs[0].folder / "results.json"
    results.parent.mkdir(parents=True)
    results.write_text(json.dumps({"score": 81.0, "return": 900.0}))
    jobs[1].folder.mkdir(parents=True)
    (jobs[1].folder / "output.log").write_text("error: no simulator\n")
    screen = io.StringIO()
    tally = Tally(list(jobs), kept=3, at_once=2)
    board = Board(tally, LocalProcesses(2, 1), Console(file=screen, force_terminal=True, width=120))
    with board.shown():
        for started in jobs[:3]:
            tally.begin(started)
        board.ended(jobs[0], tally.end(jobs[0], None), None)
        board.ended(jobs[1], tally.end(jobs[1], "no simulator"), "no simulator")
        board.refresh()
    shown = screen.getvalue()
    for words in ("score 81.0", "SPAR, one, seed 0", "4 of 7 done, 1 failed", "1 wait"):
        assert words in shown, words
    assert shown.count("no simulator") >= 2  # said once for good, and kept in the table


def test_the_time_left_is_that_of_runs_of_the_same_method(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("spar_lightning.suite.tally.time", SimpleNamespace(monotonic=lambda: now[0]))
    tally = Tally(list(jobs), at_once=1)
    tally.begin(jobs[0])
    assert tally.left_s() is None  # nothing tells yet
    now[0] = 10.0
    tally.end(jobs[0], None)
    assert tally.left_s() == pytest.approx(30.0)  # three more, as far as is known
    tally.begin(jobs[2])
    now[0] = 50.0
    tally.end(jobs[2], None)
    tally.begin(jobs[1])
    now[0] = 54.0
    assert tally.left_s() == pytest.approx(6.0 + 40.0)  # the rest of BC, and SPAR


def test_the_progress_of_a_first_run_tells_its_time(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("spar_lightning.suite.tally.time", SimpleNamespace(monotonic=lambda: now[0]))
    tally = Tally(jobs[:1], at_once=1)
    tally.begin(jobs[0])
    write_progress(jobs[0], 25)
    now[0] = 10.0
    assert tally.left_s() == pytest.approx(30.0)


def test_what_was_done_at_another_time_is_no_haste_of_this_one(
    jobs: list[Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("spar_lightning.suite.tally.time", SimpleNamespace(monotonic=lambda: now[0]))
    resumed = job(tmp_path, "BC", 7, State.INTERRUPTED)
    write_progress(resumed, 80)
    tally = Tally([resumed, *jobs[:2]], at_once=1)
    tally.begin(resumed)
    now[0] = 2.0
    assert tally.left_s() is None  # four fifths were there before
    now[0] = 10.0
    write_progress(resumed, 90)
    assert tally.left_s() == pytest.approx(10.0 + 2 * 100.0)
    now[0] = 20.0
    tally.end(resumed, None)
    assert tally.left_s() is None  # a fifth of a run says nothing of whole ones
