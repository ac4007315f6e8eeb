"""What fails costs no more than itself: peaks, later groups, files that cannot be written, a parent that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spar_lightning.benchmark.command import bench
from spar_lightning.benchmark.measuring import rounds
from spar_lightning.benchmark.measuring.child import Child, ChildError, Finished, run_peak
from spar_lightning.benchmark.measuring.gate import Window
from spar_lightning.benchmark.measuring.peak import Shape
from spar_lightning.types import UserError

FAMILY = """
import sys, time
from spar_lightning.benchmark.measuring.child import Child

def hold(connection, path):
    with open(path, "w") as pipe:
        connection.send("holding")
        time.sleep(30)
        pipe.write("still here")

if __name__ == "__main__":
    print(Child(hold, 1, sys.argv[1]).ask("begin"), flush=True)
    time.sleep(60)
"""


class Stub:
    """Answers as a child does, without a process; the peak ends after a window."""

    def __init__(self, target: Any, threads: int, *arguments: Any) -> None:
        if threads == 3:
            raise OSError(11, "no more processes")
        self.shapes = arguments[0] if target is run_peak else None
        self.windows = 0

    def ask(self, command: str) -> Any:
        if self.shapes is None:
            finished = Finished(1e6, 2.0, 1.0, None)
            return finished if command == "stop" else Window(10, 1.0, parts={"loop": 1.0})
        if command == "begin":
            return {shape: "too large" for shape in self.shapes if shape.batch_size > 1000}
        self.windows += 1
        if self.windows > 1:
            raise ChildError("the process ended with exit code -9")
        return {shape: {"mm": 1.0} for shape in self.shapes if shape.batch_size <= 1000}

    def end(self) -> None:
        pass


@pytest.fixture
def stubbed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(rounds, "Child", Stub)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_shape_too_large_costs_only_its_own_peak_and_interrupts_are_ignored() -> None:
    small, large = Shape("32-true", 8, 16), Shape("32-true", 10**15, 16)
    handler = signal.getsignal(signal.SIGINT)
    child = Child(run_peak, 1, [large, small], "cpu")
    try:
        assert signal.getsignal(signal.SIGINT) is handler
        assert child._worker.process.pid is not None
        os.kill(child._worker.process.pid, signal.SIGINT)  # long before it runs a line of this project
        errors = child.ask("begin")
        assert set(errors) == {large}
        assert errors[large].startswith("RuntimeError")
        assert set(child.ask("window")) == {small}
    finally:
        child.end()


def test_missing_peaks_are_said(stubbed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench("plain", batch_sizes=[64, 4000], repeats=2, accelerator="cpu", figure="drawn/bench.svg")
    shown = capsys.readouterr().out
    small, large = json.loads((stubbed / "bench.json").read_text())["results"]
    assert (small["peak_error"], large["peak_error"]) == ("the process ended with exit code -9", "too large")
    assert small["peak_share"] is not None  # of the round before
    assert large["peak_share"] is None
    assert len(small["rounds"]) == len(large["rounds"]) == 2
    assert "plain batch_size=4000, peak: too large" in shown
    assert (stubbed / "drawn" / "bench.svg").stat().st_size > 1000


def test_a_later_group_takes_nothing_from_earlier_ones(stubbed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError, match="no more processes"):
        bench("plain", threads=[1, 3], at_once=1, repeats=1, accelerator="cpu")
    assert [found["name"] for found in json.loads((stubbed / "bench.json").read_text())["results"]] == [
        "plain threads=1"
    ]
    assert "plain threads=1" in capsys.readouterr().out


def test_the_table_is_shown_even_if_the_file_cannot_be_written(
    stubbed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        bench("plain", repeats=1, accelerator="cpu")
    assert "updates/s" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["output", "figure"])
def test_files_are_checked_first(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rounds, "Child", None)  # nothing may be started
    (tmp_path / "file").write_text("kept")
    with pytest.raises(UserError, match=rf"cannot write to `{name}`, file/bench.png .* another one with --{name}"):
        bench("plain", accelerator="cpu", **{name: "file/bench.png"})  # type: ignore[arg-type]
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match=rf"cannot write to `{name}`, folder.png \(Is a directory\)"):
        bench("plain", accelerator="cpu", **{name: "folder.png"})  # type: ignore[arg-type]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]


@pytest.mark.parametrize("figure", ["bench", "bench.xyz"])
def test_figures_that_cannot_be_drawn_are_refused_first(figure: str) -> None:
    with pytest.raises(UserError, match=rf"`figure` is {figure}, expected a name that ends in one of .*\.png"):
        bench(figure=figure)


def test_children_go_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script, pipe = tmp_path / "family.py", tmp_path / "pipe"
    script.write_text(FAMILY)
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # which does not wait for a writer
    os.set_blocking(held, True)
    with (
        os.fdopen(held) as end,
        subprocess.Popen([sys.executable, script, pipe], stdout=subprocess.PIPE, text=True) as parent,
    ):
        assert parent.stdout is not None
        assert parent.stdout.readline() == "holding\n"
        parent.kill()
        assert end.read() == ""  # it ends when nobody holds the other end
