"""What surrounds a command: closed streams, Ctrl-C while it starts, others that start at the same time."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from commands import HOPPER, TINY, refused, run_command

from spar_lightning.cli import main
from spar_lightning.cli.run.run_folder import RunFolder, give_up
from spar_lightning.datasets import open_dataset
from spar_lightning.replay import OfflineDataModule
from spar_lightning.types import UserError

COMMAND = f"{sys.executable} -m spar_lightning"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(closed: str) -> None:
    done = run_command(
        "bash", "-c", f"exec {COMMAND} summarize results/spar.json {closed}", cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert ("walker2d" in done.stdout) == (">&-" not in closed.replace("2>&-", ""))


@pytest.mark.parametrize(
    ("output", "status", "said"),
    [
        ("> /dev/full", 2, "error: cannot write to the standard output (No space left on device)"),
        ("| true; exit ${PIPESTATUS[0]}", 1, ""),
    ],
)
def test_what_is_answered_at_once_has_no_reader(output: str, status: int, said: str) -> None:
    done = run_command("bash", "-c", f"{COMMAND} --help {output}", cwd=Path(__file__).parents[2])
    if output.startswith("|") and done.returncode == 0:
        pytest.skip("the reader was still there")
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_training_whose_output_nobody_reads_says_how_to_go_on(tmp_path: Path, seeds: int) -> None:
    run = ("--run_dir", str(tmp_path / "run"), "--num_seeds", str(seeds))
    line = ["fit", *run, "--data.dataset", HOPPER, *TINY, "--trainer.max_steps", "400"]
    line[line.index("--trainer.enable_progress_bar") + 1] = "true"
    done = run_command("bash", "-c", f"{COMMAND} {shlex.join(line)} | head -c 1; exit ${{PIPESTATUS[0]}}", cwd=tmp_path)
    assert done.returncode == 1
    assert "error: nobody reads the standard output any more\n\nwhen that is mended, " in done.stderr
    assert done.stderr.endswith(f"go on with\n\n    python -m spar_lightning fit --resume {tmp_path / 'run'}\n\n")


def test_an_interrupt_while_libraries_are_imported() -> None:
    for _ in range(5):  # on a busy machine the signal may come when all is imported, and the file is missed
        process = subprocess.Popen(
            [*COMMAND.split(), "evaluate", "none.ckpt"],
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where tests are in a background
        )
        libraries = Path(f"/proc/{process.pid}/maps")
        while "libtorch" not in libraries.read_text():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, written = process.communicate(timeout=60)
        if process.returncode != 2:
            break
    assert process.returncode == 130
    assert written.strip() == "error: interrupted"


def test_runs_that_start_together_have_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with ThreadPoolExecutor(16) as pool:
        chosen = [*pool.map(lambda _: RunFolder.choose(None, HOPPER, None), range(64))]
    assert len({*chosen}) == 64
    for path in chosen[1:]:
        give_up(path)
    (chosen[0] / "results.json").touch()
    give_up(chosen[0])
    assert [*Path("runs").glob("*/*")] == [chosen[0]]


def test_a_place_that_takes_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").touch()
    with pytest.raises(UserError, match=r"cannot write to the run folder runs/hopper-medium-replay-v0/version_0"):
        RunFolder.choose(None, HOPPER, None)


@pytest.mark.skipif(os.name == "nt", reason="POSIX paths")
def test_a_relative_root_means_the_same_in_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", "mine")
    main(["collect", HOPPER, "--steps", "100", "--root", "mine", "--progress", "false"])
    dataset = open_dataset(HOPPER)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert sum(len(episode.rewards) for episode in dataset.episodes()) == 100


def test_a_seed_of_the_surroundings_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "abc")
    with pytest.raises(UserError, match="PL_GLOBAL_SEED is 'abc', expected a whole number"):
        OfflineDataModule(HOPPER)


@pytest.mark.parametrize("name", ["checkpoints", "csv"])
def test_a_file_in_the_place_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).touch()
    message = refused(capsys, "fit", "--run_dir", str(tmp_path / "run"), "--data.dataset", HOPPER, *TINY)
    assert "free space" not in message
    assert str(tmp_path / "run") in message
