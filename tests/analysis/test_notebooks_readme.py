"""The commands of the notebooks' README run, with few episodes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from tiny_runs import Runs

from spar_lightning.cli import main

README = (Path(__file__).parents[2] / "notebooks" / "README.md").read_text(encoding="utf-8")
RUN = Path("runs/walker2d-medium-replay-v0/version_0")
COMMANDS = [line for line in README.splitlines() if line.startswith("python -m spar_lightning")]
PYTHON = re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def surroundings(tiny: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a reader has it; the runs are tiny ones of another machine."""
    monkeypatch.chdir(tmp_path)
    RUN.parent.mkdir(parents=True)
    RUN.symlink_to(tiny.run)
    Path("runs/seed_1").symlink_to(tiny.other)
    Path("runs/seed_2").symlink_to(tiny.other)
    return tmp_path


@pytest.mark.slow
def test_commands(surroundings: Path) -> None:
    assert len(COMMANDS) == 3
    for command in COMMANDS:
        arguments = shlex.split(command)[3:]
        short = ["--episodes", "1", "--states", "100"] if arguments[0] == "analyze" else []
        main([*arguments, *short])
    assert Path("analysis/index.html").is_file()


@pytest.mark.slow
def test_python(surroundings: Path) -> None:
    (piece,) = PYTHON
    exec(piece.replace('version_0")', 'version_0", states=100)'), {})
    assert Path("q_gain.png").is_file()
