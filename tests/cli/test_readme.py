"""Every command and every piece of Python in the README runs, the long ones with short settings."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import TINY, WALKER, fit, one_stage, options
from published_data import place

from spar_lightning.cli import main
from spar_lightning.datasets.sources.d4rl_names import KNOWN_D4RL, PREFIX
from spar_lightning.datasets.sources.minari_names import PUBLISHED_DATASETS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RUN = Path("runs/walker2d-medium-replay-v0/version_0")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


COMMANDS = [
    line for block in blocks("bash") for line in block.splitlines() if line.startswith("python -m spar_lightning")
]
LOGS = next(block for block in blocks("python") if "logs.npz" in block)
DOOR = Path("tests/demonstrations/door.npz")
PUBLISHED = {PREFIX + name for name in KNOWN_D4RL} | set(PUBLISHED_DATASETS)
LIMITS = [part for part in TINY if not part.endswith("hidden_dims") and part != "[16]"]
"""The tests' short settings, without those that a checkpoint fixes."""
FEW_WINDOWS = options(
    modules="[spar,plain]",
    threads=1,
    precisions="32-true",
    batch_sizes=8,
    hidden_dims=16,
    num_critics=2,
    compile="false",
    repeats=1,
    window=10,
    warmup=2,
    transitions=2000,
)
"""The like of a benchmark."""


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_datasets: Path) -> Path:
    """A folder as a reader of the README has it: the configurations, one run, and a data set of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    monkeypatch.setenv("SPAR_LIGHTNING_CACHE", str(tmp_path / "cache"))
    _link_datasets(tmp_path / "datasets", tiny_datasets)
    for folder in ("configs", "tests"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    return tmp_path


def _link_datasets(folder: Path, source: Path) -> None:
    """The tests' data sets, in a folder that may be added to."""
    for metadata in source.rglob("namespace_metadata.json"):
        target = folder / metadata.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(metadata.read_bytes())
    for data in source.rglob("data"):
        target = folder / data.parent.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(data.parent)


def own_logs() -> None:
    """Run the README's piece that writes a file of arrays."""
    random = np.random.default_rng(0)
    observations = random.normal(size=(101, 17))
    arrays: dict[str, Any] = {
        "observations": observations[:-1],
        "actions": random.uniform(-1, 1, size=(100, 6)).astype(np.float32),
        "rewards": random.normal(size=100),
        "next_observations": observations[1:],
        "terminations": np.arange(100) == 99,
        "truncations": np.arange(100) == 49,
    }
    exec(LOGS, arrays)


def prepare(arguments: list[str]) -> None:
    """Make what a command of the README finds on a reader's machine."""
    if "logs.npz" in arguments:
        own_logs()
    if "door/human-v0" in arguments and arguments[0] != "import":
        main(["import", str(DOOR), "--env", "AdroitHandDoor-v1", "--id", "door/human-v0", "--progress", "false"])
    for name in set(arguments) & PUBLISHED:
        place(name)


def test_the_readme_has_commands() -> None:
    assert len(COMMANDS) >= 12
    assert {"fit", "test", "data", "import", "summarize"} <= {command.split()[3] for command in COMMANDS}


def test_every_picture_and_file_of_the_readme_is_there() -> None:
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    assert len(pictures) >= 2
    assert all((ROOT / picture).is_file() for picture in pictures)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_command(surroundings: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = shlex.split(command, comments=True)[3:]
    if "--help" in arguments:
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        assert exit_.value.code == 0
        assert "--model.kappa" in capsys.readouterr().out
        return
    prepare(arguments)
    if "runs" in command:
        fit(RUN, "--model.hidden_dims", "[256,256]", "--bc.model.hidden_dims", "[256,256]", dataset=WALKER)
    limits = one_stage(LIMITS) if re.search(r"configs/(bc|td3_bc|iql|rebrac)\.yaml", command) else LIMITS
    short = {"fit": limits, "bench": FEW_WINDOWS}.get(arguments[0], [])
    if arguments[:2] == ["data", "bench_reading"]:
        arguments += ["--transitions", "2000", "--kinds", "[npz]"]
    if arguments[:2] == ["data", "bench"]:
        arguments[arguments.index("--transitions") + 1] = "[2000]"
    if arguments[0] == "fit" and "--ckpt_path" in arguments:
        short = [*short, "--trainer.max_steps", "60"]
    main([*arguments, *short])
    if arguments[0] == "fit":
        assert list(surroundings.glob("runs/*/version_*/results.json"))


@pytest.mark.slow
@pytest.mark.parametrize("piece", [block for block in blocks("python") if block != LOGS])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_python(surroundings: Path, piece: str) -> None:
    fit(RUN, dataset=WALKER)
    for steps, few in (("20_000", "20"), ("46_000", "40"), ("2_000", "20"), ("1_000", "20")):
        piece = piece.replace(steps, few)
    exec(piece, {})
