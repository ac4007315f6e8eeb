"""Disks that are full: one sentence with the place, and nothing that is half written."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import last, refused

from spar_lightning.cli import main

BYTES = 1500
"""What fits on the disk of a file: less than the smallest file that a command writes first."""


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may get longer, as on a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (BYTES, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (("report", "RUN", "--out", "out", "--figures", "false"), "out/runs.json"),
        (("export", "CHECKPOINT", "--format", "npz", "--output", "out"), "policy.npz"),
        (("analyze", "RUN", "--out", "out", "--episodes", "1", "--states", "200"), "out/learning_curves.png"),
        (
            ("evaluate", "CHECKPOINT", "--episodes", "1", "--max_episode_steps", "5", "--video", "out/a.gif"),
            "out/a.gif",
        ),
        (("evaluate", "CHECKPOINT", "--episodes", "1", "--max_episode_steps", "5", "--video", "out/a.mp4"), None),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_a_command_that_writes_files(
    tmp_path: Path, finished_run: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], file: str | None
) -> None:
    places = {"RUN": str(finished_run), "CHECKPOINT": str(last(finished_run))}
    (tmp_path / "out").mkdir()
    with full_disk():
        said = refused(capsys, *[places.get(argument, argument) for argument in arguments])
    error = said.rpartition("\n\nerror: ")[2] if "\n\nerror: " in said else said.removeprefix("\nerror: ")
    if file is None:  # it is the encoder's own file that cannot be written
        assert error.startswith("the video was not encoded to its end, expected a whole one: free space in /")
    else:
        assert error.startswith("cannot read or write ")
        assert f"{file} (File too large): free space, or name another folder" in error
    assert len(error.strip().splitlines()) == 1
    assert all(path.stat().st_size <= BYTES for path in tmp_path.rglob("*") if path.is_file())
    assert not list(tmp_path.rglob("*.tmp"))
    for suffix in (".gif", ".mp4", ".npz", ".png", ".json"):
        assert not list(tmp_path.rglob(f"*{suffix}"))


@pytest.mark.parametrize(
    "arguments",
    [("summarize", "RUN"), ("ope", "CHECKPOINT", "--updates", "0", "--json"), ("data", "list", "--json")],
    ids=lambda arguments: arguments[0],
)
def test_a_command_that_prints(
    finished_run: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
) -> None:
    places = {"RUN": str(finished_run), "CHECKPOINT": str(last(finished_run))}
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit) as exit_:
            main([places.get(argument, argument) for argument in arguments])
    assert exit_.value.code == 2
    assert "error: cannot read or write the standard output (No space left on device)" in capsys.readouterr().err


def test_what_a_report_has_written_before_the_disk_was_full_is_whole(
    tmp_path: Path, finished_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["report", str(finished_run), "--out", "out", "--figures", "false"])
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    with full_disk():
        refused(capsys, "report", str(finished_run), "--out", "out", "--figures", "false", "--title", "Anew")
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before
    json.loads((tmp_path / "out" / "report.json").read_text())
