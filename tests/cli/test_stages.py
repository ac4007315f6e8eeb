"""The two stages, alone and together."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import pytest
import torch
from commands import HOPPER, TINY, WALKER, base_weights, fit, last, read_checkpoint, results, same, weights

from spar_lightning.cli import main
from spar_lightning.training import BCModule, SPARModule


def test_the_base_is_the_one_of_its_stage(finished_run: Path) -> None:
    assert same(base_weights(finished_run), weights(last(finished_run / "base")))


def test_a_given_base_is_taken_as_it_is(tmp_path: Path, finished_run: Path) -> None:
    folder = fit(tmp_path / "run", "--bc.ckpt_path", str(last(finished_run / "base")), "--seed_everything", "5")
    assert not (folder / "base").exists()
    assert same(base_weights(folder), weights(last(finished_run / "base")))
    assert results(folder)["updates"] == 40


def test_a_given_base_brings_its_own_architecture(tmp_path: Path, finished_run: Path) -> None:
    folder = fit(
        tmp_path / "run", "--bc.ckpt_path", str(last(finished_run / "base")), "--bc.model.hidden_dims", "[8,8]"
    )
    assert read_checkpoint(last(folder))["hyper_parameters"]["base"]["hidden_dims"] == [16]


def test_a_base_of_another_shape_is_refused(
    tmp_path: Path, finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        fit(tmp_path / "run", "--bc.ckpt_path", str(last(finished_run / "base")), dataset=WALKER)
    assert exit_.value.code == 2
    message = capsys.readouterr().err
    assert f"'{WALKER}' have 17 dimensions, the base policy expects 11" in message
    assert "Traceback" not in message


def test_a_base_of_other_data_is_pointed_out(
    tmp_path: Path, finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spar_lightning.datasets import collect

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "data"))
    other = collect("spar/hopper/expert-v0", steps=1000, progress=False)
    with pytest.warns(UserWarning, match="the policy was trained on other data"):
        fit(tmp_path / "run", "--bc.ckpt_path", str(last(finished_run / "base")), dataset=other)


def test_a_residual_checkpoint_is_no_base(
    tmp_path: Path, finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        fit(tmp_path / "run", "--bc.ckpt_path", str(last(finished_run)))
    assert exit_.value.code == 2
    assert "holds a SPARModule, expected a BCModule" in capsys.readouterr().err


def test_the_base_stage_alone(tmp_path: Path, finished_run: Path) -> None:
    folder = fit(tmp_path / "run", "--stage", "base")
    assert same(weights(last(folder / "base")), weights(last(finished_run / "base")))
    assert not (folder / "checkpoints").exists()
    assert not (folder / "results.json").exists()
    assert (folder / "base" / "csv" / "metrics.csv").is_file()


def test_the_base_stage_shows_a_bar_if_the_main_stage_does(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pairs = zip(TINY[::2], TINY[1::2], strict=True)
    given = [part for pair in pairs if not pair[0].endswith("enable_progress_bar") for part in pair]
    for shown in ("false", "true"):
        bar = ["--trainer.enable_progress_bar", shown, "--run_dir", str(tmp_path / shown)]
        main(["fit", "--stage", "base", "--data.dataset", HOPPER, *given, *bar])
        assert ("BCModule, training" in "".join(capfd.readouterr())) is (shown == "true")


def test_the_residual_stage_alone(tmp_path: Path, finished_run: Path) -> None:
    base = last(finished_run / "base")
    folder = fit(tmp_path / "run", "--stage", "residual", "--bc.ckpt_path", str(base))
    assert not (folder / "base").exists()
    assert same(base_weights(folder), weights(base))


def test_the_residual_stage_needs_a_base(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        fit(tmp_path / "run", "--stage", "residual")
    assert exit_.value.code == 2
    assert "--bc.ckpt_path" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["--bc.ckpt_path", "--ckpt_path"])
def test_the_base_stage_has_no_base(
    tmp_path: Path, finished_run: Path, capsys: pytest.CaptureFixture[str], given: str
) -> None:
    folder = finished_run / "base" if given == "--bc.ckpt_path" else finished_run
    with pytest.raises(SystemExit) as exit_:
        fit(tmp_path / "run", "--stage", "base", given, str(last(folder)))
    assert exit_.value.code == 2
    assert f"{given} brings a trained one" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_two_stages_one_after_the_other_are_both_at_once(tmp_path: Path, finished_run: Path) -> None:
    fit(tmp_path / "first", "--stage", "base")
    second = fit(tmp_path / "second", "--stage", "residual", "--bc.ckpt_path", str(last(tmp_path / "first" / "base")))
    # The base stage draws random numbers before the second, so only what is fixed by then must agree.
    assert same(base_weights(second), base_weights(finished_run))
    scale = "algorithm.policy.residual_scale"
    assert torch.equal(weights(last(second))[scale], weights(last(finished_run))[scale])


@pytest.mark.parametrize(
    "settings",
    [
        ("--model.residual", "false"),
        ("--model.manifold", "gaussian"),
        ("--model.improvement", "value_gradient"),
        ("--model.improvement", "none"),
        ("--model.regression", "latent"),
        ("--model.critic_target", "in_sample"),
        ("--model.critic_target", "policy"),
        ("--model.trace_decay", "0.9"),
        ("--model.freeze_critic", "true"),
        ("--model.gradient_clip_norm", "1.0"),
        ("--data.validation_fraction", "0"),
        ("--trainer.precision", "bf16-mixed"),
    ],
    ids="=".join,
)
def test_every_ablation_is_one_setting(tmp_path: Path, finished_run: Path, settings: tuple[str, str]) -> None:
    base = str(last(finished_run / "base"))
    folder = fit(tmp_path / "run", "--bc.ckpt_path", base, *settings, "--trainer.max_steps", "30")
    module = SPARModule.load_from_checkpoint(last(folder), map_location="cpu", weights_only=True)
    assert module.act(torch.zeros(11)).shape == (3,)
    assert results(folder)["updates"] == 30


def test_checkpoints_load_by_themselves(finished_run: Path) -> None:
    module = SPARModule.load_from_checkpoint(last(finished_run), map_location="cpu", weights_only=True)
    base = BCModule.load_from_checkpoint(last(finished_run / "base"), map_location="cpu", weights_only=True)
    observations = torch.linspace(-1, 1, 22).reshape(2, 11)
    assert torch.equal(module.base.act(observations), base.act(observations))


def test_a_run_without_a_simulator_still_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spar_lightning.replay import OfflineDataModule
    from spar_lightning.types import EnvironmentUnavailableError

    def refuse(self: OfflineDataModule) -> None:
        raise EnvironmentUnavailableError("no simulator on this machine")

    monkeypatch.setattr(OfflineDataModule, "make_environment", refuse)
    with pytest.warns(UserWarning, match="Rollout evaluation is off"):
        main(["fit", "--run_dir", str(tmp_path / "run"), "--data.dataset", HOPPER, *TINY])
    assert last(tmp_path / "run").is_file()
    assert "score" not in results(tmp_path / "run")


def test_the_improvement_alone_starts_from_a_finished_warm_up(tmp_path: Path, finished_run: Path) -> None:
    source = last(finished_run)
    folder = fit(tmp_path / "run", "--stage", "improvement", "--ckpt_path", str(source), "--model.kappa", "3")
    before, after = weights(source), weights(last(folder))
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert {name.rpartition("actor.")[0] for name in moved} == {"algorithm.policy.", "algorithm.policy.average_"}
    assert results(folder)["updates"] == 20  # 40 less the warm-up's
    assert not (folder / "base").exists()
    assert read_checkpoint(last(folder))["hyper_parameters"]["kappa"] == 3


def test_a_stopped_improvement_is_gone_on_with(tmp_path: Path, finished_run: Path) -> None:
    start = ("--stage", "improvement", "--ckpt_path", str(last(finished_run)), "--trainer.val_check_interval", "10")
    folder = fit(tmp_path / "run", *start, "--trainer.max_steps", "30")
    unfinished = weights(last(folder))
    assert read_checkpoint(last(folder))["global_step"] == 10
    rest = ["--config", str(folder / "config.yaml"), "--ckpt_path", str(last(folder)), "--trainer.max_steps", "40"]
    main(["fit", *rest])
    assert read_checkpoint(last(folder))["global_step"] == 20
    began, ended = weights(last(finished_run)), weights(last(folder))
    layer = "algorithm.policy.actor.mlp.hidden.0.weight"
    steps = [(unfinished[layer] - ended[layer]).norm(), (began[layer] - ended[layer]).norm()]
    assert 0 < steps[0] < 0.2 * steps[1]  # from where it was stopped, not from fresh weights


@pytest.mark.parametrize(
    ("checkpoint", "updates", "message"), [(False, 40, "needs --ckpt_path"), (True, 20, "the warm-up of 20 updates")]
)
def test_an_improvement_needs_a_finished_warm_up(
    tmp_path: Path,
    finished_run: Path,
    capsys: pytest.CaptureFixture[str],
    checkpoint: bool,
    updates: int,
    message: str,
) -> None:
    given = ["--ckpt_path", str(last(finished_run))] if checkpoint else []
    with pytest.raises(SystemExit) as exit_:
        fit(tmp_path / "run", "--stage", "improvement", "--trainer.max_steps", str(updates), *given)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("--model.residual", "false"), "`residual` is True in the checkpoint and False here"),
        (("--bc.ckpt_path", "base.ckpt"), "leave --bc.ckpt_path out"),
    ],
)
def test_an_improvement_takes_all_parts_from_one_checkpoint(
    tmp_path: Path,
    finished_run: Path,
    capsys: pytest.CaptureFixture[str],
    settings: tuple[str, str],
    message: str,
) -> None:
    given = [str(last(finished_run / "base")) if part == "base.ckpt" else part for part in settings]
    with pytest.raises(SystemExit) as exit_:
        fit(tmp_path / "run", "--stage", "improvement", "--ckpt_path", str(last(finished_run)), *given)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_settings_with_a_meaning_of_null_take_it(tmp_path: Path, finished_run: Path) -> None:
    base = ("--bc.ckpt_path", str(last(finished_run / "base")))
    nulls = ("--model.manifold_steps", "null", "--model.conservative_deviations", "null")
    folder = fit(tmp_path / "run", *base, *nulls, "--model.critic_target", "policy")
    found = read_checkpoint(last(folder))["hyper_parameters"]
    assert (found["manifold_steps"], found["conservative_deviations"]) == (None, None)


def test_the_base_is_validated_when_it_is_time_with_several_updates_a_batch(tmp_path: Path) -> None:
    intervals = [
        "--bc.trainer.max_steps",
        "20",
        "--bc.trainer.val_check_interval",
        "10",
        "--data.updates_per_batch",
        "5",
    ]
    run = fit(tmp_path / "run", *intervals, "--data.validation_fraction", "0.5")
    rows = csv.DictReader((run / "base" / "csv" / "metrics.csv").open())
    assert len([row for row in rows if row["bc/validation_loss"]]) == 2


def test_a_base_that_has_learnt_nothing_is_said(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="worse than a constant action: its squared error"):
        fit(tmp_path / "run", "--bc.model.learning_rate", "1e10")
    assert results(tmp_path / "run")["updates"] == 40


def test_a_base_that_has_learnt_something_is_not(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    fit(tmp_path / "run", "--bc.trainer.max_steps", "200", "--bc.model.learning_rate", "0.003")
    assert not any("worse than a constant" in str(one.message) for one in recwarn)


def test_a_length_that_ends_within_the_warm_up_is_said_once_and_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = BCModule.on_fit_start

    def told(module: BCModule) -> None:
        warnings.warn("the base begins", stacklevel=1)
        begin(module)

    monkeypatch.setattr(BCModule, "on_fit_start", told)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(tmp_path / "run", "--model.warmup_steps", "40")
    said = [str(one.message) for one in caught]
    places = [place for place, text in enumerate(said) if "within the warm-up of 40 updates" in text]
    assert len(places) == 1
    assert places[0] < said.index("the base begins")
