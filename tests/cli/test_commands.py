"""The other commands, the process as a whole, and the same pipeline in plain Python."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import lightning.pytorch as pl
import minari
import pytest
from commands import HOPPER, TINY, config, fit, last, results, spawn

from spar_lightning.callbacks import RolloutEvaluation
from spar_lightning.cli import main
from spar_lightning.replay import OfflineDataModule
from spar_lightning.training import BCModule, SPARModule


def table(output: str) -> dict[str, float]:
    """The scores and the improvement of the printed table, by row."""
    rows = re.findall(r"^  (base|fitted|policy|improvement)\s+([-+\d.]+)", output, flags=re.MULTILINE)
    return {name: float(value) for name, value in rows}


@pytest.mark.parametrize("command", ["validate", "test"])
def test_a_checkpoint_is_evaluated(
    capsys: pytest.CaptureFixture[str], finished_run: Path, tmp_path: Path, command: str
) -> None:
    episodes = ("--callbacks.rollout.num_episodes", "1", "--callbacks.rollout.final_episodes", "1")
    main([command, "--data.dataset", HOPPER, "--ckpt_path", str(last(finished_run)), *episodes])
    metrics, document = table(capsys.readouterr().out), results(finished_run)
    assert metrics["policy"] == pytest.approx(document["score"], abs=0.051)
    assert metrics["base"] == pytest.approx(document["base"]["score"], abs=0.051)
    assert metrics["improvement"] == pytest.approx(document["improvement"]["mean"], abs=0.051)
    assert list(tmp_path.iterdir()) == [], "an evaluation is printed and leaves no files in the working folder"


def test_the_saved_config_evaluates_its_checkpoint(capsys: pytest.CaptureFixture[str], finished_run: Path) -> None:
    main(["test", "--config", str(finished_run / "config.yaml"), "--ckpt_path", str(last(finished_run))])
    assert table(capsys.readouterr().out)["policy"] == pytest.approx(results(finished_run)["score"], abs=0.051)


def test_the_command_that_a_run_prints_evaluates_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    fit(tmp_path / "run")
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("evaluate"))
    python, module, package, *arguments = shlex.split(line.replace("evaluate", "", 1))
    assert (python, module, package) == ("python", "-m", "spar_lightning")
    main(arguments)
    assert "policy" in table(capsys.readouterr().out)


def test_the_command_of_a_folder_with_a_blank(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = fit(tmp_path / "my runs" / "it's one")
    printed = capsys.readouterr().out.splitlines()
    (line,) = (line for line in printed if line.strip().startswith("evaluate"))
    assert Path(shlex.split(line)[-1]).absolute() == last(folder)
    (line,) = (line for line in printed if line.strip().startswith("curves"))
    assert Path(shlex.split(line.partition(", then")[0])[-1]).absolute() == folder


def test_an_evaluation_in_python_returns_its_metrics(finished_run: Path) -> None:
    module = SPARModule.load_from_checkpoint(last(finished_run), map_location="cpu", weights_only=True)
    trainer = pl.Trainer(accelerator="cpu", logger=False, callbacks=[RolloutEvaluation(final_episodes=1)])
    (metrics,) = trainer.test(module, datamodule=OfflineDataModule(HOPPER), verbose=False)
    assert metrics["rollout/return"] == pytest.approx(results(finished_run)["return"], rel=1e-3)


def test_collect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "data"))
    main(["collect", "spar/hopper/medium-v0", "--steps", "300", "--seed", "3", "--progress", "false"])
    stored = minari.load_dataset("spar/hopper/medium-v0")
    assert stored.total_steps == 300
    assert stored.storage.metadata["collection"] == {"steps": 300, "seed": 3}


def test_summarize(capsys: pytest.CaptureFixture[str], finished_run: Path) -> None:
    main(["summarize", str(finished_run)])
    assert HOPPER in capsys.readouterr().out


def test_the_default_config_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["fit", "--print_config"])
    assert exit_.value.code == 0
    assert "kappa: 1.4" in capsys.readouterr().out


@pytest.mark.slow
def test_as_a_process(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    done = spawn("fit", "--run_dir", str(folder), "--data.dataset", HOPPER, *TINY)
    assert done.returncode == 0, done.stderr
    assert "40 updates" in done.stdout
    assert "Warning" not in done.stderr, "an ordinary run warns of nothing"
    assert results(folder)["updates"] == 40
    tested = spawn("test", "--data.dataset", HOPPER, "--ckpt_path", str(last(folder)))
    assert tested.returncode == 0, tested.stderr
    assert "policy" in table(tested.stdout)


@pytest.mark.slow
def test_a_process_that_fails(tmp_path: Path) -> None:
    done = spawn("fit", "--data.dataset", "spar/hoper/medium-replay-v0", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: There is no bundled data set")
    assert "Traceback" not in done.stderr


def test_the_pipeline_in_plain_python(tmp_path: Path) -> None:
    settings = {"accelerator": "cpu", "max_epochs": -1, "check_val_every_n_epoch": None, "enable_progress_bar": False}
    data = OfflineDataModule(HOPPER)
    base = BCModule(data.observation_dim, data.action_dim, hidden_dims=[16])
    trainer = pl.Trainer(max_steps=20, val_check_interval=20, default_root_dir=tmp_path / "base", **settings)
    trainer.fit(base, datamodule=data)

    module = SPARModule(base, hidden_dims=[16], warmup_steps=20)
    evaluation = RolloutEvaluation(num_episodes=1, final_episodes=2)
    trainer = pl.Trainer(
        max_steps=40, val_check_interval=20, callbacks=[evaluation], default_root_dir=tmp_path / "run", **settings
    )
    trainer.fit(module, datamodule=data)

    (metrics,) = trainer.test(module, datamodule=data, verbose=False)
    assert set(metrics) >= {"rollout/return", "rollout/normalized_score", "rollout/improvement"}
    environment = data.make_environment()
    observation, _ = environment.reset(seed=0)
    assert environment.action_space.contains(module.act(observation.astype("float32")))


def test_the_configuration_of_a_run_is_complete(finished_run: Path) -> None:
    found = config(finished_run)
    assert set(found) >= {"seed_everything", "stage", "data", "bc", "model", "trainer", "callbacks"}
    assert found["seed_everything"] == 0
