"""Where a training starts: anew, at a checkpoint that it goes on from, or with the parts that one lends."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from jsonargparse import Namespace
from lightning.pytorch.utilities import rank_zero_info

from spar_lightning.callbacks.checkpoints.resumable_checkpoint import FINISHED_KEY
from spar_lightning.cli.run.going_on import is_complete
from spar_lightning.cli.run.resuming import LAST
from spar_lightning.cli.run.run_folder import RunFolder
from spar_lightning.cli.stages.trainer_settings import check_intervals
from spar_lightning.replay import OfflineDataModule
from spar_lightning.training.checkpoints import SEED_KEY, check_resumable, has_warmup, is_there, read_checkpoint
from spar_lightning.training.checks import check_position
from spar_lightning.types import UserError

BASE = "base"
"""The base stage, and its folder in that of the run."""


def resumed_path(settings: Namespace) -> str | None:
    """The checkpoint that a run goes on from; one that lends its parts to a new improvement is none."""
    path: str | None = settings.get("ckpt_path")
    return None if path is None or _lends_parts(settings, path) else path


def goes_on(settings: Namespace) -> bool:
    """Whether the run's folder may hold something of it."""
    return resumed_path(settings) is not None or settings.get("resume") is not None


def _lends_parts(settings: Namespace, path: str) -> bool:
    """Whether a new improvement starts from a checkpoint: the stage says so, and its run had a warm-up.

    One of a run of this stage is gone on with.
    """
    return settings.get("stage") == "improvement" and has_warmup(read_checkpoint(path))


def tell_differences(model: pl.LightningModule, datamodule: OfflineDataModule, path: str, lends: bool = False) -> None:
    """See that a checkpoint fits, and say which settings are others from here on.

    Args:
        model: of this run.
        datamodule: of this run.
        path: of the checkpoint.
        lends: the checkpoint is one of another run, which may have had another seed.

    Raises:
        UserError: if it does not fit, or the run has changed its seed.
    """
    differences = check_resumable(model, datamodule, path)
    if SEED_KEY in differences and not lends:
        old, new = differences[SEED_KEY]
        raise UserError(
            f"`seed_everything` is {new}, and {path} is of a run whose seed is {old}, which its data and its results go"
            f" by: go on with --seed_everything {old}, or leave the checkpoint out to train another run"
        )
    for key, (old, new) in differences.items():
        rank_zero_info(f"{key} was {old!r} in the checkpoint and is {new!r} from here on")


def updates_made(model: pl.LightningModule, datamodule: OfflineDataModule, settings: Namespace) -> int:
    """Updates of the checkpoint that a run goes on from, 0 for a new run.

    Raises:
        UserError: if the checkpoint does not fit, a second stage has no first, or the first is there already.
    """
    path = resumed_path(settings)
    if settings.get("stage") == BASE:
        for given in ("bc.ckpt_path", "ckpt_path"):
            if settings.get(given) is not None:
                raise UserError(
                    f"`--stage base` trains a base, and --{given} brings a trained one, {settings[given]}: nothing is"
                    " left to train. Leave one of the two out"
                )
    if path is None:
        if settings.get("bc.ckpt_path") is None and settings.get("stage") == "residual":
            raise UserError("`--stage residual` needs a trained base: name it with --bc.ckpt_path, or drop --stage")
        return 0
    updates = int(read_checkpoint(path)["global_step"])
    if not settings.trainer.fast_dev_run:
        check_position(updates, datamodule.updates_per_batch)
    tell_differences(model, datamodule, path)
    return updates


def base_checkpoint(folder: RunFolder) -> dict[str, Any] | None:
    """The last checkpoint of the base stage of a run that is gone on with."""
    path = folder.path / BASE / LAST
    return read_checkpoint(path) if folder.goes_on and is_there(path) else None


def is_finished(settings: Namespace, max_steps: int, folder: RunFolder) -> bool:
    """Whether nothing of a run is left to do; where the user did not ask for its rest, that is refused.

    Args:
        settings: of the command.
        max_steps: of the main stage, without a warm-up that is left out.
        folder: of the run, with its updates.

    Raises:
        UserError: if the user asks for no more than is made.
    """
    path, updates = resumed_path(settings), folder.updates
    if path is None:
        base = base_checkpoint(folder) if settings.get("stage") == BASE else None
        return base is not None and bool(base.get(FINISHED_KEY))
    if settings.get("resume") is None or 0 < max_steps < updates:
        _check_unfinished(updates, max_steps, folder.path)
        return False
    ended = updates == max_steps or (max_steps < 0 and bool(read_checkpoint(path).get(FINISHED_KEY)))
    return ended and is_complete(folder.path, updates)


def finished_line(settings: Namespace, folder: Path, whole: Path) -> str:
    """What to tell of a run of which nothing is left to do.

    Args:
        settings: of the command.
        folder: of the run.
        whole: of all seeds that are trained with it; its own where there is but one.
    """
    if settings.get("stage") != BASE:
        return f"the run in {folder} is finished: give a larger --trainer.max_steps to train on"
    return (
        f"the base in {folder} is finished: go on with the main stage by `fit --resume {shlex.quote(str(whole))}"
        f" --stage all`, or in another run by --bc.ckpt_path {shlex.quote(str(folder / BASE / LAST))}"
    )


def _check_unfinished(updates: int, max_steps: int, folder: Path) -> None:
    """Refuse a run that is finished; one that was stopped in its last evaluation, before its results, is not."""
    if 0 < max_steps < updates or (max_steps == updates and is_complete(folder, updates)):
        raise UserError(
            f"the checkpoint is at update {updates}, `trainer.max_steps` is {max_steps}: nothing is left to train."
            " Give a larger --trainer.max_steps, or evaluate it with `test`"
        )


def leave_out_warmup(model: Any, datamodule: OfflineDataModule, settings: Namespace, trainer: Namespace) -> None:
    """Take base, manifold and critics from a checkpoint, and make what the run's `max_steps` leaves: improvement.

    Args:
        model: whose warm-up is left out; it has a base.
        datamodule: that it is trained on.
        settings: of the command.
        trainer: settings of the trainer, from which the updates of the warm-up are taken.

    Raises:
        UserError: if no checkpoint is named, or `max_steps` leaves nothing.
        CheckpointError: if it does not fit, or its warm-up is not over.
    """
    path = settings.get("ckpt_path")
    if path is None:
        raise UserError("`--stage improvement` needs --ckpt_path, a checkpoint of a run whose warm-up is over")
    if settings.get("bc.ckpt_path") is not None:
        raise UserError(
            "`--stage improvement` takes the base of --ckpt_path: leave --bc.ckpt_path out, and where a configuration"
            " names one give `--bc.ckpt_path null`"
        )
    warmup = model.hparams["warmup_steps"]
    if 0 < trainer.max_steps <= warmup:
        raise UserError(
            f"`trainer.max_steps` is {trainer.max_steps}, within the warm-up of {warmup} updates, which it counts"
            " although this stage leaves them out: expected more"
        )
    trainer.max_steps -= warmup if trainer.max_steps > 0 else 0
    check_intervals("trainer", trainer, datamodule.updates_per_batch)
    if _lends_parts(settings, path):
        tell_differences(model, datamodule, path, lends=True)
        model.take_over(read_checkpoint(path))
    model.leave_out_warmup()
