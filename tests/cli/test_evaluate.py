"""`evaluate` and `export`: from a checkpoint alone, in any folder, for every algorithm."""

from __future__ import annotations

import ctypes.util
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import numpy as np
import pytest
import torch
from commands import HOPPER, TINY, fit, last, one_stage, options, read_checkpoint, refused, results

import spar_lightning.export
from spar_lightning.cli import main
from spar_lightning.export.formats import FORMATS
from spar_lightning.training import load_trained

DOCUMENTATION = (Path(spar_lightning.export.__file__).parent / "README.md").read_text(encoding="utf-8")
FEW = options(episodes=2, seed=10_000)
"""The start states of a run's own final evaluation, and one more."""


@pytest.fixture
def without_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has no data set, and cannot make one."""
    empty = tmp_path / "no-data"
    empty.mkdir()
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(empty))
    monkeypatch.setattr("spar_lightning.datasets.sources.bundled.collect", _refuse)
    return empty


def _refuse(*_: Any) -> None:
    raise AssertionError("the data set is not to be made")


def _evaluated(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    main(["evaluate", *arguments, "--json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_the_command_that_a_training_ends_with_runs_without_its_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    fit(tmp_path / "run")
    (line,) = re.findall(r"^  evaluate +python -m spar_lightning (evaluate .*)$", capsys.readouterr().out, re.MULTILINE)
    request.getfixturevalue("without_data")
    main([*shlex.split(line), *options(episodes=1)])
    assert "improvement" in capsys.readouterr().out


def _changed(checkpoint: Path, target: Path, **entries: Any) -> Path:
    """A copy with other entries; those that are None are left out."""
    contents = read_checkpoint(checkpoint) | entries
    torch.save({name: value for name, value in contents.items() if value is not None}, target)
    return target


def test_base_and_policy_are_scored_without_the_data(
    capsys: pytest.CaptureFixture[str], finished_run: Path, without_data: Path
) -> None:
    found = _evaluated(capsys, str(last(finished_run)), *FEW)
    document = results(finished_run)  # of the first of the two start states
    for name, row in (("policy", document), ("base", document["base"]), ("fitted", document["fitted"])):
        assert found["returns"][name][0] == pytest.approx(row["return"], rel=1e-5)
        assert found["lengths"][name][0] == row["length"]
    difference = np.subtract(*(np.array(found["returns"][name]) for name in ("policy", "base"))).mean()
    low, high = document["score"], document["base"]["score"]
    unit = (low - high) / (document["return"] - document["base"]["return"])
    assert found["improvement"]["mean"] == pytest.approx(difference * unit, rel=1e-4)
    assert found["seeds"] == [10_000, 10_001]
    assert found["return_interval"][0] < found["return"] < found["return_interval"][1]
    assert found["environment_id"] == document["environment_id"]
    assert list(without_data.iterdir()) == []


def test_the_table_has_an_interval_for_each_policy(
    capsys: pytest.CaptureFixture[str], finished_run: Path, without_data: Path
) -> None:
    main(["evaluate", str(last(finished_run)), *FEW])
    output = capsys.readouterr().out
    assert len(re.findall(r"^  (?:base|fitted|policy) .*\[.*\].*\[.*\]", output, flags=re.MULTILINE)) == 3
    assert re.search(r"improvement +[-+\d.]+ \[.*\]  on base, over the same start states", output)


def test_noise_on_the_actions_tells_how_fragile_a_policy_is(
    capsys: pytest.CaptureFixture[str], finished_run: Path, without_data: Path
) -> None:
    calm, same, noisy = (
        _evaluated(capsys, str(last(finished_run)), *FEW, "--action_noise", noise) for noise in ("0", "0.0", "0.3")
    )
    assert calm["returns"] == same["returns"]
    for name in ("policy", "base", "fitted"):
        assert calm["returns"][name] != noisy["returns"][name]
    main(["evaluate", str(last(finished_run)), *FEW, "--action_noise", "0.3"])
    assert "2 episodes from seed 10000, noise of 0.3 on actions" in capsys.readouterr().out
    assert "action_noise is 2.0, expected 0 to 1" in refused(
        capsys, "evaluate", str(last(finished_run)), "--action_noise", "2"
    )


def test_a_base_alone_is_scored(capsys: pytest.CaptureFixture[str], finished_run: Path, without_data: Path) -> None:
    found = _evaluated(capsys, str(finished_run / "base" / "checkpoints" / "last.ckpt"), *FEW)
    assert found["module"] == "BCModule"
    assert list(found["returns"]) == ["policy"]
    assert found["return"] == pytest.approx(
        _evaluated(capsys, str(last(finished_run)), *FEW)["base"]["return"], rel=1e-5
    )


@pytest.mark.parametrize("algorithm", ["bc", "td3_bc", "iql", "rebrac"])
def test_every_algorithm_is_scored_and_exported(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    without_data: Path,
    tiny_datasets: Path,
    monkeypatch: pytest.MonkeyPatch,
    algorithm: str,
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tiny_datasets))
    short = options(model__hidden_dims=[16], trainer__max_steps=10, trainer__val_check_interval=10)
    main(["fit", "--algorithm", algorithm, "--run_dir", "run", "--data.dataset", HOPPER, *one_stage(TINY), *short])
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(without_data))
    found = _evaluated(capsys, "run/checkpoints/last.ckpt", *FEW)
    assert found["returns"]["policy"][0] == pytest.approx(results(tmp_path / "run")["return"], rel=1e-5)
    main(["export", "run/checkpoints/last.ckpt", "--format", "npz"])
    assert {path.name for path in Path("run/export").iterdir()} == {"policy.npz", "numpy_policy.py", "README.md"}


def test_a_data_set_s_own_scale_of_scores_is_kept(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_datasets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(shutil.copytree(tiny_datasets / HOPPER, tmp_path / "own" / HOPPER))
    metadata = json.loads((root / "data" / "metadata.json").read_text())
    (root / "data" / "metadata.json").write_text(json.dumps(metadata | {"ref_min_score": -50, "ref_max_score": 50}))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "own"))
    run = fit(tmp_path / "run")
    document = results(run)
    assert document["score"] == pytest.approx(document["return"] + 50, rel=1e-5)
    found = _evaluated(capsys, str(last(run)), *options(episodes=1, seed=10_000))
    assert found["score"] == pytest.approx(document["score"], rel=1e-4)
    assert found["score_note"] == document["score_note"] == "stated by the data set"
    elsewhere = _evaluated(capsys, str(last(run)), *FEW, "--environment", "Hopper-v4")
    assert elsewhere["score_note"] == "D4RL's hopper"
    shorter = _evaluated(capsys, str(last(run)), *FEW, "--max_episode_steps", "500")
    assert "no normalized score" in shorter["score_note"]
    entry = read_checkpoint(last(run))["simulator"]
    early = {name: value for name, value in entry.items() if name != "scale"}
    old = _changed(last(run), tmp_path / "old.ckpt", simulator=early)
    assert "D4RL's hopper" in _evaluated(capsys, str(old), *FEW)["score_note"]
    main(["combine", str(old), str(last(run)), "--out", "mean.ckpt"])
    for odd in ([1.0], [2.0, 1.0], [0.0, float("inf")], [0.0, 10**400], ["low", 1.0]):
        scale = {"reference": odd, "note": "made up"}
        broken = _changed(last(run), tmp_path / "odd.ckpt", simulator=entry | {"scale": scale})
        assert "no sound checkpoint: `simulator.scale" in refused(capsys, "evaluate", str(broken))


def test_a_checkpoint_of_an_earlier_version_is_scored(
    capsys: pytest.CaptureFixture[str], finished_run: Path, tmp_path: Path
) -> None:
    old = _changed(last(finished_run), tmp_path / "old.ckpt", simulator=None)
    found = _evaluated(capsys, str(old), *FEW)
    assert found["returns"]["policy"][0] == pytest.approx(results(finished_run)["return"], rel=1e-5)


def test_one_without_its_data_takes_the_environment_that_its_run_has_noted(
    capsys: pytest.CaptureFixture[str], finished_run: Path, tmp_path: Path
) -> None:
    gone = {"dataset": "/not/here.npz"}
    old = _changed(last(finished_run), tmp_path / "old.ckpt", simulator=None, datamodule_hyper_parameters=gone)
    with pytest.warns(UserWarning, match="is taken as registered"):
        found = _evaluated(capsys, str(old), *FEW)
    assert found["returns"]["policy"][0] == pytest.approx(results(finished_run)["return"], rel=1e-5)
    older = _changed(old, tmp_path / "older.ckpt", callbacks={})
    assert "name it with --environment" in refused(capsys, "evaluate", str(older))
    url = {"dataset": "http://127.0.0.1:9/logs.npz"}
    elsewhere = _changed(older, tmp_path / "elsewhere.ckpt", datamodule_hyper_parameters=url)
    assert f"was trained on {url['dataset']}" in refused(capsys, "evaluate", str(elsewhere))
    named = _evaluated(capsys, str(older), *FEW, "--environment", results(finished_run)["environment_id"])
    assert named["returns"] == found["returns"]


def test_a_checkpoint_does_not_choose_what_is_imported_or_called(
    capsys: pytest.CaptureFixture[str], finished_run: Path, tmp_path: Path
) -> None:
    entry = read_checkpoint(last(finished_run))["simulator"]
    foreign = _changed(last(finished_run), tmp_path / "a.ckpt", simulator=entry | {"module": "os"})
    assert "name it again with --environment os:" in refused(capsys, "evaluate", str(foreign))
    spec = json.loads(entry["spec"]) | {"entry_point": "subprocess:run"}
    calling = _changed(last(finished_run), tmp_path / "b.ckpt", simulator=entry | {"spec": json.dumps(spec)})
    assert "expected the registered" in refused(capsys, "evaluate", str(calling))
    broken = _changed(last(finished_run), tmp_path / "c.ckpt", simulator=entry | {"spec": "{"})
    assert "no sound checkpoint" in refused(capsys, "evaluate", str(broken))


@pytest.mark.skipif(ctypes.util.find_library("EGL") is None, reason="needs EGL")
def test_a_video_shows_base_and_policy(
    capsys: pytest.CaptureFixture[str], finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "egl")
    found = _evaluated(capsys, str(last(finished_run)), *FEW, "--video", "out.mp4")
    frames = imageio.mimread("out.mp4", memtest=False)
    longest = max(found["lengths"]["base"][0], found["lengths"]["policy"][0])
    assert len(frames) == longest + 1
    assert frames[0].shape[:2] == (480, 960)
    assert found["video"]["returns"]["policy"] == pytest.approx(found["returns"]["policy"][0], rel=1e-4)


@pytest.mark.skipif(ctypes.util.find_library("EGL") is None, reason="needs EGL")
def test_a_training_films_its_last_policy_if_asked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "egl")
    fit(tmp_path / "run", *options(callbacks__rollout__video="true", data__max_episode_steps=5))
    frames = imageio.mimread(tmp_path / "run" / "video.mp4", memtest=False)
    assert len(frames) == 6
    assert frames[0].shape[:2] == (480, 960)


def test_without_a_renderer_there_is_one_line_and_no_file(
    capsys: pytest.CaptureFixture[str], finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "none-that-there-is")
    message = refused(capsys, "evaluate", str(last(finished_run)), "--video", "out.mp4").strip()
    assert re.fullmatch(r"error: no video can be drawn here \(.*\): it takes EGL or OSMesa .*", message)
    assert not Path("out.mp4").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--episodes", "0"), "episodes is 0"),
        (("--video", "out.txt"), "ends in .mp4 or .gif"),
        (("--environment", "Walker2d-v5"), "has observations of shape"),
        (("--algorithm", "iql"), "leave --algorithm out"),
    ],
)
def test_what_does_not_fit_is_refused(
    capsys: pytest.CaptureFixture[str], finished_run: Path, arguments: tuple[str, str], message: str
) -> None:
    assert message in refused(capsys, "evaluate", str(last(finished_run)), *arguments)


@pytest.mark.parametrize("kind", list(FORMATS))
def test_a_run_is_exported(capsys: pytest.CaptureFixture[str], finished_run: Path, tmp_path: Path, kind: str) -> None:
    main(["export", str(last(finished_run)), "--format", kind, "--output", "deployed"])
    output = capsys.readouterr().out
    assert re.search(r"latency of one action +[\d.]+ ms", output)
    assert "hf upload USER/NAME deployed" in output
    card = (tmp_path / "deployed" / "README.md").read_text()
    document, policy = results(finished_run), load_trained(last(finished_run))
    assert f"{document['return']:.1f}" in card
    assert document["environment_id"] in card
    assert HOPPER in card
    observations = np.random.default_rng(0).normal(size=(7, policy.observation_dim)).astype(np.float32)
    actions = FORMATS[kind].run(tmp_path / "deployed" / f"policy.{kind}")(observations)
    np.testing.assert_allclose(actions, policy.act(observations), rtol=0, atol=1e-5)


def test_the_commands_and_the_python_of_the_documentation_run(
    capsys: pytest.CaptureFixture[str], finished_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "walker2d-medium-replay-v0" / "version_0"
    shutil.copytree(finished_run, run)
    shutil.copy(last(run), "last.ckpt")
    commands = [line for line in _blocks("bash") if line.startswith("python -m spar_lightning")]
    for command in commands:
        few = ("--episodes", "1") if " evaluate " in command else ()
        main([*shlex.split(command)[3:], *few])
    assert {shlex.split(command)[3] for command in commands} == {"evaluate", "export"}
    (python,) = re.findall(r"```python\n(.*?)```", DOCUMENTATION, flags=re.DOTALL)
    exec(python, {})
    assert Path("policy.onnx").is_file()


def _blocks(language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", DOCUMENTATION, flags=re.DOTALL)
    return [line for block in found for line in block.splitlines()]


@pytest.mark.parametrize("logger", ["WandbLogger", "[WandbLogger]", "[CSVLogger, {class_path: WandbLogger}]"])
def test_a_logger_that_is_not_installed_costs_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logger: str
) -> None:
    monkeypatch.setattr("lightning.pytorch.loggers.wandb._WANDB_AVAILABLE", False)
    settings = logger.replace("CSVLogger", "{class_path: CSVLogger, init_args: {save_dir: .}}")
    (tmp_path / "own.yaml").write_text(f"trainer: {{logger: {settings}}}")
    message = refused(capsys, "fit", "--config", "own.yaml", "--data.dataset", HOPPER, *TINY)
    assert "`trainer.logger` names WandbLogger" in message
    assert len(message.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_a_config_means_the_same_data_in_another_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    arrays = {"observations": random.normal(size=(60, 11)), "actions": random.uniform(-1, 1, size=(60, 3))}
    ends = {"rewards": random.normal(size=60), "terminals": np.arange(60) % 20 == 19, "timeouts": np.zeros(60)}
    np.savez(tmp_path / "logs.npz", **arrays, **ends)
    here = options(data__environment="Hopper-v5", data__batch_size=8)
    fit(tmp_path / "run", *here, dataset="logs.npz")
    saved = (tmp_path / "run" / "config.yaml").read_text()
    assert f"dataset: {tmp_path / 'logs.npz'}" in saved
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = ("--config", str(tmp_path / "run" / "config.yaml"), "--run_dir")
    main(["fit", *again, "again"])
    assert results(Path("again"))["return"] == results(tmp_path / "run")["return"]
    np.savez(tmp_path / "logs.npz", **{**arrays, "actions": -arrays["actions"]}, **ends)
    assert "it is not the file that the configuration is of" in refused(capsys, "fit", *again, "third")
