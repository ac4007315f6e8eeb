"""A name that is not known is told in a line, with the one that was meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import refused


@pytest.mark.parametrize(
    ("command", "typed", "meant"),
    [
        ("fit", "--model.kapa", "--model.kappa"),
        ("fit", "--model.kap", "--model.kappa"),
        ("fit", "--trainer.max_step", "--trainer.max_steps"),
        ("fit", "--bc.trainer.max_step", "--bc.trainer.max_steps"),
        ("fit", "--mode.kappa", "--model.kappa"),
        ("fit", "--kappa", "--model.kappa"),
        ("fit", "--max_steps", "--trainer.max_steps"),
        ("fit", "--run_dri", "--run_dir"),
        ("fit", "--confg", "--config"),
        ("test", "--ckpt_pth", "--ckpt_path"),
        ("validate", "--callbacks.rollout.num_episode", "--callbacks.rollout.num_episodes"),
        ("collect", "--stepz", "--steps"),
        ("evaluate", "--episode", "--episodes"),
        ("export", "--form", "--format"),
        ("ope", "--rollout", "--rollouts"),
        ("report", "--ou", "--out"),
        ("data info", "--env", "--environment"),
    ],
)
@pytest.mark.parametrize("form", ["{} 3", "{}=3"])
def test_an_option(capsys: pytest.CaptureFixture[str], command: str, typed: str, meant: str, form: str) -> None:
    needed = [] if command in {"fit", "test", "validate", "collect"} else ["a_file"]
    message = refused(capsys, *command.split(), *needed, *form.format(typed).split())
    assert message == f"error: there is no option {typed}, did you mean {meant}?\n"


def test_several_options(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "fit", "--model.kapa", "1", "--trainer.max_step=3")
    assert message == (
        "error: there is no option --model.kapa, did you mean --model.kappa?"
        " And no option --trainer.max_step, did you mean --trainer.max_steps?\n"
    )


def test_an_option_that_is_like_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "fit", "--zzz", "1")
    assert message == "error: there is no option --zzz. See python -m spar_lightning fit --help\n"


def test_an_option_of_another_algorithm(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "fit", "--algorithm", "td3_bc", "--bc.model.hidden_dims", "[3]")
    assert message == "error: there is no option --bc.model.hidden_dims, did you mean --model.hidden_dims?\n"


@pytest.mark.parametrize(
    ("text", "typed", "meant"),
    [
        ("model: {kapa: 3}", "model.kapa", "model.kappa"),
        ("modle: {kappa: 3}", "modle.kappa", "model.kappa"),
        ("bc: {trainer: {max_step: 3}}", "bc.trainer.max_step", "bc.trainer.max_steps"),
        ("run_dri: here", "run_dri", "run_dir"),
    ],
)
@pytest.mark.parametrize("inside", [False, True], ids=["for fit", "for all"])
def test_a_key_in_a_config(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, typed: str, meant: str, inside: bool
) -> None:
    path = tmp_path / "typo.yaml"
    path.write_text(f"fit: {{{text}}}" if inside else text)
    message = refused(capsys, *(["--config", str(path), "fit"] if inside else ["fit", "--config", str(path)]))
    assert message == f"error: there is no setting {typed}, did you mean {meant}?\n"


def test_a_sub_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, "data", "inof") == "error: there is no command inof, did you mean info?\n"


@pytest.mark.parametrize(
    ("command", "option", "value", "expected"),
    [
        ("fit", "model.kappa", "much", "a number"),
        ("fit", "trainer.max_steps", "[3]", "a whole number"),
        ("fit", "model.residual", "often", "true or false"),
        ("fit", "model.hidden_dims", "3,4", "a list [..] of whole numbers"),
        ("fit", "model.improvement", "sgd", "lsi or value_gradient or none"),
        ("fit", "data.filter", "3", "a mapping {..} with min_return, episodes or null"),
        ("fit", "data.columns", "3", "a mapping {..} of a text to a text or a list [..] of texts or null"),
        ("evaluate", "episodes", "three", "a whole number"),
    ],
)
def test_a_value(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str, option: str, value: str, expected: str
) -> None:
    told = f"`{option}` {'holds' if '[' in expected or '{' in expected else 'is'} {value}"
    remedy = f"expected {expected}. See python -m spar_lightning {command} --help"
    needed = [] if command == "fit" else ["a_file"]
    assert refused(capsys, command, *needed, f"--{option}", value) == f"error: {told}, {remedy}\n"
    if command == "fit":
        block, name = option.split(".")
        for file, content in {"odd": f"{block}: {{{name}: {value!r}}}", "sound": "seed_everything: 3"}.items():
            (tmp_path / f"{file}.yaml").write_text(content)
        configs = [part for file in ("odd", "sound") for part in ("--config", str(tmp_path / f"{file}.yaml"))]
        assert refused(capsys, command, *configs) == f"error: {told} in {tmp_path / 'odd.yaml'}, {remedy}\n"


def test_other_errors_are_as_they_were(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "fit", "--trainer.logger", "NoLogger")
    assert message.startswith("usage: python -m spar_lightning fit")
    assert 'Parser key "trainer.logger"' in message
    assert "unrecognized arguments: walker" in refused(capsys, "fit", "walker")
    init_args = ("--trainer.logger", "CSVLogger", "--trainer.logger.save_dirr", "x")
    assert "save_dirr" in refused(capsys, "fit", *init_args)
