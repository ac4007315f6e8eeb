"""What the program says at once: its commands, its version, and how it is called."""

from __future__ import annotations

import re
import sys

import pytest
from commands import refused, run_command, shown

import spar_lightning
from spar_lightning.cli.command_list import COMMANDS, STAGED
from spar_lightning.cli.dispatch import FUNCTIONS
from spar_lightning.cli.stages.staged import METHODS


def assert_listed(text: str) -> None:
    for name, what in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(what)}$", text, flags=re.MULTILINE)


def test_the_list_is_of_the_commands_there_are() -> None:
    assert STAGED.keys() == METHODS.keys()
    assert COMMANDS.keys() == STAGED.keys() | FUNCTIONS.keys() | {"ope"}


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("--config", "walker", "--help")], ids=" ".join)
def test_help_lists_every_command(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    assert_listed(shown(capsys, *arguments))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "error: no command is given"),
        (("--run_dir", "x"), "error: no command is given"),
        (("fti", "--config", "walker"), "error: there is no command fti, did you mean fit?"),
        (("sumarize", "runs"), "error: there is no command sumarize, did you mean summarize?"),
        (("train",), "error: there is no command train."),
    ],
)
def test_a_wrong_command_lists_every_one(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], expected: str
) -> None:
    message = refused(capsys, *arguments)
    assert_listed(message)
    assert message.splitlines()[-1] == expected


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "--version") == f"spar-lightning {spar_lightning.__version__}\n"


@pytest.mark.parametrize("arguments", ["", "--help", "--version", "fti"])
def test_what_needs_no_pytorch_does_not_wait_for_it(arguments: str) -> None:
    code = f"""
        import sys
        from spar_lightning.cli import main
        try:
            main({arguments.split()})
        finally:
            assert not {{"torch", "lightning", "jsonargparse", "numpy"}} & sys.modules.keys(), "loaded"
    """
    done = run_command(sys.executable, "-c", "if True:" + code)
    assert "loaded" not in done.stderr
    assert done.returncode == (0 if arguments.startswith("--") else 2)


def test_the_package_has_all_that_it_names() -> None:
    assert all(getattr(spar_lightning, name) for name in spar_lightning.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'SPARModul'"):
        spar_lightning.SPARModul  # noqa: B018


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/usr/bin/spar-lightning", "spar-lightning"), ("/lib/spar_lightning/__main__.py", "python -m spar_lightning")],
)
def test_usage_is_as_the_program_was_called(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, path: str, expected: str
) -> None:
    monkeypatch.setattr(sys, "argv", [path])
    for command in ("", "fit ", "collect "):
        assert shown(capsys, *command.split(), "--help").startswith(f"usage: {expected} {command}")


@pytest.mark.parametrize(("command", "other"), [("bench", "benchmark"), ("benchmark", "bench")])
def test_each_of_two_like_names_says_what_the_other_is(
    capsys: pytest.CaptureFixture[str], command: str, other: str
) -> None:
    assert re.search(rf"for \w+ see {other}\.$", COMMANDS[command])
    assert f"`{other}`" in shown(capsys, command, "--help").partition("options:")[0]
