"""The help of a training's commands: what a person needs in few lines, and every setting behind a further option."""

from __future__ import annotations

import re

import pytest
import yaml
from commands import CONFIGS, shown

HELPS = [("fit",), ("fit", "--algorithm", "td3_bc"), ("validate",), ("test",), ("test", "--algorithm", "td3_bc")]


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("command", HELPS, ids=" ".join)
def test_help_is_short(capsys: pytest.CaptureFixture[str], command: tuple[str, ...]) -> None:
    text = shown(capsys, *command, "--help")
    assert len(text.splitlines()) < 150
    assert "SUPPRESS" not in text
    for setting in ("--config", "--ckpt_path", "--data.dataset", "--trainer.accelerator", "--trainer.help"):
        assert setting in text
    for setting in ("--trainer.plugins", "--trainer.logger.help", "--data CONFIG"):
        assert setting not in text


def test_help_of_a_training_has_what_a_person_needs(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "fit", "--help")
    for setting in ("run_dir", "stage", "algorithm", "seed_everything", "print_config", "bc.ckpt_path"):
        assert re.search(rf"^  --{setting} ", text, flags=re.MULTILINE)
    for setting in ("max_steps", "max_time", "val_check_interval", "accelerator", "devices", "precision"):
        assert re.search(rf"^  --trainer\.{setting}=\w+ +\w", text, flags=re.MULTILINE)
    for setting in (
        r"bc\.model\.learning_rate=[\d.]+",
        r"bc\.trainer\.max_steps=\d+",
        r"model\.hidden_dims=\[\d+,\d+]",
    ):
        assert re.search(rf"^  --{setting} +\w", text, flags=re.MULTILINE)
    assert re.search(r"^  --data\.storage=auto +auto, memory, map$", text, flags=re.MULTILINE)
    assert max(len(line) for line in text.splitlines() if line.startswith("  --")) < 80


def test_a_wide_terminal_shows_more(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = shown(capsys, "fit", "--help")
    monkeypatch.setenv("COLUMNS", "160")
    wide = shown(capsys, "fit", "--help")
    assert narrow.count(" ...") > 3 * wide.count(" ...")


@pytest.mark.parametrize("command", HELPS[:2], ids=" ".join)
def test_every_setting_is_in_the_overview_or_behind_an_option_that_it_names(
    capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    overview = shown(capsys, *command, "--help")
    parts = re.findall(r"^  (--\w+\.help) ", overview, flags=re.MULTILINE)
    texts = [overview, *(shown(capsys, *command, part) for part in parts)]
    known = {name for text in texts for name in re.findall(r"^  --([\w.]+)", text, flags=re.MULTILINE)}
    assert set(names(yaml.safe_load(shown(capsys, *command, "--print_config")))) <= known


def names(settings: object, before: str = "") -> list[str]:
    if not isinstance(settings, dict):
        return [before]
    return [name for key, value in settings.items() for name in names(value, f"{before}.{key}".lstrip("."))]


def test_a_part_is_shown_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    model = shown(capsys, "fit", "--model.help")
    assert re.search(r"--model\.kappa KAPPA\s+how far value may pull", model)
    assert "standard deviations per unit of value slope. (type: float, default: 1.4)" in " ".join(model.split())
    assert not re.search(r"^  --(?!model)", model, flags=re.MULTILINE)
    assert "--trainer.plugins" in shown(capsys, "fit", "--config", str(CONFIGS / "debug.yaml"), "--trainer.help")
    assert "--bc.trainer.plugins" in shown(capsys, "fit", "--bc.help")
    assert "--callbacks.residual.num_states" in shown(capsys, "fit", "--callbacks.help")
    assert "--model.alpha" in shown(capsys, "fit", "--algorithm", "td3_bc", "--model.help")


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        ("evaluate", "evaluate CHECKPOINT [--SETTING VALUE ...]"),
        ("report", "report RUNS ... [--SETTING VALUE ...]"),
        ("import", "import SOURCE --id ID [--SETTING VALUE ...]"),
        ("ope", "ope CHECKPOINT [--SETTING VALUE ...]"),
        ("data", "data COMMAND [--SETTING VALUE ...]"),
        ("data info", "data info NAME [--SETTING VALUE ...]"),
    ],
)
def test_help_of_other_commands_says_what_to_type(capsys: pytest.CaptureFixture[str], command: str, usage: str) -> None:
    text = shown(capsys, *command.split(), "--help")
    assert text.splitlines()[0] == f"usage: python -m spar_lightning {usage}"
    for noise in ("--print_config", "--config", "(type: ", "null"):
        assert noise not in text


def test_help_of_other_commands_tells_defaults_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "export", "--help")
    assert "--format {onnx,pt2,npz}" in text
    assert "with a runner (default: onnx)" in " ".join(text.split())


def test_a_class_that_a_setting_may_name_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--trainer.logger.save_dir" in shown(capsys, "fit", "--trainer.logger.help", "CSVLogger")
