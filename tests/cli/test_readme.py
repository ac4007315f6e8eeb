"""Every command and every piece of Python in the READMEs runs, the long ones with short settings."""

from __future__ import annotations

import functools
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import CONFIGS, HOPPER, TINY, WALKER, fit, last, one_stage, options, read_checkpoint, results
from pages import PAGES, ROOT, Piece, blocks, command_lines
from published_data import place

from spar_lightning.cli import main
from spar_lightning.cli.run.run_folder import RunFolder
from spar_lightning.datasets.sources.d4rl_names import KNOWN_D4RL, PREFIX
from spar_lightning.datasets.sources.minari.names import PUBLISHED_DATASETS

PROGRAM = "python -m spar_lightning "
RUN = Path("runs/walker2d-medium-replay-v0/version_0")
DOOR = Path("tests/demonstrations/door.npz")
PUBLISHED = {PREFIX + name for name in KNOWN_D4RL} | set(PUBLISHED_DATASETS)

COMMANDS = list({line.text: line for line in command_lines() if line.text.startswith(PROGRAM)}.values())
"""Each once, of whichever page."""

KEPT = tempfile.TemporaryDirectory()
"""Where runs are that several commands begin with."""

LOGS = next(block.text for block in blocks("python") if "savez" in block.text)
OWN_METHOD = next(block.text for block in blocks("python") if "(Algorithm)" in block.text)
LIMITS = [part for part in TINY if not part.endswith("hidden_dims") and part != "[16]"]
"""The tests' short settings, without those that a checkpoint fixes."""
FEW_WINDOWS = options(
    modules="[spar]",
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
    monkeypatch.syspath_prepend(tmp_path)  # as Python has it that is started there
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    monkeypatch.setenv("SPAR_LIGHTNING_CACHE", str(tmp_path / "cache"))
    _link_datasets(tmp_path / "datasets", tiny_datasets)
    for folder in ("configs", "tests", "results"):
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


def own_demonstrations() -> None:
    """Import what the page of data sets imports."""
    main(["import", str(DOOR), "--environment", "AdroitHandDoor-v1", "--id", "door/human-v0", "--progress", "false"])


def own_method() -> None:
    """Write the method of one's own to the file that the page of algorithms names."""
    Path("my_methods.py").write_text(OWN_METHOD, encoding="utf-8")


def own_run() -> None:
    """What the pages have trained, for a moment."""
    shutil.copytree(trained(WALKER), RUN)


@functools.cache
def trained(dataset: str) -> Path:
    """A run's folder; each process of the tests makes it once."""
    run = Path(KEPT.name) / dataset.replace("/", "-")
    own = ("--model.hidden_dims", "[256,256]", "--bc.model.hidden_dims", "[256,256]") if dataset == WALKER else ()
    fit(run, *own, dataset=dataset)
    return run


def other_runs() -> None:
    """Folders of runs that pages name, beside the walker's."""
    own_run()
    for name in ("runs/logs/version_0", "runs/ablation", "runs/seed_1", "runs/seed_2", "runs/debug/one"):
        shutil.copytree(RUN, name)
    ablation = read_checkpoint(last(Path("runs/ablation")))
    ablation["hyper_parameters"]["improvement"] = "value_gradient"
    torch.save(ablation, last(Path("runs/ablation")))
    shutil.copytree(trained(HOPPER), "runs/hopper-medium-replay-v0/version_0")


def own_mean() -> None:
    """Several runs, and one checkpoint that acts by their mean."""
    other_runs()
    main(["combine", "runs/seed_1", "runs/seed_2", "--out", "runs/mean.ckpt"])


def own_report() -> None:
    """A report of a run."""
    own_run()
    main(["report", "runs", "--out", "report", "--figures", "false"])


MADE_BEFORE: dict[str, Callable[[], Any]] = {
    "logs.npz": own_logs,
    "door/human-v0": own_demonstrations,
    "my_methods": own_method,
    "report/runs.json": own_report,
    "runs/mean.ckpt": own_mean,
    "runs": own_run,
}
OTHERS = re.compile(r"^(?!.* fit ).*runs/(logs|ablation|seed_1|debug|hopper)")
"""What a command or a piece of Python that has these words in it finds on a reader's machine."""


def prepare(text: str) -> None:
    """Make what is there before."""
    for word, make in MADE_BEFORE.items():
        if word in text and not text.startswith(f"{PROGRAM}import tests/"):
            if make is own_run and RUN.exists():
                continue
            (other_runs if make is own_run and OTHERS.search(text) else make)()
    for name in set(text.split()) & PUBLISHED:
        place(name)


def shortened(text: str) -> list[str]:
    """The arguments of a command, with settings that make it short."""
    arguments = shlex.split(text, comments=True)[3:]
    if arguments[:2] == ["data", "bench_reading"]:
        return [*arguments, "--transitions", "2000", "--kinds", "[npz]"]
    if arguments[:2] == ["data", "bench"]:
        arguments[arguments.index("--transitions") + 1] = "[2000]"
    if arguments[0] == "ope":
        return [*arguments, "--updates", "20", "--splits", "2"]
    if arguments[0] == "evaluate":
        return [*arguments, "--episodes", "3"]
    if arguments[0] == "analyze":
        return [*arguments, "--episodes", "2", "--states", "500"]
    if arguments[0] == "bench":
        return [*arguments, *FEW_WINDOWS]
    if arguments[0] == "fit":
        in_one_stage = re.search(r"configs/(bc|td3_bc|iql|rebrac)\.yaml|--algorithm", text)
        arguments += one_stage(LIMITS) if in_one_stage else LIMITS
        arguments += ["--trainer.max_steps", "60"] if "--ckpt_path" in arguments else []
        arguments += ["--callbacks.offline_check.fqe_updates", "20"] if "fqe_updates" in text else []
    return arguments


def test_the_pages_have_commands() -> None:
    assert {one.page for one in COMMANDS} >= {"README.md", "configs/README.md", "spar_lightning/algorithms/README.md"}
    assert len(COMMANDS) >= 30
    assert {"fit", "test", "data", "import", "summarize", "bench"} <= {one.text.split()[3] for one in COMMANDS}


def test_the_run_folders_that_pages_name_are_those_of_their_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    configs = re.findall(
        r"^  dataset: (\S+)", "".join(path.read_text() for path in CONFIGS.rglob("*.yaml")), re.MULTILINE
    )
    given = re.findall(r"--data\.dataset (\S+)", " ".join(one.text for one in COMMANDS))
    made = {RunFolder.choose(None, data_set, None).parent for data_set in [*configs, *given]}
    named = {Path("runs", name) for text in PAGES.values() for name in re.findall(r"runs/([\w.-]+)/version_0", text)}
    assert len(named) >= 3
    assert named <= made


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=str)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_command(surroundings: Path, command: Piece, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = shortened(command.text)
    if "--help" in arguments:
        with pytest.raises(SystemExit) as exit_:
            main(shlex.split(command.text)[3:])
        assert exit_.value.code == 0
        assert "--model.kappa" in capsys.readouterr().out
        return
    prepare(command.text)
    main(arguments)
    if arguments[0] == "fit":
        assert list(surroundings.glob("runs/*/version_*/**/results.json")) or "--run_dir" in arguments
    if arguments[0] == "report":
        assert Path(arguments[arguments.index("--out") + 1], "report.html").is_file()
    if "--dry_run" in arguments:
        assert "python -m spar_lightning fit " in capsys.readouterr().out
    elif arguments[:2] == ["benchmark", "debug"]:
        document = results(Path("runs/debug/hopper-medium-replay-v0/SPAR/seed_1"))
        assert (document["seed"], document["episodes"]) == (1, 3)
        assert {name: len(returns) for name, returns in document["episode_returns"].items()} == {
            "policy": 3,
            "base": 3,
            "fitted": 3,
        }
        assert document["wall_time_s"]["base"] > 0
        assert len(document["wall_time_s"]["training_at_evaluations"]) == len(document["history"])


@pytest.mark.slow
@pytest.mark.parametrize("piece", [block for block in blocks("python") if block.text != LOGS], ids=str)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_python(surroundings: Path, piece: Piece) -> None:
    text = piece.text
    prepare(text)
    for steps, few in (("20_000", "20"), ("46_000", "40"), ("2_000", "20"), ("1_000", "20")):
        text = text.replace(steps, few)
    exec(text, {})
