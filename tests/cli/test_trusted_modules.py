"""A configuration is code only where the user says so, and before anything of it is imported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from commands import HOPPER, TINY, last, read_checkpoint, refused, results, shown

from spar_lightning.cli import main

MODULE = "somebodys_module"
CODE = """
from pathlib import Path

import lightning.pytorch as pl

Path("was_imported").touch()


class Watching(pl.Callback):
    '''Nothing.'''
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module whose import leaves a file."""
    (tmp_path / f"{MODULE}.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, MODULE, None)
    del sys.modules[MODULE]
    return tmp_path / "was_imported"


@pytest.mark.parametrize(
    "text",
    [
        "trainer: {callbacks: [{class_path: somebodys_module.Watching}]}",
        "trainer: {callbacks: somebodys_module.Watching}",
        "trainer: {logger: {class_path: '${oc.decode:somebodys_module.Watching}'}}",
        "bc: {trainer: {profiler: {class_path: somebodys_module.Watching}}}",
        "algorithm: somebodys_module.Watching",
        "data: {environment: 'somebodys_module:my/Plant-v0'}",
    ],
)
@pytest.mark.parametrize("command", ["fit", "test"])
def test_a_configuration_imports_nothing_of_others(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, finished_run: Path, module: Path, text: str, command: str
) -> None:
    (tmp_path / "odd.yaml").write_text(text)
    if command == "test" and "bc:" in text:
        command = "validate"
    extra = TINY if command == "fit" else ["--ckpt_path", str(last(finished_run))]
    message = refused(capsys, command, "--data.dataset", HOPPER, *extra, "--config", str(tmp_path / "odd.yaml"))
    assert not module.exists()
    if command == "fit" and "${" not in text:
        assert f"--allow_module {MODULE}" in message


def test_what_the_user_allows_is_imported(tmp_path: Path, module: Path) -> None:
    (tmp_path / "own.yaml").write_text("trainer: {callbacks: [{class_path: somebodys_module.Watching}]}")
    run, own = tmp_path / "run", ["--config", str(tmp_path / "own.yaml"), "--allow_module", MODULE]
    main(["fit", "--run_dir", str(run), "--data.dataset", HOPPER, *TINY, *own])
    assert module.exists()
    assert results(run)["updates"] == 40


def test_a_permission_ends_with_its_command(capsys: pytest.CaptureFixture[str], tmp_path: Path, module: Path) -> None:
    shown(capsys, "fit", "--allow_module", MODULE, "--help")
    (tmp_path / "odd.yaml").write_text("trainer: {callbacks: [{class_path: somebodys_module.Watching}]}")
    refused(capsys, "fit", "--data.dataset", HOPPER, *TINY, "--config", str(tmp_path / "odd.yaml"))
    assert not module.exists()


def test_a_file_allows_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path, module: Path) -> None:
    (tmp_path / "odd.yaml").write_text(f"allow_module: {MODULE}\n")
    message = refused(capsys, "fit", "--data.dataset", HOPPER, *TINY, "--config", str(tmp_path / "odd.yaml"))
    assert "`allow_module` is set in a configuration" in message


@pytest.mark.parametrize("name", ["os; ls", "", "a b"])
def test_names_that_are_none(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert "expected the name of a module" in refused(capsys, "fit", "--allow_module", name)


def test_a_checkpoint_does_not_say_what_is_fetched(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, finished_run: Path
) -> None:
    checkpoint = read_checkpoint(last(finished_run))
    checkpoint["datamodule_hyper_parameters"]["dataset"] = "http://127.0.0.1:9/logs.npz"
    torch.save(checkpoint, tmp_path / "odd.ckpt")
    for command in ("test", "validate"):
        message = refused(capsys, command, "--ckpt_path", str(tmp_path / "odd.ckpt"))
        assert "was trained on http://127.0.0.1:9/logs.npz: name it again with --data.dataset" in message
