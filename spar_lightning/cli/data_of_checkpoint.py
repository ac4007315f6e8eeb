"""The data that a checkpoint was trained on, as it tells: whoever wrote it chooses no code, and no place in the net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from spar_lightning.datasets.sources.reading_settings import READING_SETTINGS
from spar_lightning.training.checkpoints import read_checkpoint
from spar_lightning.types import CheckpointError, UserError

EVALUATED_DATA = (
    *("dataset", "observation_keys", "environment", "max_episode_steps"),
    *(*READING_SETTINGS, "drop_reset_rows"),
)
"""Settings of the data that say how they are read, where a policy is evaluated, and what it sees there."""


def use_data_of_checkpoint(command: str, settings: Namespace, defaults: Namespace) -> None:
    """Evaluate a checkpoint in the simulator of the data it was trained on, unless another data set was named.

    Args:
        command: for the message.
        settings: of the command, which are changed.
        defaults: likewise.

    Raises:
        UserError: if no checkpoint is named.
        CheckpointError: if it would choose what is imported or fetched.
    """
    path, data = settings.get("ckpt_path"), settings.data
    if path is None:
        raise UserError(f"`{command}` needs --ckpt_path, the path of a checkpoint that `fit` has written")
    if data.dataset != defaults.data.dataset:
        return
    recorded = read_checkpoint(path).get("datamodule_hyper_parameters", {})
    for key in EVALUATED_DATA:
        if data[key] == defaults.data[key]:
            data[key] = recorded.get(key, data[key])
            if key == "environment":
                check_not_imported(path, data[key], "--data.environment")
            if key == "dataset":
                check_not_fetched(path, data[key])


def check_sound(path: str | Path, parser: ArgumentParser, settings: Namespace) -> None:
    """See that settings which a checkpoint has changed are of their types.

    Args:
        path: of the checkpoint.
        parser: of the settings.
        settings: all of them.

    Raises:
        CheckpointError: if they are not.
    """
    try:
        parser.validate(settings)
    except (ArgumentError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} holds settings of the data that make no sense ({' '.join(str(error).split())[:200]}):"
            " take another checkpoint of this run"
        ) from error


def check_not_imported(path: str | Path, environment: Any, option: str) -> None:
    """See that a checkpoint does not choose what is imported.

    Args:
        path: of the checkpoint.
        environment: that it was evaluated in, as it says.
        option: by which the user may name it.

    Raises:
        CheckpointError: if it would.
    """
    if ":" in str(environment or ""):
        raise CheckpointError(
            f"{path} was evaluated in {environment}, whose module would be imported: name it again with {option}"
            f" {environment}"
        )


def check_not_fetched(path: str | Path, dataset: Any) -> None:
    """See that a checkpoint does not choose what is fetched from where.

    Args:
        path: of the checkpoint.
        dataset: that it was trained on, as it says.

    Raises:
        CheckpointError: if it would.
    """
    if "://" in str(dataset or ""):
        raise CheckpointError(f"{path} was trained on {dataset}: name it again with --data.dataset")
