"""Which environment `make` takes, and which Python it makes one with."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAKE = shutil.which("make")
TRAINING = "-m spar_lightning fit --config configs/walker.yaml"

pytestmark = pytest.mark.skipif(MAKE is None, reason="there is no make")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What make needs of the project."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "programs").mkdir()
    return tmp_path


def program(path: Path, *, answers: bool) -> Path:
    """A stand-in for Python that finds what it is asked for: the package in an environment, its own version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nexit {0 if answers else 1}\n")
    path.chmod(0o755)
    return path


def make(folder: Path, *arguments: str, active: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run make where there are no programs but those that a test has put there."""
    assert MAKE is not None
    environment = {"PATH": str(folder / "programs")} | ({} if active is None else {"VIRTUAL_ENV": str(active)})
    return subprocess.run([MAKE, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def commands(folder: Path, active: Path | None = None) -> list[str]:
    """What `make fit` would run."""
    done = make(folder, "--dry-run", "fit", active=active)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_an_active_environment_that_has_the_package_is_taken_as_it_is(copy: Path) -> None:
    python = program(copy / "mine" / "bin" / "python", answers=True)
    assert commands(copy, active=copy / "mine") == [f"{python} {TRAINING}"]


def test_so_is_one_that_was_made_by_hand(copy: Path) -> None:
    python = program(copy / ".venv" / "bin" / "python", answers=True)
    assert commands(copy) == [f"{python} {TRAINING}"]
    other = program(copy / "mine" / "bin" / "python", answers=False).parents[1]
    assert commands(copy, active=other) == [f"{python} {TRAINING}"]


@pytest.mark.parametrize("version", ["python3.11", "python3.12", "python3.13", "python3"])
def test_else_one_is_made_with_a_python_that_fits(copy: Path, version: str) -> None:
    program(copy / "programs" / "python3", answers=False)
    python = program(copy / "programs" / version, answers=True)
    active = program(copy / "mine" / "bin" / "python", answers=False).parents[1]
    lines = commands(copy, active=active)
    assert f"{python} -m venv .venv" in lines
    assert lines[-1] == f".venv/bin/python {TRAINING}"


def test_one_that_make_has_made_is_kept_up_to_date(copy: Path) -> None:
    program(copy / "programs" / "python3.11", answers=True)
    program(copy / ".venv" / "bin" / "python", answers=True)
    (copy / ".venv" / ".installed").touch()
    for seconds, name in enumerate(("pyproject.toml", "constraints.txt", ".venv/.installed")):
        os.utime(copy / name, (seconds, seconds))  # a clock's ticks may be longer than this test
    assert commands(copy, active=copy / ".venv") == [f".venv/bin/python {TRAINING}"]
    (copy / "pyproject.toml").touch()
    assert any("pip install" in line for line in commands(copy, active=copy / ".venv"))


@pytest.mark.parametrize("arguments", [(), ("PYTHON=python3",)])
def test_without_one_that_fits_there_is_a_line(copy: Path, arguments: tuple[str, ...]) -> None:
    program(copy / "programs" / "python3", answers=False)
    done = make(copy, "fit", *arguments)
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    assert line.startswith("error: found no Python 3.11, 3.12 or 3.13 (PYTHON is ")
    assert not (copy / ".venv").exists()


def test_the_versions_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    low, high = re.findall(r"3\.(\d+)", project["requires-python"])
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"(3, {low}) <= sys.version_info[:2] < (3, {high})" in makefile
    named = [f"3.{minor}" for minor in range(int(low), int(high))]
    assert f"{', '.join(named[:-1])} or {named[-1]}" in makefile
    assert " ".join(f"python{version}" for version in named) in makefile
