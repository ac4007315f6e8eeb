"""The figures of a run: all that can be drawn are, and what cannot is said."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_runs import Runs

from spar_lightning.analysis import FinishedRun, Study, draw, figure_names
from spar_lightning.analysis.command import analyze
from spar_lightning.analysis.study import FACTORS
from spar_lightning.cli import main
from spar_lightning.types import CheckpointError, UserError

PNG = b"\x89PNG\r\n"
OF_ROLLOUTS = {"start_states", "residual_scale", "critic_against_returns"}


def test_every_figure_is_drawn_and_on_the_page(tiny: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--episodes", "2", "--states", "200"]
    given = ["--ablation", str(tiny.ablation), "--others", f"[{tiny.other}]"]
    main(["analyze", str(tiny.run), "--out", str(tmp_path / "out"), *sizes, *given])
    assert "improvement" in capsys.readouterr().out
    page = (tmp_path / "out" / "index.html").read_text()
    names = figure_names()
    assert len(names) >= 14
    for name in names:
        assert f'id="{name}"' in page
        drawn = tmp_path / "out" / f"{name}.png"
        # Untrained policies fall soon, so that every return is known.
        assert drawn.read_bytes().startswith(PNG), name
    assert page.count("data:image/png;base64,") == len(names)
    assert "Left out" not in page
    assert "<script" not in page


def test_an_ablation_is_one(tiny: Runs) -> None:
    with pytest.raises(UserError, match=r"`improvement` of the ablation .* is lsi, expected value_gradient"):
        Study(tiny.run, ablation=tiny.other)


def test_others_are_other_seeds_of_the_same(tiny: Runs, tmp_path: Path) -> None:
    for others in ([tiny.run], [tiny.other, tiny.other]):
        with pytest.raises(UserError, match="is there already, expected further runs of SPARModule, each once"):
            Study(tiny.run, others=others)
    cloned = Path(shutil.copytree(tiny.other, tmp_path / "cloned"))
    results = cloned / "results.json"
    results.write_text(results.read_text().replace('"SPARModule"', '"BCModule"'))
    with pytest.raises(UserError, match="is of BCModule, expected further runs of SPARModule"):
        Study(tiny.run, others=[cloned])


def without_simulator(run: Path, folder: Path) -> Path:
    """The run of data that name no environment, which was never evaluated."""
    shutil.copytree(run, folder / "run")
    study = Study(run)
    batch = study.data.transitions.batch(slice(0, 500))
    arrays = {name: getattr(batch, name).numpy() for name in ("observations", "actions", "rewards")}
    ends = study.data.transitions.episode_ends[:500].numpy()
    np.savez(folder / "logs.npz", **arrays, terminations=ends, truncations=np.zeros(500, dtype=bool),
             next_observations=batch.next_observations.numpy())  # fmt: skip
    path = folder / "run" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["data"]["dataset"] = str(folder / "logs.npz")
    path.write_text(yaml.safe_dump(config))
    (folder / "run" / "results.json").write_text(
        '{"dataset": "logs", "seed": 0, "module": "SPARModule", "updates": 40}'
    )
    return folder / "run"


def test_without_a_simulator_rollouts_alone_are_left_out(tiny: Runs, tmp_path: Path) -> None:
    study = Study(without_simulator(tiny.run, tmp_path), states=100)
    summary = study.summary()
    assert "no scores" in summary
    assert "all rollouts, since there is no simulator here" in summary
    drawn = {name: draw(study, name) for name in figure_names()}
    left_out = {name for name, one in drawn.items() if one.figure is None}
    assert left_out == OF_ROLLOUTS | {"several_seeds"}
    assert all("no simulator" in repr(drawn[name]) for name in OF_ROLLOUTS)
    assert study.action_names == ["action 0", "action 1", "action 2"]


def test_what_is_missing_can_be_made_with_what_is_said(tiny: Runs) -> None:
    summary = Study(tiny.run).summary()
    assert f"--stage improvement --ckpt_path {tiny.run / 'checkpoints' / 'last.ckpt'}" in summary
    assert "left out: other seeds" in summary


def test_what_a_run_has_taken_over_its_ablation_takes_over_too(tiny: Runs, tmp_path: Path) -> None:
    shutil.copytree(tiny.run, tmp_path / "a run")
    path = tmp_path / "a run" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(config | {"bc": config["bc"] | {"ckpt_path": "base.ckpt"}}))
    summary = Study(tmp_path / "a run").summary()
    assert f"--ckpt_path '{tmp_path}/a run/checkpoints/last.ckpt' --bc.ckpt_path null --model.improvement" in summary
    path.write_text(yaml.safe_dump(config | {"stage": "improvement", "ckpt_path": "/from/last.ckpt"}))
    assert "--stage improvement --ckpt_path /from/last.ckpt --model.improvement" in Study(tmp_path / "a run").summary()


def test_a_scaled_residual_goes_from_base_to_policy(tiny: Runs) -> None:
    study = Study(tiny.run, episodes=2)
    assert study.scaled_returns.shape == (len(FACTORS), 2)
    np.testing.assert_array_equal(study.scaled_returns[0], study.base_rollouts.returns)
    np.testing.assert_array_equal(study.scaled_returns[FACTORS.index(1.0)], study.policy_rollouts.returns)


def test_an_improvement_alone_has_no_warm_up(tiny: Runs, tmp_path: Path) -> None:
    shutil.copytree(tiny.run, tmp_path / "run")
    config = tmp_path / "run" / "config.yaml"
    config.write_text(re.sub("^stage: .*$", "stage: improvement", config.read_text(), flags=re.MULTILINE))
    assert FinishedRun.open(tmp_path / "run").warmup == 0


def test_the_curves_are_those_of_the_run(tiny: Runs) -> None:
    run = FinishedRun.open(tiny.run)
    assert run.warmup == 20
    # The warm-up has a name of its own; its last policy is where the improvement begins.
    assert run.curve("warmup/normalized_score")[0].tolist() == []
    assert run.curve("rollout/normalized_score")[0].tolist() == [20, 40]
    by_action = [name for name in run.metrics if name.startswith("residual_by_action/")]
    assert sorted(by_action) == [f"residual_by_action/{name}" for name in ("foot", "leg", "thigh")]
    updates, values = run.curve("residual_by_action/leg")
    assert updates.tolist() == [10, 20, 30, 40]
    assert (values >= 0).all()


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no config\.yaml, expected the folder of a finished run"):
        Study(tmp_path)


def test_a_damaged_run_is_refused(tiny: Runs, tmp_path: Path) -> None:
    shutil.copytree(tiny.run, tmp_path / "run")
    (tmp_path / "run" / "results.json").write_text("[1")
    with pytest.raises(UserError, match=r"results\.json cannot be read"):
        Study(tmp_path / "run").summary()
    (tmp_path / "run" / "checkpoints" / "last.ckpt").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        Study(tmp_path / "run")


def test_a_figure_that_there_is_not_is_refused(tiny: Runs) -> None:
    with pytest.raises(UserError, match="no figure 'q_gian', expected one of learning_curves"):
        draw(Study(tiny.run), "q_gian")


def test_impossible_numbers_are_refused(tiny: Runs) -> None:
    with pytest.raises(UserError, match="`states` is 0"):
        analyze(str(tiny.run), states=0)


def test_tensorboard_holds_nothing_odd_for_the_base(tiny: Runs) -> None:
    for folder, settings in ((tiny.run, True), (tiny.run / "base", False)):
        found = EventAccumulator(str(folder), size_guidance={"tensors": 0})
        found.Reload()
        plugins = {content.plugin_data.plugin_name for content in found.summary_metadata.values()}
        assert ("hparams" in plugins) == settings
        assert "hp_metric" not in found.Tags()["scalars"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("results.json", "{}", r"results\.json is not as this version writes it: `(module|updates)` is missing"),
        ("results.json", '{"module": "SPARModule", "updates": "x"}', "`updates` is 'x'"),
        ("results.json", '{"module": "SPARModule", "updates": 40, "score": "x"}', "`score` is 'x'"),
        ("config.yaml", "", r"config\.yaml is not as this version writes it"),
        ("config.yaml", "model: {}", "is missing"),
        (
            "config.yaml",
            "{data: {a: 1}, model: {}, callbacks: {rollout: {first_seed: 0}}}",
            "holds no settings of data",
        ),
        ("csv/metrics.csv", "a,b\nx,y\n", r"metrics\.csv cannot be read"),
        ("csv/metrics.csv", "a,b\n1,2\n", "it has no column `step`"),
        ("csv/metrics.csv", "step,loss\n1,y\n", r"metrics\.csv cannot be read"),
    ],
)
def test_files_that_fit_has_not_written_so_are_refused(
    tiny: Runs, tmp_path: Path, name: str, text: str, message: str
) -> None:
    shutil.copytree(tiny.run, tmp_path / "run")
    (tmp_path / "run" / name).write_text(text)
    with pytest.raises(UserError, match=message):
        analyze(str(tmp_path / "run"), str(tmp_path / "out"), episodes=1, states=50)
    assert not (tmp_path / "out").exists()
