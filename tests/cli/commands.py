"""Command lines that the tests share, and what they leave behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from spar_lightning.cli import main

CONFIGS = Path(__file__).parents[2] / "configs"
WALKER, HOPPER, CHEETAH = (f"spar/{env}/medium-replay-v0" for env in ("walker2d", "hopper", "halfcheetah"))


def options(**values: Any) -> list[str]:
    """Options of a command line; a double underscore stands for a dot."""
    return [part for name, value in values.items() for part in (f"--{name.replace('__', '.')}", str(value))]


TINY = options(
    bc__model__hidden_dims=[16],
    bc__trainer__accelerator="cpu",
    bc__trainer__enable_progress_bar="false",
    bc__trainer__max_steps=20,
    bc__trainer__val_check_interval=20,
    bc__trainer__log_every_n_steps=10,
    model__hidden_dims=[16],
    model__warmup_steps=20,
    trainer__accelerator="cpu",
    trainer__enable_progress_bar="false",
    trainer__max_steps=40,
    trainer__val_check_interval=20,
    trainer__log_every_n_steps=10,
    callbacks__rollout__num_episodes=1,
    callbacks__rollout__final_episodes=1,
    callbacks__residual__every_n_updates=10,
)
"""Settings with which a run takes a second."""


def one_stage(arguments: list[str]) -> list[str]:
    """The options that an algorithm without a base stage has as well."""
    pairs = zip(arguments[::2], arguments[1::2], strict=True)
    kept = [pair for pair in pairs if not pair[0].startswith("--bc.") and pair[0] != "--model.warmup_steps"]
    return [part for pair in kept for part in pair]


def fit(folder: Path, *extra: str, dataset: str = HOPPER) -> Path:
    """A tiny run in `folder`."""
    main(["fit", "--run_dir", str(folder), "--data.dataset", dataset, *TINY, *extra])
    return folder


def spawn(*arguments: str, **keywords: Any) -> subprocess.CompletedProcess[str]:
    """`python -m spar_lightning` in a process of its own."""
    return run_command(sys.executable, "-m", "spar_lightning", *arguments, **keywords)


def run_command(*command: str, **keywords: Any) -> subprocess.CompletedProcess[str]:
    """A command, with what it writes."""
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **keywords)


def last(folder: Path) -> Path:
    return folder / "checkpoints" / "last.ckpt"


def read_checkpoint(path: Path) -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return checkpoint


def weights(path: Path) -> dict[str, Tensor]:
    state_dict: dict[str, Tensor] = read_checkpoint(path)["state_dict"]
    return state_dict


def base_weights(folder: Path) -> dict[str, Tensor]:
    """The frozen base inside the last checkpoint of a run, under the names that it has by itself."""
    prefix = "algorithm.policy.base."
    return {
        f"algorithm.{name.removeprefix(prefix)}": weight
        for name, weight in weights(last(folder)).items()
        if name.startswith(prefix)
    }


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Whether two state dicts are equal, bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def config(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text())
    return document


def results(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return document


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command line that must be refused; returns what it wrote to stderr."""
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    message = capsys.readouterr().err
    assert exit_.value.code == 2, message
    assert "Traceback" not in message
    assert message.strip()
    return message


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command line prints that asks for something, and runs nothing."""
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert not exit_.value.code, capsys.readouterr().err
    return capsys.readouterr().out
