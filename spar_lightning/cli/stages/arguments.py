"""The arguments of a training's commands: of its data, both stages' models and trainers, and its callbacks."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from itertools import accumulate
from typing import Literal, get_args

import lightning.pytorch as pl
from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from spar_lightning.callbacks import FiniteLossGuard, OfflineCheck, ResidualMonitor, RolloutEvaluation
from spar_lightning.cli.stages.trainer_settings import BASE_TRAINER_DEFAULTS, TRAINER_DEFAULTS
from spar_lightning.training import ALGORITHMS
from spar_lightning.training.module import AlgorithmModule
from spar_lightning.types import UserError

DIMENSIONS = {"observation_dim", "action_dim"}
"""What a model is told by the data."""


def add_run_arguments(parser: LightningArgumentParser, algorithm: str) -> None:
    """Add what a run is, and where.

    Args:
        parser: of a command.
        algorithm: the name that was chosen before there was a parser.
    """
    parser.add_argument(
        "--algorithm",
        type=str,
        default=algorithm,
        help=f"How to train: {', '.join(ALGORITHMS)}, or the class path of an own method; each has own settings.",
    )
    parser.add_argument(
        "--num_seeds",
        type=int,
        default=1,
        help="Train so many seeds at once, from seed_everything on, each into a run folder of its own.",
    )
    parser.add_argument(
        "--run_dir",
        type=str | None,
        default=None,
        help="Folder of this run; by default runs/<dataset>/version_<n>, or the checkpoint's own.",
    )
    parser.add_argument(
        "--resume",
        type=str | None,
        default=None,
        help="Folder of a run to go on with, wherever it was stopped: its settings are found there.",
    )
    parser.add_argument(
        "--allow_module",
        type=str | None,
        default=None,
        help="A module, with all that is in it, whose classes a configuration may name; may be given repeatedly.",
    )


def add_main_arguments(
    parser: LightningArgumentParser, main_class: type[AlgorithmModule], data_class: type[pl.LightningDataModule]
) -> None:
    """Add data, model, callbacks and trainer of the main stage."""
    parser.add_lightning_class_args(data_class, "data")
    parser.add_class_arguments(main_class, "model", skip={"base", *DIMENSIONS}, instantiate=False)
    parser.add_lightning_class_args(FiniteLossGuard, "callbacks.finite_loss")  # looks before the others use it
    parser.add_lightning_class_args(RolloutEvaluation, "callbacks.rollout")
    parser.add_lightning_class_args(ResidualMonitor, "callbacks.residual")
    parser.add_lightning_class_args(OfflineCheck, "callbacks.offline_check")
    parser.add_lightning_class_args(pl.Trainer, "trainer")
    parser.set_defaults({f"trainer.{key}": value for key, value in TRAINER_DEFAULTS.items()})


def add_base_arguments(parser: LightningArgumentParser, base_class: type[AlgorithmModule]) -> None:
    """Add model and trainer of the base stage, and which stages there are."""
    parser.add_argument(
        "--stage",
        type=Literal["all", "base", "residual", "improvement"],
        default="all",
        help="`residual` needs --bc.ckpt_path; `improvement` takes all but the actor of --ckpt_path.",
    )
    parser.add_argument("--bc.ckpt_path", type=str | None, default=None, help="A trained base to start from.")
    parser.add_class_arguments(base_class, "bc.model", skip=DIMENSIONS, instantiate=False)
    parser.add_lightning_class_args(pl.Trainer, "bc.trainer")
    parser.set_defaults({f"bc.trainer.{key}": value for key, value in BASE_TRAINER_DEFAULTS.items()})


def _blocks(key: str) -> list[str]:
    """The names of what a setting is in: of `bc.trainer.max_steps`, `bc` and `bc.trainer`."""
    return list(accumulate(key.split("."), "{}.{}".format))[:-1]


def _takes_null(model_class: type[AlgorithmModule], name: str) -> bool:
    """Whether a setting of a model has a meaning without a value."""
    parameter = inspect.signature(model_class.__init__).parameters.get(name)
    return parameter is not None and type(None) in get_args(parameter.annotation)


def check_nulls(defaults: Namespace, settings: Namespace, models: Mapping[str, type[AlgorithmModule]]) -> None:
    """Refuse a null where a value is needed, which the parser takes for any type, and a value where a block is.

    Args:
        defaults: of all settings.
        settings: as they were given.
        models: the class that is made of each block of settings.
    """
    for block in sorted({block for key in defaults.keys() for block in _blocks(key)}):  # noqa: SIM118
        if not isinstance(found := settings.get(block), Namespace | dict):
            text = "null" if found is None else repr(found)
            raise UserError(f"`{block}` is {text}, expected settings: leave the line out to get the defaults")
    for key, default in defaults.items():
        block, _, name = key.rpartition(".")
        if default is None or settings.get(key) not in (None, "null"):  # which is a text to the command line
            continue
        if block not in models or not _takes_null(models[block], name):
            raise UserError(f"`{key}` is null, expected a value: leave the line out to get the default, {default}")
