"""The YAML files, and how they mix with the command line."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from commands import CONFIGS, HOPPER, TINY, config, fit, last, one_stage, options, read_checkpoint, refused, results

from spar_lightning.cli import main
from spar_lightning.training import ALGORITHMS

ONE_STAGE = {f"{name}.yaml" for name in ALGORITHMS if name != "spar"}
JOBS = sorted(path.name for path in CONFIGS.glob("*.yaml") if path.name not in ("debug.yaml", *ONE_STAGE))


def test_every_environment_has_a_config() -> None:
    assert JOBS == ["halfcheetah.yaml", "hopper.yaml", "walker.yaml"]


@pytest.mark.parametrize("job", sorted(ONE_STAGE))
def test_every_other_method_has_a_config_that_runs(job: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    main(["fit", "--config", str(CONFIGS / job), "--run_dir", str(folder), *one_stage(TINY)])
    assert results(folder)["updates"] == 40
    assert config(folder)["algorithm"] == job.removesuffix(".yaml")


@pytest.mark.parametrize("job", JOBS)
def test_every_config_runs_and_leaves_a_complete_folder(job: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    configs = ["--config", str(CONFIGS / job), "--config", str(CONFIGS / "debug.yaml")]
    main(["fit", *configs, "--run_dir", str(folder), *TINY])
    document = results(folder)
    assert document["dataset"] == config(folder)["data"]["dataset"]
    assert document["updates"] == 40
    assert [row["step"] for row in document["history"]] == [20, 40]
    assert document["checkpoints"] == {"best": "checkpoints/best.ckpt", "last": "checkpoints/last.ckpt"}
    for name in ("checkpoints/best.ckpt", "checkpoints/last.ckpt", "base/checkpoints/last.ckpt"):
        assert read_checkpoint(folder / name)["state_dict"]
    for stage, last_step, metric in (("", "39", "rollout/normalized_score"), ("base", "19", "bc/loss")):
        assert len(list((folder / stage).glob("events.out.tfevents.*"))) == 1
        rows = list(csv.DictReader((folder / stage / "csv" / "metrics.csv").open()))
        assert any(row["step"] == last_step for row in rows)
        assert any(row[metric] for row in rows)


def test_the_debug_overlay_changes_only_lengths() -> None:
    overlay = (CONFIGS / "debug.yaml").read_text()
    for name in ("dataset", "kappa", "learning_rate", "seed"):
        assert f"{name}:" not in overlay


def test_a_new_run_is_numbered_and_named_after_its_data(tmp_path: Path) -> None:
    for _ in range(2):
        main(["fit", "--data.dataset", HOPPER, *TINY, "--trainer.max_steps", "1", "--bc.trainer.max_steps", "1"])
    runs = tmp_path / "runs" / "hopper-medium-replay-v0"
    assert sorted(path.name for path in runs.iterdir()) == ["version_0", "version_1"]
    assert all(results(path)["updates"] == 1 for path in runs.iterdir())


def test_what_follows_a_config_wins(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    changes = options(model__kappa=3, data__batch_size=64, bc__trainer__max_steps=20, trainer__max_steps=40)
    main(["fit", "--config", str(CONFIGS / "hopper.yaml"), "--run_dir", str(folder), *TINY, *changes])
    found = config(folder)
    assert (found["model"]["kappa"], found["data"]["batch_size"]) == (3, 64)
    assert (found["bc"]["trainer"]["max_steps"], found["trainer"]["max_steps"]) == (20, 40)
    checkpoint = read_checkpoint(last(folder))
    assert checkpoint["hyper_parameters"]["kappa"] == 3
    assert checkpoint["global_step"] == 40
    assert read_checkpoint(last(folder / "base"))["global_step"] == 20


def test_a_setting_before_a_config_that_sets_it_is_warned_of(tmp_path: Path) -> None:
    layer = tmp_path / "layer.yaml"
    layer.write_text("model: {kappa: 2}\n")
    given = ["--model.kappa", "3", "--model.sigma", "0.4", "--config", str(layer)]
    with pytest.warns(UserWarning, match=r"layer\.yaml sets `model\.kappa` anew, which stands before it: put"):
        folder = fit(tmp_path / "run", *given)
    assert (config(folder)["model"]["kappa"], config(folder)["model"]["sigma"]) == (2, 0.4)


def test_interpolation_follows_the_command_line(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("data:\n  batch_size: 32\nmodel:\n  lsi_batch: ${data.batch_size}\n")
    folders = {size: tmp_path / str(size) for size in (32, 16)}
    fit(folders[32], "--config", str(overlay))
    fit(folders[16], "--config", str(overlay), "--data.batch_size", "16")
    for size, folder in folders.items():
        assert read_checkpoint(last(folder))["hyper_parameters"]["lsi_batch"] == size


def test_the_saved_config_repeats_the_run(tmp_path: Path, finished_run: Path) -> None:
    again = tmp_path / "again"
    main(["fit", "--config", str(finished_run / "config.yaml"), "--run_dir", str(again)])
    assert {**config(again), "run_dir": None} == {**config(finished_run), "run_dir": None}
    keys = ("score", "return", "base", "fitted", "history")
    assert [results(again)[key] for key in keys] == [results(finished_run)[key] for key in keys]


def test_one_batch_of_each_stage_as_a_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(tmp_path / "run", "--trainer.fast_dev_run", "true")
    assert not [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert not (tmp_path / "lightning_logs").exists()


def test_another_logger_by_its_class_path(tmp_path: Path) -> None:
    folder, logs = tmp_path / "run", tmp_path / "logs"
    logger = "lightning.pytorch.loggers.CSVLogger"
    fit(folder, "--trainer.logger.class_path", logger, "--trainer.logger.init_args.save_dir", str(logs))
    (metrics,) = logs.rglob("metrics.csv")
    assert "rollout/normalized_score" in metrics.read_text()
    assert not list(folder.glob("events.out.tfevents.*"))
    assert last(folder).is_file()
    # Wherever the logs go, what a run came to lies in its own folder.
    assert results(folder)["updates"] == 40
    assert results(folder)["checkpoints"]["last"] == "checkpoints/last.ckpt"
    assert config(folder)["run_dir"] == str(folder)


def test_a_name_that_stands_twice_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"trainer: {{max_steps: 30}}\ndata: {{dataset: {HOPPER}}}\ntrainer: {{accelerator: cpu}}\n")
    said = refused(capsys, "fit", "--config", str(path), "--print_config")
    assert f"the configuration {path} is ambiguous: trainer stands twice" in said
