"""Going on from a checkpoint."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from commands import HOPPER, TINY, base_weights, config, fit, last, read_checkpoint, results, same, weights

from spar_lightning.cli import main


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to go on from."""
    return Path(shutil.copytree(finished_run, tmp_path / "hopper"))


def resume(run: Path, *extra: str) -> None:
    """Without --run_dir: a run goes on where its checkpoint lies."""
    main(["fit", "--data.dataset", HOPPER, *TINY, "--ckpt_path", str(last(run)), *extra])


def test_a_finished_run_goes_on_in_its_folder(run: Path, tmp_path: Path) -> None:
    before, base_file = weights(last(run)), last(run / "base").stat().st_mtime_ns
    base = base_weights(run)
    resume(run, "--trainer.max_steps", "60")
    assert not (tmp_path / "runs").exists()
    assert read_checkpoint(last(run))["global_step"] == 60
    assert not same(weights(last(run)), before)
    assert same(base_weights(run), base)
    assert last(run / "base").stat().st_mtime_ns == base_file, "the base was trained again"
    document = results(run)
    assert document["updates"] == 60
    assert [row["step"] for row in document["history"]] == [20, 40, 60]


def test_the_logs_of_the_first_part_are_kept(run: Path) -> None:
    rows = list(csv.DictReader((run / "csv" / "metrics.csv").open()))
    resume(run, "--trainer.max_steps", "60")
    steps = [int(row["step"]) for row in csv.DictReader((run / "csv" / "metrics.csv").open())]
    assert steps[: len(rows)] == [int(row["step"]) for row in rows]
    assert max(steps) == 59
    assert len(list(run.glob("events.out.tfevents.*"))) == 2


def test_the_saved_config_resumes_its_run(run: Path) -> None:
    arguments = ["--config", str(run / "config.yaml"), "--run_dir", str(run), "--ckpt_path", str(last(run))]
    main(["fit", *arguments, "--trainer.max_steps", "60"])
    assert results(run)["updates"] == 60


def test_a_finished_run_that_is_not_extended_stays_as_it_is(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, document = weights(last(run)), results(run)
    with pytest.raises(SystemExit) as exit_:
        resume(run)
    assert exit_.value.code == 2
    assert "nothing is left to train" in capsys.readouterr().err
    assert same(weights(last(run)), before)
    assert results(run) == document


def test_a_new_run_does_not_write_over_another(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = weights(last(run))
    with pytest.raises(SystemExit) as exit_:
        fit(run)
    assert exit_.value.code == 2
    assert "holds a run already" in capsys.readouterr().err
    assert same(weights(last(run)), before)


def test_a_setting_of_the_command_line_holds_after_resuming(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    resume(run, "--trainer.max_steps", "60", "--model.kappa", "0.5")
    assert read_checkpoint(last(run))["hyper_parameters"]["kappa"] == 0.5
    assert config(run)["model"]["kappa"] == 0.5


def test_a_changed_setting_is_pointed_out(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        resume(run, "--trainer.max_steps", "60", "--model.kappa", "0.5")
    assert "kappa was 1.4 in the checkpoint and is 0.5 from here on" in caplog.text


def test_another_architecture_is_refused_by_name(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = weights(last(run))
    with pytest.raises(SystemExit) as exit_:
        resume(run, "--trainer.max_steps", "60", "--model.hidden_dims", "[8]")
    assert exit_.value.code == 2
    message = capsys.readouterr().err
    assert "hidden_dims: [16] in the checkpoint, [8] here" in message
    assert "Traceback" not in message
    assert same(weights(last(run)), before)


def test_another_base_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        resume(run, "--trainer.max_steps", "60", "--bc.model.hidden_dims", "[8]")
    assert exit_.value.code == 2
    assert "base" in capsys.readouterr().err


def test_resuming_elsewhere_leaves_the_first_folder_alone(run: Path, tmp_path: Path) -> None:
    before = _modified(run)
    resume(run, "--trainer.max_steps", "60", "--run_dir", str(tmp_path / "elsewhere"))
    assert _modified(run) == before
    assert read_checkpoint(last(tmp_path / "elsewhere"))["global_step"] == 60


def _modified(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
