"""The base stage: a base is made or taken from a checkpoint, trained as far as that is left to do, and frozen."""

from __future__ import annotations

import shlex
from typing import Any

import lightning.pytorch as pl
from jsonargparse import Namespace
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from spar_lightning.callbacks import FiniteLossGuard
from spar_lightning.callbacks.checkpoints.resumable_checkpoint import FINISHED_KEY
from spar_lightning.callbacks.clock import StageClock
from spar_lightning.cli.run.resuming import LAST, take_finished_base
from spar_lightning.cli.run.run_folder import RunFolder
from spar_lightning.cli.stages.arguments import DIMENSIONS
from spar_lightning.cli.stages.named_errors import callbacks_of, named_errors
from spar_lightning.cli.stages.stage_trainer import complete, refused_settings
from spar_lightning.cli.stages.starting_point import BASE, base_checkpoint, tell_differences
from spar_lightning.replay import OfflineDataModule
from spar_lightning.training.checkpoints import load_module, read_checkpoint
from spar_lightning.training.checks import check_dimensions
from spar_lightning.training.module import AlgorithmModule
from spar_lightning.types import CheckpointError

MAIN_COST = 3.0
"""What an update of the main stage takes in updates of the base, for the time that is left: 9.0 ms against 2.8 with
`walker.yaml`, on one thread."""


def make_base(
    base_class: type[AlgorithmModule], datamodule: OfflineDataModule, settings: Namespace, resumed: str | None
) -> AlgorithmModule:
    """The base, which is not trained yet unless `bc.ckpt_path` says so.

    Args:
        base_class: of the base.
        datamodule: that it is trained on.
        settings: of the command.
        resumed: path of the checkpoint that the run goes on from, if it does.

    Raises:
        CheckpointError: if a checkpoint holds none, or one for other data.
    """
    path = settings.get("bc.ckpt_path")
    if path is None:
        dimensions: dict[str, Any] = {name: getattr(datamodule, name) for name in DIMENSIONS}
        return base_class(**dimensions, **settings["bc.model"])
    if resumed is not None:
        return _of_checkpoint(base_class, resumed)
    _tell_unfinished(path)
    base = load_module(base_class, path)
    check_dimensions(base, datamodule, "the base policy")
    return base


def _of_checkpoint(base_class: type[AlgorithmModule], path: str) -> AlgorithmModule:
    """The base within a checkpoint, whose weights come later: the file that it was taken from may be gone."""
    settings = read_checkpoint(path)["hyper_parameters"].get("base")
    try:
        return base_class(**settings)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path} holds no base ({error}): take another checkpoint of this run") from error


def _tell_unfinished(path: str) -> None:
    """Say so if a base is not trained to its end."""
    checkpoint = read_checkpoint(path)
    if checkpoint.get(FINISHED_KEY) is False:
        rank_zero_warn(
            f"the base {path} is of update {checkpoint.get('global_step')}, before the end of its training: finish it"
            " with `fit --resume` and the folder of its run, or take the last checkpoint of one that ended"
        )


def fit_base(base: AlgorithmModule, datamodule: OfflineDataModule, settings: Namespace, folder: RunFolder) -> None:
    """Train the base, or what is left of that, and freeze it again.

    Args:
        base: frozen; its weights change.
        datamodule: set up.
        settings: of the command, callbacks made.
        folder: of the run.
    """
    found = base_checkpoint(folder)
    if found is not None:
        tell_differences(base, datamodule, str(folder.path / BASE / LAST))
    if found is not None and found.get(FINISHED_KEY):
        take_finished_base(base, found)
        clock = found["callbacks"].get(StageClock.__qualname__)
        seconds = clock.get("total_s") if isinstance(clock, dict) else None
        settings["callbacks.rollout"].base_s = seconds if isinstance(seconds, int | float) else None
        return
    base.unfreeze()
    stage = folder.stage(BASE, 0 if found is None else int(found["global_step"]))
    rank_zero_info(f"base stage: {type(base).__name__}, in {stage.path}")
    path = None if found is None else str(stage.path / LAST)
    clock = StageClock()
    config = _trainer_settings(base, datamodule, settings, stage, clock)
    with named_errors("bc.trainer.callbacks", callbacks_of(settings["bc.trainer"]["callbacks"]), path):
        with refused_settings("bc.trainer"):
            trainer = pl.Trainer(**config)
        trainer.fit(base, datamodule=datamodule, ckpt_path=path, weights_only=None if path is None else True)
        settings["callbacks.rollout"].base_s = clock.clock.total_s
    base.freeze()
    losses = {name: value for name, value in trainer.callback_metrics.items() if "loss" in name}
    told = ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
    rank_zero_info(f"base stage done{': ' * bool(told)}{told}")
    if settings.stage == BASE:
        rank_zero_info(f"go on from it with --bc.ckpt_path {shlex.quote(str(stage.path / LAST))}")


def _trainer_settings(
    base: AlgorithmModule, datamodule: OfflineDataModule, settings: Namespace, stage: RunFolder, clock: StageClock
) -> dict[str, Any]:
    config, main = {**settings["bc.trainer"]}, settings["trainer"]
    config["fast_dev_run"] = config["fast_dev_run"] or main["fast_dev_run"]
    for key in ("accelerator", "devices", "strategy"):  # both stages run on the same machine, unless told otherwise
        config[key] = main[key] if config[key] == "auto" else config[key]
    if config["enable_progress_bar"] is None:
        config["enable_progress_bar"] = main["enable_progress_bar"]
    is_last = settings.stage == BASE or main["max_steps"] <= 0
    following = 0.0 if is_last else MAIN_COST * main["max_steps"]
    config, own = complete(
        config, [FiniteLossGuard(), clock], stage, datamodule.updates_per_batch, type(base).__name__, following
    )
    return {**config, "callbacks": [*callbacks_of(config["callbacks"]), *own]}
