"""Runs that are killed at random moments, while they train, evaluate and write: each ends as one that was not."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from commands import fit, options
from test_stopping import arguments, assert_same_end, logged

from spar_lightning.cli import main
from spar_lightning.evaluation import worker

KILLS = 10
OFTEN = options(
    bc__trainer__val_check_interval=4,
    trainer__val_check_interval=4,
    trainer__log_every_n_steps=2,
    bc__trainer__log_every_n_steps=2,
)
"""Settings with which a checkpoint is written, and an evaluation made, at most moments."""


def launch(line: Sequence[str], folder: Path) -> int:
    """Run a command line in a fork, which need not import anything, with another file system for what is temporary."""
    if pid := os.fork():
        return pid
    try:
        with Path(os.devnull).open("w") as nowhere, (folder / "errors.txt").open("a") as errors:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(errors.fileno(), 2)
        os.environ["TMPDIR"], tempfile.tempdir = "/dev/shm", None
        # A spawned process would import everything for seconds, longer than the run takes.
        forking = multiprocessing.get_context("fork")
        worker.multiprocessing.get_context = lambda method: forking
        main(line)
        os._exit(0)
    except SystemExit as exit_:
        os._exit(int(exit_.code or 0))
    finally:
        os._exit(1)


def ended(pid: int, seconds: float) -> int | None:
    """The exit status of a process, None where it still runs after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            return None
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("in_background", [False, True], ids=["foreground", "background"])
def test_whenever_a_run_is_killed_it_ends_in_the_same_bits(tmp_path: Path, in_background: bool) -> None:
    extra = [*OFTEN, *(("--callbacks.rollout.background", "true") if in_background else ())]
    began = time.monotonic()
    whole = fit(tmp_path / "whole", *OFTEN)
    duration, choice = time.monotonic() - began, random.Random(int(in_background))
    kills, number = 0, 0
    while kills < KILLS:
        run = tmp_path / f"run{number}"
        number += 1
        while True:
            line = ["fit", "--resume", str(run)] if (run / "config.yaml").exists() else [*arguments(run), *extra]
            pid = launch(line, tmp_path)
            # Some runs are let go on at last, or there would be no end to compare.
            patience = choice.uniform(0, duration) if kills < KILLS and choice.random() < 0.8 else 120
            if (status := ended(pid, patience)) is not None:
                break
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            kills += 1
        assert status == 0, (tmp_path / "errors.txt").read_text()[-2000:]
        assert_same_end(run, whole)
        assert logged(run / "base") == logged(whole / "base")
