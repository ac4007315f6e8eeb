"""A run that a signal or a full disk stops says how to go on, and goes on to what it would have been."""

from __future__ import annotations

import contextlib
import csv
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import HOPPER, TINY, fit, last, one_stage, read_checkpoint, results, same, weights

from spar_lightning.algorithms import SPAR, TD3BC
from spar_lightning.cli import main
from spar_lightning.evaluation import PolicyEvaluator
from spar_lightning.training import BCModule, SPARModule

STATUS = {signal.SIGTERM: 143, signal.SIGINT: 130}


def at_call(patch: pytest.MonkeyPatch, owner: type, method: str, number: int, action: Callable[[], None]) -> None:
    """Do something at the beginning of a method's nth call."""
    original, calls = getattr(owner, method), []

    def counted(self: Any, *arguments: Any, **keywords: Any) -> Any:
        calls.append(method)
        if len(calls) == number:
            action()
        return original(self, *arguments, **keywords)

    patch.setattr(owner, method, counted)


def send(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def advised(capsys: pytest.CaptureFixture[str], status: int, *arguments: str) -> list[str]:
    """Run a command line that is stopped; returns the arguments that it advises to go on with."""
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    message = capsys.readouterr().err
    assert exit_.value.code == status, message
    assert "Traceback" not in message
    line = next(line for line in message.splitlines() if line.strip().startswith("python -m spar_lightning"))
    return shlex.split(line)[3:]


def arguments(run: Path) -> list[str]:
    return ["fit", "--run_dir", str(run), "--data.dataset", HOPPER, *TINY]


def logged(run: Path) -> list[tuple[int, str]]:
    """Steps and names of what was logged, but for losses of the held-out data: a stopped validation leaves them out."""
    rows = list(csv.DictReader((run / "csv" / "metrics.csv").open()))
    return sorted(
        (int(row["step"]), name)
        for row in rows
        for name in row
        if row[name] and name not in ("step", "epoch") and "validation" not in name
    )


def assert_same_end(run: Path, finished: Path) -> None:
    assert same(weights(last(run)), weights(last(finished)))
    keys = ("updates", "score", "return", "base", "fitted", "improvement", "best", "history", "checkpoints")
    assert [results(run)[key] for key in keys] == [results(finished)[key] for key in keys]
    assert logged(run) == logged(finished)
    assert not list(run.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("owner", "method", "call", "number", "updates"),
    [
        pytest.param(SPAR, "update", 12, signal.SIGTERM, 12, id="warm-up"),
        pytest.param(SPAR, "update", 33, signal.SIGINT, 33, id="improvement"),
        pytest.param(SPAR, "update", 20, signal.SIGTERM, 20, id="update-before-evaluation"),
        pytest.param(PolicyEvaluator, "evaluate", 1, signal.SIGINT, 20, id="evaluation"),
        pytest.param(PolicyEvaluator, "evaluate", 2, signal.SIGTERM, 40, id="last-evaluation-in-training"),
        pytest.param(PolicyEvaluator, "evaluate", 3, signal.SIGTERM, 40, id="final-evaluation"),
    ],
)
def test_a_signal_in_the_main_stage_loses_nothing(
    tmp_path: Path,
    finished_run: Path,
    capsys: pytest.CaptureFixture[str],
    owner: type,
    method: str,
    call: int,
    number: int,
    updates: int,
) -> None:
    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, owner, method, call, send(number))
        command = advised(capsys, STATUS[signal.Signals(number)], *arguments(run))
    assert command == ["fit", "--resume", str(run)]
    assert read_checkpoint(last(run))["global_step"] == updates
    assert not (run / "results.json").exists()
    main(command)
    assert_same_end(run, finished_run)


def test_a_signal_in_the_base_stage_loses_nothing(
    tmp_path: Path, finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, BCModule, "training_step", 12, send(signal.SIGTERM))
        command = advised(capsys, 143, *arguments(run))
    assert command == ["fit", "--resume", str(run)]
    assert read_checkpoint(last(run / "base"))["global_step"] == 12
    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, BCModule, "training_step", 6, send(signal.SIGTERM))
        assert advised(capsys, 143, *command) == command
    assert read_checkpoint(last(run / "base"))["global_step"] == 18
    main(command)
    assert_same_end(run, finished_run)
    assert logged(run / "base") == logged(finished_run / "base")


def test_a_signal_before_the_first_update_goes_on_from_the_base(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], finished_run: Path
) -> None:
    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, SPARModule, "on_fit_start", 1, send(signal.SIGINT))
        command = advised(capsys, 130, *arguments(run))
    before = last(run / "base").stat().st_mtime_ns
    main(command)
    assert last(run / "base").stat().st_mtime_ns == before
    assert_same_end(run, finished_run)


def test_a_signal_before_the_first_update_of_all_means_to_start_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], finished_run: Path
) -> None:
    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, BCModule, "on_fit_start", 1, send(signal.SIGINT))
        command = advised(capsys, 130, *arguments(run))
    assert command == ["fit", "--resume", str(run)]
    main(command)
    assert_same_end(run, finished_run)


def test_a_baseline_stops_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    start = ["fit", "--algorithm", "td3_bc", "--run_dir", str(run), "--data.dataset", HOPPER, *one_stage(TINY)]
    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, TD3BC, "update", 12, send(signal.SIGTERM))
        command = advised(capsys, 143, *start)
    assert read_checkpoint(last(run))["global_step"] == 12
    main(command)
    assert results(run)["updates"] == 40


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MB, where this user may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")  # as of the thread that logs
@pytest.mark.parametrize("disk", ["refused", "mounted"])
def test_a_full_disk_costs_only_what_came_after_the_last_checkpoint(
    tmp_path: Path, finished_run: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest, disk: str
) -> None:
    place = request.getfixturevalue("small_disk") if disk == "mounted" else tmp_path
    run, ballast = place / "run", place / "ballast"

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    def fill() -> None:
        if disk == "refused":
            patch.setattr(os, "fsync", refuse)
            return
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, SPAR, "update", 33, fill)
        with pytest.raises(SystemExit) as exit_:
            main(arguments(run))
    message = capsys.readouterr().err
    assert exit_.value.code == 2, message
    assert "No space left on device" in message
    assert f"in the run {run}: free space, then go on with" in message
    assert read_checkpoint(last(run))["global_step"] == 20
    ballast.unlink(missing_ok=True)
    main(["fit", "--resume", str(run)])
    assert_same_end(run, finished_run)


def test_a_run_killed_before_its_results_is_completed(finished_run: Path, tmp_path: Path) -> None:
    run = fit(tmp_path / "run")
    (run / "results.json").unlink()  # as after a kill in the last evaluation
    main(["fit", "--resume", str(run)])
    assert_same_end(run, finished_run)


def start(run: Path, *extra: str) -> subprocess.Popen[str]:
    long = ("--trainer.max_steps", "1000000", "--trainer.val_check_interval", "100000", "--model.warmup_steps", "100")
    command = [sys.executable, "-m", "spar_lightning", *arguments(run), *long, *extra]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for_metrics(process: subprocess.Popen[str], run: Path) -> None:
    deadline = time.monotonic() + 100
    while not (run / "csv" / "metrics.csv").exists():
        assert process.poll() is None, "it ended before it could be stopped"
        assert time.monotonic() < deadline, "it logged nothing in time"
        time.sleep(0.05)


def stopped(run: Path, *extra: str, stop: Callable[[subprocess.Popen[str]], None]) -> tuple[int, str]:
    """Status and words of a training that something stops."""
    process = start(run, *extra)
    try:
        wait_for_metrics(process, run)
        stop(process)
        _, message = process.communicate(timeout=60)
    finally:
        process.kill()
    assert f"fit --resume {run}" in message
    return process.returncode, message


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "extra"),
    [
        (signal.SIGTERM, ()),
        (signal.SIGINT, ("--callbacks.rollout.background", "true")),
        (signal.SIGTERM, ("--trainer.devices", "2")),
    ],
)
def test_a_process_ends_with_the_status_of_its_signal(tmp_path: Path, number: int, extra: tuple[str, ...]) -> None:
    status, message = stopped(tmp_path / "run", *extra, stop=lambda process: process.send_signal(number))
    assert status == STATUS[signal.Signals(number)], message
    assert read_checkpoint(last(tmp_path / "run"))["global_step"] > 0


@pytest.mark.slow
def test_two_impatient_stops_of_all_processes_are_one(tmp_path: Path) -> None:
    def twice(process: subprocess.Popen[str]) -> None:
        for _ in range(2):  # as a terminal sends them, to each
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.001)

    status, message = stopped(tmp_path / "run", "--trainer.devices", "2", stop=twice)
    # The second may find the first process with its work done: then it is the interpreter that ends by the signal.
    assert status in (130, -signal.SIGINT), message
    assert "another process" not in message


@pytest.mark.slow
def test_a_run_stopped_beside_a_background_evaluation_goes_on(
    tmp_path: Path, finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, SPAR, "update", 23, send(signal.SIGTERM))
        command = advised(capsys, 143, *arguments(run), "--callbacks.rollout.background", "true")
    main(command)
    assert_same_end(run, finished_run)


def test_a_second_run_in_the_process_is_not_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, SPAR, "update", 3, send(signal.SIGTERM))
        advised(capsys, 143, *arguments(tmp_path / "first"))
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
    assert results(fit(tmp_path / "second"))["updates"] == 40
