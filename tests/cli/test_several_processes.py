"""Training in two processes on the CPU, end to end from the command line."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
import torch.distributed as dist
from commands import HOPPER, TINY, fit, last, one_stage, read_checkpoint, refused, results, run_command, spawn
from test_stopping import start, wait_for_metrics

from spar_lightning.cli.run.going_on import GoingOn
from spar_lightning.types import UserError

TWO = ("--data.dataset", HOPPER, "--trainer.devices", "2")


def files(folder: Path) -> set[str]:
    """Names below a folder, without the parts that tell TensorBoard's files apart."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {re.sub(r"tfevents\..*", "tfevents", str(path)) for path in paths}


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "auto"])
def test_both_stages_in_two_processes_make_one_set_of_files(finished_run: Path, tmp_path: Path, strategy: str) -> None:
    done = spawn("fit", *TWO, *TINY, "--trainer.strategy", strategy)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "runs").glob("*/*")] == ["version_0"]
    run = next((tmp_path / "runs").glob("*/*"))
    assert files(run) == files(finished_run)
    assert results(run)["updates"] == read_checkpoint(last(run))["global_step"] == 40
    assert [row["step"] for row in results(run)["history"]] == [20, 40]
    assert len(read_checkpoint(last(run))["callbacks"]["ResumableCheckpoint"]["random_states"]) == 2


@pytest.mark.slow
def test_one_stage_in_two_processes_makes_one_set_of_files(finished_run: Path, tmp_path: Path) -> None:
    done = spawn("fit", "--algorithm", "td3_bc", *TWO, *one_stage(TINY), "--trainer.strategy", "ddp")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "runs").glob("*/*")] == ["version_0"]
    run = next((tmp_path / "runs").glob("*/*"))
    assert files(run) == {name for name in files(finished_run) if not name.startswith("base/")}
    assert results(run)["updates"] == 40


@pytest.mark.slow
def test_a_run_goes_on_in_two_processes(finished_run: Path, tmp_path: Path) -> None:
    run = fit(tmp_path / "run", "--bc.ckpt_path", str(last(finished_run / "base")))
    before = files(run)
    done = spawn("fit", *TWO, *TINY, "--ckpt_path", str(last(run)), "--trainer.max_steps", "60")
    assert done.returncode == 0, done.stderr
    assert results(run)["updates"] == 60
    assert files(run) == before
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_processes_that_torchrun_starts_share_a_folder(finished_run: Path, tmp_path: Path) -> None:
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    done = run_command(*launcher, "-m", "spar_lightning", "fit", *TWO, *TINY, "--trainer.strategy", "ddp")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "runs").glob("*/*")] == ["version_0"]
    assert files(tmp_path / "runs" / "hopper-medium-replay-v0" / "version_0") == files(finished_run)


def test_a_strategy_that_would_fail_in_training_is_refused_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strategy = "ddp_find_unused_parameters_false"
    message = refused(capsys, "fit", *TWO, *TINY, "--trainer.strategy", strategy)
    assert "give `ddp` as the strategy" in message
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["first", "second"])
def test_a_process_that_dies_ends_the_training(tmp_path: Path, killed: str) -> None:
    run = tmp_path / "run"
    process = start(run, "--trainer.devices", "2")
    main_process = psutil.Process(process.pid)
    try:
        wait_for_metrics(process, run)
        (second,) = (child for child in main_process.children() if "fit" in child.cmdline())
        (main_process if killed == "first" else second).kill()
        _, left = psutil.wait_procs([main_process, second], timeout=30)
        assert not left
        assert process.stderr is not None
        message = process.stderr.read()
    finally:
        process.kill()
    assert "another process of this training has died" in message or "terminated with code" in message, message
    assert message.count("another process of this training has died") <= 1


def test_a_process_that_dies_is_said(tmp_path: Path) -> None:
    store = f"file://{tmp_path / 'store'}"
    if not (pid := os.fork()):
        dist.init_process_group("gloo", init_method=store, rank=1, world_size=2)
        os._exit(1)
    dist.init_process_group("gloo", init_method=store, rank=0, world_size=2)
    began = time.monotonic()
    with pytest.raises(UserError, match="another process of this training has died"):
        _wait_for_the_other(tmp_path)
    assert time.monotonic() - began < 30
    assert not dist.is_initialized()
    os.waitpid(pid, 0)


def _wait_for_the_other(folder: Path) -> None:
    with GoingOn(folder, []).told():
        while True:
            dist.all_reduce(torch.ones(1))
