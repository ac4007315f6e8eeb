"""`fit --resume RUN_DIR`: whatever there is of a run, the rest of it, to the same bits."""

from __future__ import annotations

import shutil
import signal
import traceback
from pathlib import Path

import pytest
import torch
from commands import HOPPER, TINY, config, fit, last, one_stage, read_checkpoint, refused, results, same, weights
from test_stopping import advised, arguments, assert_same_end, at_call, logged, send

from spar_lightning import cli
from spar_lightning.algorithms import SPAR
from spar_lightning.cli import main
from spar_lightning.cli.run.resuming import align_seeds
from spar_lightning.training import ALGORITHMS, BCModule
from spar_lightning.training.updates.batched import BatchedExecution
from spar_lightning.types import EnvironmentFailedError, UserError


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return Path(shutil.copytree(finished_run, tmp_path / "hopper"))


def test_a_finished_run_has_nothing_left(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with caplog.at_level("INFO"):
        main(["fit", "--resume", str(run)])
    assert f"the run in {run} is finished" in caplog.text
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("stage", ["", "base"], ids=["the run's", "its base's"])
@pytest.mark.parametrize("found", ["a folder", "cannot be read"])
def test_a_checkpoint_that_is_none_is_told_and_nothing_is_trained_again(
    run: Path, capsys: pytest.CaptureFixture[str], stage: str, found: str
) -> None:
    (run / "results.json").unlink()
    last(run).unlink()
    path = last(run / stage)
    path.unlink(missing_ok=True)
    if found == "a folder":
        path.mkdir()
    else:
        path.symlink_to(path)  # as one without rights, also for the superuser
    before = {file: file.read_bytes() for file in run.rglob("*.c*") if file.is_file()}
    said = refused(capsys, "fit", "--resume", str(run))
    assert f"error: {path} {'is a folder' if found == 'a folder' else found}" in said
    assert ", expected " in said
    assert "move" in said
    assert {file: file.read_bytes() for file in run.rglob("*.c*") if file.is_file()} == before


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("--stage=improvement", "the run in {run} is none, and would be replaced by it: train one into another folder"),
        ("--bc.ckpt_path=other.ckpt", "leave --bc.ckpt_path out"),
    ],
)
def test_what_would_make_another_run_of_it_is_refused(
    run: Path, capsys: pytest.CaptureFixture[str], option: str, reason: str
) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert reason.format(run=run) in refused(capsys, "fit", "--resume", str(run), option)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_the_users_home_is_meant_where_no_shell_has_said_so(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    shutil.copytree(finished_run, tmp_path / "mine")
    message = refused(capsys, "fit", "--data.dataset", HOPPER, *TINY, "--run_dir=~/mine")
    assert f"the run folder {tmp_path / 'mine'} holds a run already" in message
    main(["fit", "--resume=~/mine"])
    assert not Path("~").exists()


def test_a_finished_run_is_made_longer(run: Path) -> None:
    main(["fit", "--trainer.max_steps", "60", "--resume", str(run)])
    assert results(run)["updates"] == 60
    assert config(run)["trainer"]["max_steps"] == 60
    assert config(run)["ckpt_path"] is config(run)["resume"] is None


def test_a_base_stage_alone_is_finished_and_goes_on(
    tmp_path: Path, finished_run: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, BCModule, "training_step", 12, send(signal.SIGTERM))
        command = advised(capsys, 143, *arguments(run), "--stage", "base")
    main(command)
    assert same(weights(last(run / "base")), weights(last(finished_run / "base")))
    assert not (run / "checkpoints").exists()
    with caplog.at_level("INFO"):
        main(command)
    assert f"go on with the main stage by `fit --resume {run} --stage all`" in caplog.text
    main([*command, "--stage", "all"])
    assert_same_end(run, finished_run)
    assert results(run)["wall_time_s"]["base"] > 0  # of all sessions, the finished one's too


@pytest.mark.parametrize(
    "error", [ValueError, RuntimeError, EnvironmentFailedError, PermissionError, MemoryError, ConnectionError]
)
def test_an_error_of_the_users_own_code_ends_in_how_to_go_on(
    tmp_path: Path, finished_run: Path, capsys: pytest.CaptureFixture[str], error: type[Exception]
) -> None:
    def broken() -> None:
        raise error(13, "the arm is not connected") if error is PermissionError else error("the arm is not connected")

    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, SPAR, "update", 3, broken)
        with pytest.raises((error, SystemExit)) as raised:
            main(arguments(run))
    said = capsys.readouterr().err + "".join(traceback.format_exception_only(raised.value))
    assert "the arm is not connected" in said
    assert f"when that is mended, go on with\n\n    python -m spar_lightning fit --resume {run}" in said
    main(["fit", "--resume", str(run)])
    assert_same_end(run, finished_run)


def test_a_moved_run_goes_on(tmp_path: Path, finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, SPAR, "update", 33, send(signal.SIGTERM))
        advised(capsys, 143, *arguments(run))
    moved = run.rename(tmp_path / "moved")
    main(["fit", "--resume", str(moved)])
    assert_same_end(moved, finished_run)
    assert not run.exists()


def test_an_unfinished_base_is_said_to_be_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, BCModule, "training_step", 12, send(signal.SIGTERM))
        advised(capsys, 143, *arguments(run))
    assert read_checkpoint(last(run / "base"))["finished"] is False
    with pytest.warns(UserWarning, match="of update 12, before the end of its training"):
        fit(tmp_path / "other", "--bc.ckpt_path", str(last(run / "base")))


def test_a_given_base_may_be_gone_when_its_run_goes_on(
    tmp_path: Path, finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = Path(shutil.copy(last(finished_run / "base"), tmp_path / "base.ckpt"))
    whole = fit(tmp_path / "whole", "--bc.ckpt_path", str(base))
    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, SPAR, "update", 33, send(signal.SIGTERM))
        command = advised(capsys, 143, *arguments(run), "--bc.ckpt_path", str(base))
    base.unlink()
    main(command)
    assert_same_end(run, whole)


def test_an_improvement_alone_goes_on(tmp_path: Path, finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = ["--stage", "improvement", "--ckpt_path", str(last(finished_run))]
    whole, run = fit(tmp_path / "whole", *start), tmp_path / "run"
    command = [*arguments(run), *start]
    for number in (1, 12):  # before and after the first checkpoint of its own
        with pytest.MonkeyPatch.context() as patch:
            at_call(patch, SPAR, "update", number, send(signal.SIGTERM))
            command = advised(capsys, 143, *command)
        assert config(run)["ckpt_path"] == str(last(finished_run))
    main(command)
    assert same(weights(last(run)), weights(last(whole)))
    assert results(run)["history"] == results(whole)["history"]


@pytest.mark.parametrize("algorithm", ["td3_bc", "iql"])
def test_a_run_of_one_stage_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str], algorithm: str) -> None:
    def start(folder: Path) -> list[str]:
        line = ["fit", "--algorithm", algorithm, "--run_dir", str(folder), "--data.dataset", HOPPER]
        return [*line, *one_stage(TINY)]

    main(start(tmp_path / "whole"))
    with pytest.MonkeyPatch.context() as patch:
        owner = ALGORITHMS[algorithm].algorithm_class
        at_call(patch, owner, "update", 12, send(signal.SIGTERM))
        command = advised(capsys, 143, *start(tmp_path / "run"))
    assert command == ["fit", "--resume", str(tmp_path / "run")]
    main(command)
    assert same(weights(last(tmp_path / "run")), weights(last(tmp_path / "whole")))
    assert logged(tmp_path / "run") == logged(tmp_path / "whole")


def test_several_seeds_go_on_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seeds = ("--num_seeds", "2", "--seed_everything", "5")
    whole, run = fit(tmp_path / "whole", *seeds), tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        # Both seeds make their updates in one call, of one of their algorithms.
        at_call(patch, BatchedExecution, "run", 33, send(signal.SIGTERM))
        command = advised(capsys, 143, *arguments(run), *seeds)
    assert command == ["fit", "--resume", str(run)]
    main(command)
    main(command)  # nothing is left of either
    kept = {path: path.read_bytes() for path in run.rglob("*.ckpt")}
    assert "run's own `seed_everything` and `num_seeds`" in refused(capsys, *command, "--num_seeds", "3")
    for others in (("--num_seeds", "3"), ("--num_seeds", "1"), ("--seed_everything", "7")):
        assert str(run) in refused(capsys, *command, *others)
    (run / "seed_6").rename(run / "aside")
    assert f"go on with each by itself, as with --resume {run / 'seed_5'}" in refused(capsys, *command)
    (run / "aside").rename(run / "seed_6")
    (run / "seed_6" / "results.json").unlink()
    main(command)
    assert results(run / "seed_6")["updates"] == results(whole / "seed_6")["updates"]
    assert {path: path.read_bytes() for path in run.rglob("*.ckpt")} == kept
    for seed in ("seed_5", "seed_6"):
        assert same(weights(last(run / seed)), weights(last(whole / seed)))
        assert results(run / seed)["history"] == results(whole / seed)["history"]


def test_seeds_without_a_folder_share_one(tmp_path: Path) -> None:
    main(["fit", "--data.dataset", HOPPER, *TINY, "--num_seeds", "2"])
    (run,) = (tmp_path / "runs").glob("*/*")
    assert sorted(path.name for path in run.iterdir()) == ["config.yaml", "seed_0", "seed_1"]
    assert config(run)["num_seeds"] == 2


def test_seeds_go_on_from_the_last_update_that_all_have_saved(tmp_path: Path) -> None:
    def write(path: Path, updates: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = {"hyper_parameters": {}, "state_dict": {"algorithm.a": torch.zeros(1)}, "global_step": updates}
        torch.save(parts, path)

    folders = [tmp_path / "seed_0", tmp_path / "seed_1"]
    for folder, updates in zip(folders, (20, 40), strict=True):
        write(last(folder), updates)
    with pytest.raises(UserError, match=r"seed_1 is at update 40, another seed of its run at 20"):
        align_seeds(folders)
    write(folders[1] / "checkpoints" / "earlier.ckpt", 20)
    align_seeds(folders)
    assert [read_checkpoint(last(folder))["global_step"] for folder in folders] == [20, 20]
    last(folders[0]).unlink()
    align_seeds(folders)
    assert not last(folders[1]).exists()


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ((), "holds no config.yaml"),
        (("--ckpt_path", "x.ckpt"), "leave --ckpt_path out"),
        (("--run_dir", "x"), "leave --run_dir out"),
    ],
)
def test_what_cannot_be_gone_on_with(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, extra: tuple[str, ...], message: str
) -> None:
    assert message in refused(capsys, "fit", "--resume", str(tmp_path / "nowhere"), *extra)


def test_a_run_goes_on_with_its_own_seed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = results(run)
    message = refused(capsys, "fit", "--resume", str(run), "--trainer.max_steps", "60", "--seed_everything", "7")
    assert f"`seed_everything` is 7, the run in {run} has 0: leave it out to go on" in message
    assert results(run) == before
    main(["fit", "--resume", str(run), "--trainer.max_steps", "60", "--seed_everything", "0"])
    assert results(run)["updates"] == 60


@pytest.mark.parametrize("stage", ["", "base"], ids=["the run's", "its base's"])
def test_a_seed_that_was_changed_by_hand_is_refused(run: Path, capsys: pytest.CaptureFixture[str], stage: str) -> None:
    if stage:
        last(run).unlink()
    changed = (run / "config.yaml").read_text().replace("seed_everything: 0", "seed_everything: 7")
    (run / "config.yaml").write_text(changed)
    message = refused(capsys, "fit", "--resume", str(run), "--trainer.max_steps", "60")
    assert f"`seed_everything` is 7, and {last(run / stage)} is of a run whose seed is 0" in message
    (run / "config.yaml").write_text(changed.replace("seed_everything: 7", "seed_everything: 0"))
    main(["fit", "--resume", str(run), "--trainer.max_steps", "60"])
    assert results(run)["seed"] == 0


def test_a_run_whose_seed_the_surroundings_gave_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "3")
    run = fit(tmp_path / "run", "--seed_everything", "false")
    assert read_checkpoint(last(run))["seed_everything"] == results(run)["seed"] == 3
    monkeypatch.delenv("PL_GLOBAL_SEED")
    main(["fit", "--resume", str(run), "--trainer.max_steps", "60"])
    assert results(run)["updates"] == 60


def test_settings_that_are_refused_are_not_recorded(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run / "config.yaml").read_text()
    longer = ("--trainer.max_steps", "60", "--model.warmup_steps", "50", "--model.manifold_steps", "50")
    assert "expected at most 40: resume with the checkpoint's setting" in refused(
        capsys, "fit", "--resume", str(run), *longer
    )
    assert (run / "config.yaml").read_text() == before


def test_settings_stay_once_something_was_trained_with_them(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> None:
        raise EnvironmentFailedError("the arm is not connected")

    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, SPAR, "update", 12, broken)
        refused(capsys, "fit", "--resume", str(run), "--trainer.max_steps", "60")
    assert config(run)["trainer"]["max_steps"] == 60, "it is what the advice goes on with"


def test_parts_that_a_run_lends_may_be_of_another_seed(
    tmp_path: Path, finished_run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        fit(
            tmp_path / "run", "--stage", "improvement", "--ckpt_path", str(last(finished_run)), "--seed_everything", "7"
        )
    assert "seed_everything was 0 in the checkpoint and is 7 from here on" in caplog.text
    assert results(tmp_path / "run")["seed"] == 7


def test_an_empty_configuration_is_said_to_be_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").touch()
    assert "config.yaml is empty, expected the settings of a run" in refused(capsys, "fit", "--resume", str(tmp_path))


def test_a_file_does_not_ask_to_go_on(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text(f"resume: {tmp_path}\n")
    message = refused(capsys, "fit", "--config", str(tmp_path / "odd.yaml"), "--data.dataset", HOPPER, *TINY)
    assert "`resume` is set in a configuration" in message


def test_a_new_run_leaves_an_unfinished_base_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, BCModule, "training_step", 12, send(signal.SIGTERM))
        advised(capsys, 143, *arguments(run))
    message = refused(capsys, *arguments(run))
    assert f"go on with that run by `fit --resume {run}`" in message


def test_the_commands_of_the_page_run(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    page = (Path(cli.__file__).parent / "README.md").read_text(encoding="utf-8")
    going_on, own = (line.split()[3:] for line in page.splitlines() if line.startswith("python -m spar_lightning"))
    shutil.copytree(finished_run, tmp_path / going_on[-1])
    with caplog.at_level("INFO"):
        main(going_on)
    assert "is finished" in caplog.text
    (tmp_path / "my_package.py").write_text("from lightning.pytorch.callbacks import Timer as Mine\n")
    (tmp_path / "own.yaml").write_text("trainer: {callbacks: [{class_path: my_package.Mine}]}\n")
    monkeypatch.syspath_prepend(tmp_path)
    main([*own, "--data.dataset", HOPPER, *TINY, "--trainer.fast_dev_run", "true"])
