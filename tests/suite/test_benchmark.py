"""Running a suite: what is kept, what goes on, what fails, what is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from filelock import FileLock

from spar_lightning.stopping import Stopped
from spar_lightning.suite import benchmark
from spar_lightning.suite.jobs import State, jobs_of
from spar_lightning.suite.progress import last_words, share_done
from spar_lightning.suite.runs import Run
from spar_lightning.types import UserError

FOLDERS = [f"{method}/seed_{seed}" for method in ("BC", "TD3+BC") for seed in (0, 1)]
Training = Callable[..., None]


def run_folder(out: Path, name: str) -> Path:
    return out / "hopper-medium-v0" / name


@pytest.fixture(autouse=True)
def _recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No data set is fetched: nothing is trained on it."""
    monkeypatch.setattr("spar_lightning.suite.command.fetch", lambda name: None)


def test_all_runs_are_run_and_told(
    suite_file: Path, training: Training, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark(str(suite_file), str(tmp_path / "out"), at_once=2)
    for name in FOLDERS:
        folder = run_folder(tmp_path / "out", name)
        record = json.loads((folder / "benchmark.json").read_text())
        assert (record["method"], record["seed"]) == (name.split("/")[0], int(name[-1]))
        assert (folder / "results.json").is_file()
        assert "--trainer.enable_progress_bar false" in (folder / "output.log").read_text()
    said = capsys.readouterr().out
    assert said.count("score 30.0 in ") == 4
    assert "4 of 4 runs are done" in said


def test_finished_runs_are_kept_and_a_failure_stops_nothing(
    suite_file: Path, training: Training, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training(fails=True)
    with pytest.raises(SystemExit) as exit_:
        benchmark(str(suite_file), str(tmp_path / "out"))
    assert exit_.value.code == 1
    told = capsys.readouterr()
    assert "2 of 4 runs are done" in told.out
    assert "BC, spar/hopper/medium-v0, seed 0: there is no simulator (exit status 2" in told.err
    kept = run_folder(tmp_path / "out", "TD3+BC/seed_0") / "results.json"
    age = kept.stat().st_mtime_ns
    training()
    benchmark(str(suite_file), str(tmp_path / "out"))
    assert kept.stat().st_mtime_ns == age
    assert "4 of 4 runs are done" in capsys.readouterr().out


BEGINNINGS = """
seeds: 2
data_sets: [spar/hopper/medium-v0]
methods:
  kappa 2: {same_warmup_as: SPAR, model.kappa: 2.0}
  SPAR: {trainer.default_root_dir: SPARS}
"""


def test_a_run_waits_for_the_one_that_it_begins_with(training: Training, tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_text(BEGINNINGS.replace("SPARS", "spar"))
    benchmark(str(tmp_path / "toy.yaml"), str(tmp_path / "out"), at_once=2, num_seeds=2)
    for seed in (0, 1):
        spar, other = (run_folder(tmp_path / "out", f"{name}/seed_{seed}") for name in ("SPAR", "kappa-2"))
        assert (spar / "results.json").stat().st_mtime_ns < (other / "output.log").stat().st_mtime_ns
        (said,) = (line for line in (other / "output.log").read_text().splitlines() if line.startswith("trains"))
        assert f"--ckpt_path {spar}/checkpoints/last.ckpt" in said
        assert "--num_seeds" not in said


def test_a_run_whose_beginning_is_neither_chosen_nor_done_is_told_at_once(training: Training, tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_text(BEGINNINGS.replace("SPARS", "spar"))
    suite, out = str(tmp_path / "toy.yaml"), str(tmp_path / "out")
    with pytest.raises(UserError, match="begins with SPAR, which is neither chosen nor done: add it to --methods"):
        benchmark(suite, out, methods=["kappa 2"])
    benchmark(suite, out, methods=["SPAR"])
    benchmark(suite, out, methods=["kappa 2"])
    assert (run_folder(tmp_path / "out", "kappa-2/seed_1") / "results.json").is_file()


def test_what_was_interrupted_goes_on_without_what_it_began_with(training: Training, tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_text(BEGINNINGS.replace("SPARS", "spar"))
    benchmark(str(tmp_path / "toy.yaml"), str(tmp_path / "out"))
    folder = run_folder(tmp_path / "out", "kappa-2/seed_0")
    (folder / "results.json").unlink()
    (folder / "config.yaml").touch()
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").touch()
    shutil.rmtree(run_folder(tmp_path / "out", "SPAR"))
    benchmark(str(tmp_path / "toy.yaml"), str(tmp_path / "out"), methods=["kappa 2"])
    assert (folder / "results.json").is_file()


def test_a_run_fails_with_the_one_that_it_begins_with(
    training: Training, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "toy.yaml").write_text(BEGINNINGS.replace("SPARS", "bc"))
    training(fails=True)
    with pytest.raises(SystemExit) as exit_:
        benchmark(str(tmp_path / "toy.yaml"), str(tmp_path / "out"))
    assert exit_.value.code == 1
    told = capsys.readouterr()
    assert "0 of 4 runs are done" in told.out
    folder = run_folder(tmp_path / "out", "SPAR/seed_1")
    assert f"seed 1: begins with another run, which is not done: {folder}" in " ".join(told.err.split())


def test_interrupted_runs_go_on_first_and_those_that_had_not_begun_start_again(
    suite_file: Path, training: Training, tmp_path: Path
) -> None:
    training(fails=True)
    with pytest.raises(SystemExit):
        benchmark(str(suite_file), str(tmp_path / "out"))
    interrupted, begun = (run_folder(tmp_path / "out", f"BC/seed_{seed}") for seed in (0, 1))
    (interrupted / "base" / "checkpoints").mkdir(parents=True)
    (interrupted / "config.yaml").touch()
    (begun / "base").mkdir()  # `fit` would refuse the folder
    training()
    benchmark(str(suite_file), str(tmp_path / "out"))
    assert f"fit --resume {interrupted}" in (interrupted / "output.log").read_text()
    assert (interrupted / "base" / "checkpoints").is_dir()
    assert not (begun / "base").exists()
    assert (begun / "results.json").is_file()


def test_seeds_share_a_process_if_asked_to(suite_file: Path, training: Training, tmp_path: Path) -> None:
    benchmark(str(suite_file), str(tmp_path / "out"), num_seeds=4)
    for method in ("BC", "TD3+BC"):
        log = (run_folder(tmp_path / "out", method) / "seed_0" / "output.log").read_text()
        assert "--num_seeds 2" in log
        assert log.count("\ntrains fit") == 1
    assert all((run_folder(tmp_path / "out", name) / "results.json").is_file() for name in FOLDERS)


def test_processes_of_one_method_have_an_output_each(suite_file: Path, training: Training, tmp_path: Path) -> None:
    suite_file.write_text(suite_file.read_text().replace("seeds: 2", "seeds: 4"))
    benchmark(str(suite_file), str(tmp_path / "out"), num_seeds=2, at_once=2, methods=["BC"])
    for first in (0, 2):
        log = (run_folder(tmp_path / "out", f"BC/seed_{first}") / "output.log").read_text()
        assert log.count("\ntrains fit") == 1
        assert f"--seed_everything {first}" in log


def test_processes_are_made_of_consecutive_seeds(tmp_path: Path) -> None:
    runs = [Run("toy", "one", "BC", "", seed, {}, tmp_path / f"seed_{seed}") for seed in (0, 1, 2, 4, 5)]
    states = [State.NEW, State.NEW, State.NEW, State.NEW, State.INTERRUPTED]
    jobs = jobs_of(runs, states, num_seeds=2)
    assert [[run.seed for run in job.runs] for job in jobs] == [[5], [0, 1], [2], [4]]


def test_only_some_are_run(suite_file: Path, training: Training, tmp_path: Path) -> None:
    benchmark(str(suite_file), str(tmp_path / "out"), methods=["BC"])
    assert not run_folder(tmp_path / "out", "TD3+BC").exists()
    with pytest.raises(UserError, match="there is no CQL among the `methods` of toy: BC, TD3\\+BC"):
        benchmark(str(suite_file), str(tmp_path / "out"), methods=["CQL"])


def test_other_settings_in_a_folder_are_refused_and_named(suite_file: Path, training: Training, tmp_path: Path) -> None:
    benchmark(str(suite_file), str(tmp_path / "out"))
    suite_file.write_text(suite_file.read_text().replace("[16]", "[32]"))
    with pytest.raises(UserError, match=r"settings \(--model.hidden_dims \[16\], now --model.hidden_dims \[32\]\)"):
        benchmark(str(suite_file), str(tmp_path / "out"))


def test_the_same_settings_in_another_order_go_on(
    suite_file: Path, training: Training, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = "algorithm: td3_bc", "model.hidden_dims: [16]"
    benchmark(str(suite_file), str(tmp_path / "out"))
    suite_file.write_text(suite_file.read_text().replace(f"{one}, {other}", f"{other}, {one}"))
    benchmark(str(suite_file), str(tmp_path / "out"), dry_run=True)
    assert "4 runs: 0 to do, 0 to go on, 4 done" in capsys.readouterr().out


def test_configurations_in_another_order_are_other_settings(
    suite_file: Path, training: Training, tmp_path: Path
) -> None:
    suite_file.write_text(suite_file.read_text() + "common: {config: [debug, hopper]}\n")
    benchmark(str(suite_file), str(tmp_path / "out"))
    suite_file.write_text(suite_file.read_text().replace("[debug, hopper]", "[hopper, debug]"))
    with pytest.raises(UserError, match=r"\(--config debug --config hopper, now --config hopper --config debug\)"):
        benchmark(str(suite_file), str(tmp_path / "out"))


def test_a_folder_of_somebody_elses_is_refused(suite_file: Path, training: Training, tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "out", FOLDERS[0])
    folder.mkdir(parents=True)
    (folder / "thesis.tex").touch()
    with pytest.raises(UserError, match=r"holds files, and no benchmark\.json"):
        benchmark(str(suite_file), str(tmp_path / "out"))
    assert (folder / "thesis.tex").is_file()


@pytest.mark.parametrize("engine", ["auto", "local"])
def test_a_share_of_a_gpu_that_nothing_reserves_is_refused(suite_file: Path, tmp_path: Path, engine: str) -> None:
    with pytest.raises(UserError, match=r"`gpus` is 0\.5, which only Ray reserves: add --engine ray"):
        benchmark(str(suite_file), str(tmp_path / "out"), engine=engine, gpus=0.5, dry_run=True)


def test_two_benchmarks_do_not_share_a_folder(suite_file: Path, training: Training, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with FileLock(out / ".lock"), pytest.raises(UserError, match="another benchmark runs in"):
        benchmark(str(suite_file), str(out))


def test_what_another_benchmark_ends_while_settings_are_tried_is_kept(
    suite_file: Path, training: Training, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def other(line: Sequence[str]) -> None:
        benchmark(str(suite_file), str(out))
        run_folder(out, FOLDERS[0]).joinpath("of_the_other").touch()

    benchmark(str(suite_file), str(out), refusal=other)
    assert run_folder(out, FOLDERS[0]).joinpath("of_the_other").is_file()


def test_runs_that_a_killed_benchmark_left_behind_are_not_disturbed(
    suite_file: Path, training: Training, tmp_path: Path
) -> None:
    folder = run_folder(tmp_path / "out", FOLDERS[0])
    line = [sys.executable, "-c", "input()", "fit", "--run_dir", str(folder)]
    left = subprocess.Popen(line, stdin=subprocess.PIPE)
    try:
        with pytest.raises(UserError, match=rf"still go on \(process {left.pid}\)"):
            benchmark(str(suite_file), str(tmp_path / "out"))
    finally:
        left.communicate(b"\n")
    assert not folder.exists()


def test_a_signal_stops_the_runs_and_says_how_to_go_on(suite_file: Path, training: Training, tmp_path: Path) -> None:
    training(waits=True)
    started = run_folder(tmp_path / "out", FOLDERS[0]) / "started"

    def signal_once_started() -> None:
        while not started.exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=signal_once_started, daemon=True).start()
    began = time.monotonic()
    with pytest.raises(Stopped, match="the same command goes on"):
        benchmark(str(suite_file), str(tmp_path / "out"))
    assert time.monotonic() - began < 50  # the runs would have taken a minute each


def test_a_dry_run_shows_commands_and_what_is_missing(
    suite_file: Path, training: Training, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = suite_file.read_text().replace("[spar/hopper/medium-v0]", "[absent.npz, 'd4rl:pen-human-v1']")
    suite_file.write_text(text)
    benchmark(str(suite_file), str(tmp_path / "out"), dry_run=True)
    said = capsys.readouterr().out
    assert said.count("python -m spar_lightning fit ") == 8
    assert "absent.npz: file: there is no absent.npz" in said
    assert "d4rl:pen-human-v1 is not on this machine; it is downloaded" in said
    assert not (tmp_path / "out").exists()


def test_a_simulator_that_is_not_there_is_missing(
    suite_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gymnasium_robotics", None)
    monkeypatch.setattr("gymnasium.envs.registration.registry", {})
    suite_file.write_text(suite_file.read_text().replace("[spar/hopper/medium-v0]", "['d4rl:pen-human-v1']"))
    benchmark(str(suite_file), str(tmp_path / "out"), dry_run=True)
    assert "pip install" in capsys.readouterr().out


def test_progress_is_read_from_a_runs_files(tmp_path: Path) -> None:
    run = Run("toy", "one", "BC", "", 0, {}, tmp_path)
    assert share_done(run) == 0.0
    (tmp_path / "config.yaml").write_text("data:\n  x: 1\ntrainer:\n  devices: auto\n  max_steps: 200\nbc:\n  y: 2\n")
    (tmp_path / "csv").mkdir()
    rows = "".join(f",{step},{'9' * 200}\n" for step in range(9, 150, 10))
    (tmp_path / "csv" / "metrics.csv").write_text(f"a,step,b\n{rows},159,cut")
    assert share_done(run) == 0.75  # the last line is not whole
    config = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(f"model:\n  x: 1\n  warmup_steps: 40\n{config}stage: improvement\n")
    assert share_done(run) == 150 / 160


def test_the_last_words_of_a_run_are_its_error(tmp_path: Path) -> None:
    assert last_words(tmp_path) == "no output"
    (tmp_path / "output.log").write_text("$ fit\nwarning: x\n\nerror: no data\nbye\n")
    assert last_words(tmp_path) == "no data"
    (tmp_path / "output.log").write_text(
        "Traceback (most recent call last):\n  raise ValueError\nValueError: the arm is not connected\n"
        "when that is mended, go on with\n\n    python -m spar_lightning fit --resume run\n"
    )
    assert last_words(tmp_path) == "ValueError: the arm is not connected"
