"""LightningCLI with a base stage before the main stage."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
from jsonargparse import Namespace, set_parsing_settings
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_info

from spar_lightning.callbacks import RunSummary, TensorBoardPage
from spar_lightning.cli.command_list import STAGED, program
from spar_lightning.cli.data_of_checkpoint import check_sound, use_data_of_checkpoint
from spar_lightning.cli.parsing.command_parser import CommandParser
from spar_lightning.cli.parsing.peeking import options
from spar_lightning.cli.parsing.trusted_modules import check_environment, needed_modules
from spar_lightning.cli.run.going_on import GoingOn
from spar_lightning.cli.run.recorded_settings import recorded_settings
from spar_lightning.cli.run.run_folder import RunFolder, give_up
from spar_lightning.cli.run.several_processes import is_first_process, same_folder
from spar_lightning.cli.stages.arguments import (
    DIMENSIONS,
    add_base_arguments,
    add_main_arguments,
    add_run_arguments,
    check_nulls,
)
from spar_lightning.cli.stages.base_check import tell_useless
from spar_lightning.cli.stages.base_stage import fit_base, make_base
from spar_lightning.cli.stages.named_errors import callbacks_of, named_classes, named_errors
from spar_lightning.cli.stages.stage_trainer import complete, refused_settings
from spar_lightning.cli.stages.starting_point import (
    BASE,
    finished_line,
    goes_on,
    is_finished,
    leave_out_warmup,
    resumed_path,
    updates_made,
)
from spar_lightning.cli.stages.trainer_settings import TRAINER_DEFAULTS, check_intervals, check_limits
from spar_lightning.given_path import given_path
from spar_lightning.training.checkpoints import load_module
from spar_lightning.training.module import AlgorithmModule
from spar_lightning.training.seeds import current_place
from spar_lightning.training.strategy import adapt_strategy
from spar_lightning.training.updates.compiler import require_compiler
from spar_lightning.types import LARGEST_SEED, UserError

COMMON = {"model", "datamodule", "weights_only"}
METHODS = {
    "fit": COMMON | {"train_dataloaders", "val_dataloaders"},
    "validate": COMMON | {"dataloaders", "verbose"},
    "test": COMMON | {"dataloaders", "verbose"},
}
"""The commands, each a method of the trainer, and the arguments of it that are not the user's to give."""


class StagedCLI(LightningCLI):
    """Trains a base, freezes it, and passes it to the main module; one configuration holds both stages.

    Args:
        model_class: the main stage; where it names the module of a base stage, its constructor takes the base as
            `base`, else it takes `observation_dim` and `action_dim`.
        datamodule_class: knows `observation_dim`, `action_dim` and `name` before it reads its data.
        args: the command line, without the program's name; None takes the process's own.
        algorithm: the name under which these stages are chosen.
    """

    def __init__(
        self,
        model_class: type[AlgorithmModule],
        datamodule_class: type[pl.LightningDataModule],
        args: Sequence[str] | None = None,
        algorithm: str = "spar",
    ) -> None:
        self.main_class, self.base_class, self.algorithm = model_class, model_class.base_class, algorithm
        self._arguments = sys.argv[1:] if args is None else list(args)
        set_parsing_settings(omegaconf_absolute_to_relative_paths=True)
        with contextlib.ExitStack() as self._held:  # what is this process's while it trains
            super().__init__(
                model_class,
                datamodule_class,
                args=None if args is None else list(args),
                seed_everything_default=0,
                trainer_defaults=TRAINER_DEFAULTS,
                parser_kwargs={
                    "parser_mode": "omegaconf+",
                    "prog": program(),
                    **{
                        name: {
                            "usage": f"{program()} {name} [--config FILE ...] [--SETTING VALUE ...]",
                            "description": STAGED[name],
                        }
                        for name in self.subcommands()
                    },
                },
                parser_class=CommandParser,
                save_config_callback=None,  # the run's folder has it before anything is trained
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
            )

    # ------------------------------------------------------------------------------------------------ the arguments

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override] # Lightning's is static
        """The command that is called, alone: a parser takes longer to make than to use. Where none is, all of them."""
        called = self._arguments[0] if self._arguments else None
        return {called: METHODS[called]} if called in METHODS else METHODS

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add `data`, the base stage, `model`, `trainer` and `callbacks`."""
        add_run_arguments(parser, self.algorithm)
        add_main_arguments(parser, self.main_class, cast(Any, self._datamodule_class))
        if self.base_class is not None:
            add_base_arguments(parser, self.base_class)

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        """A command's parser, whose help is an overview."""
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        cast(CommandParser, parser).make_overview(subcommand)
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, and refuse a seed that NumPy cannot take before one is set."""
        super().parse_arguments(parser, args)
        seed = self.config[self.config.subcommand].seed_everything
        if not isinstance(seed, bool) and (seed is None or not 0 <= seed <= LARGEST_SEED):
            found = "null" if seed is None else seed
            raise UserError(f"`seed_everything` is {found}, expected 0 to {LARGEST_SEED}, or true for a random one")

    def _parse_ckpt_path(self) -> None:
        """Do not let a checkpoint's hyper-parameters override the command line, as Lightning's own does."""

    # ---------------------------------------------------------------------------------------------------- the parts

    @property
    def settings(self) -> Namespace:
        """Of the command, as they were given."""
        settings: Namespace = self.config[self.subcommand]
        return settings

    @property
    def made(self) -> Namespace:
        """The same with data module and callbacks in the place of their settings."""
        made: Namespace = self.config_init[self.subcommand]
        return made

    def instantiate_classes(self) -> None:
        """Build data module, model and trainer; the model's base is not trained yet."""
        self.check_settings()
        if self.subcommand != "fit":
            use_data_of_checkpoint(str(self.subcommand), self.settings, self._defaults)
            check_sound(self.settings.ckpt_path, self.parser, self.config)
        with named_classes(self.settings.as_dict()):
            self.config_init = self.parser.instantiate(self.config)
        self.datamodule = self.made.data
        if self.subcommand == "fit":
            self._make_training()
        else:
            self.model = load_module(self.main_class, self.settings.ckpt_path)
        self.trainer = self.instantiate_trainer()
        if self.subcommand == "fit":
            adapt_strategy(self.trainer)
            if is_first_process() and not self.nothing_is_left:
                self._make_folder()  # after all that can be refused has been

    @property
    def _defaults(self) -> Namespace:
        defaults: Namespace = self._parser(self.subcommand).get_defaults()
        return defaults

    def check_settings(self) -> None:
        """Refuse settings that the parser takes and no run can have, before anything is made of them.

        Raises:
            UserError: for the first of them.
        """
        base = {} if self.base_class is None else {"bc.model": self.base_class}
        check_nulls(self._defaults, self.settings, {"model": self.main_class, **base})
        if (algorithm := self.settings.algorithm) != self.algorithm:
            raise UserError(
                f"`algorithm` is {algorithm} in a configuration, {self.algorithm} was expected before that was read:"
                f" give --algorithm {algorithm} on the command line too"
            )
        for name in ("resume", "allow_module"):
            if self.settings.get(name) is not None and f"--{name}" not in dict(options(self._arguments)):
                raise UserError(
                    f"`{name}` is set in a configuration, expected on the command line alone: give --{name}"
                )
        for name in ("run_dir", "ckpt_path", "bc.ckpt_path", "data.dataset"):
            if (path := self.settings.get(name)) is not None:
                given_path(str(path))
        check_environment(self.settings.data.environment, self._arguments)
        for key in self._trainers:
            check_limits(key, self.settings[key])
            if self.subcommand == "fit":
                check_intervals(key, self.settings[key], self.settings.data.updates_per_batch)

    @property
    def _trainers(self) -> tuple[str, ...]:
        return ("trainer",) if self.base_class is None else ("trainer", "bc.trainer")

    def _make_training(self) -> None:
        """Build what is trained, find out what is left to do, and read the data for that."""
        self.model = self._build_model()
        if self.settings.get("stage") == "improvement":
            leave_out_warmup(self.model, self.datamodule, self.settings, self.made.trainer)
        updates = updates_made(self.model, self.datamodule, self.settings)
        if updates == 0 and self.settings.get("stage") != BASE:
            self.model.algorithm.check_start(self.made.trainer.max_steps)  # before a base is trained
        if self.model.hparams.get("compile"):
            require_compiler()  # before a base is trained
        self.folder = RunFolder(self._choose_folder(), updates, goes_on(self.settings))
        self.nothing_is_left = is_finished(self.settings, self.made.trainer.max_steps, self.folder)
        if not self.nothing_is_left:
            self.datamodule.prepare_data()
            self.datamodule.setup("fit")  # what is wrong with the data is said before anything is made
            for key in ("dataset", "sha256"):  # so that the saved configuration means these data, in any folder
                self.settings.data[key] = self.datamodule.hparams[key]
        whole = self.folder.path if current_place() is None else self.folder.path.parent
        modules = needed_modules(self.algorithm, self.settings.data.environment, self._arguments)
        self.going_on = GoingOn(whole, self._arguments, modules)

    def _build_model(self) -> AlgorithmModule:
        if self.base_class is None:
            dimensions = {name: getattr(self.datamodule, name) for name in DIMENSIONS}
            return self.main_class(**dimensions, **self.made.model)
        self.base = make_base(self.base_class, self.datamodule, self.made, resumed_path(self.settings))
        return self.main_class(base=self.base, **self.made.model)

    def _choose_folder(self) -> Path:
        """The run's folder, the same on every rank; one of several seeds has its own in a common one."""
        asked, place = self.settings.run_dir, current_place()

        def choose() -> Path:
            path = RunFolder.choose(asked, self.datamodule.name, resumed_path(self.settings))
            if asked is None:
                self._held.callback(give_up, path)  # such as where the data are refused
            return path

        if place is not None and asked is None:
            return place.common_folder(choose) / f"seed_{self.settings.seed_everything}"
        return same_folder(choose)

    def _make_folder(self) -> None:
        """Make the run's folder, and write its `config.yaml`; a run that is only tried leaves neither."""
        if self.settings.trainer.fast_dev_run:
            self.folder.create()
            return
        self._held.enter_context(self.folder.created())
        parser = self._parser("fit")
        stages = [self.model] if self.base_class is None else [self.base, self.model]
        self._held.enter_context(
            recorded_settings(
                self.settings,
                self.folder.path,
                dump=lambda settings: parser.dump(settings, skip_unset=False),
                has_trained=lambda: any(stage.has_trained for stage in stages),
            )
        )

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """The main stage's trainer, with this project's loggers, checkpoints and progress bar unless others are set."""
        config = {**self.made.trainer, **kwargs}
        callbacks = [self.made[key] for key in self._parser(self.subcommand).callback_keys]
        callbacks += [TensorBoardPage(), RunSummary()]
        if self.subcommand == "fit":
            updates, label = self.datamodule.updates_per_batch, self.main_class.__name__
            config, callbacks = complete(config, callbacks, self.folder, updates, label)
        else:
            config["logger"] = config["logger"] or False
            config["enable_progress_bar"] = config["enable_progress_bar"] or False  # one item: nothing to watch
        with refused_settings("trainer"):
            return self._instantiate_trainer(config, callbacks)

    # --------------------------------------------------------------------------------------------------- the stages

    def fit(self, model: pl.LightningModule, ckpt_path: str | None = None, **kwargs: Any) -> None:
        """Train the base unless there is one, then the main stage."""
        if self.nothing_is_left:
            rank_zero_info(finished_line(self.settings, self.folder.path, self.going_on.folder))
            return
        has_base = ckpt_path is not None or self.settings.get("bc.ckpt_path") is not None
        ckpt_path = resumed_path(self.settings)
        with self.going_on.told():
            if self.base_class is not None and not has_base:
                fit_base(self.base, self.datamodule, self.made, self.folder)
            if self.settings.get("stage") != BASE:
                if self.base_class is not None and ckpt_path is None:
                    tell_useless(self.base, self.datamodule)
                rank_zero_info(f"main stage: {self.main_class.__name__}, in {self.folder.path}")
                given = callbacks_of(self.made.trainer["callbacks"])
                with named_errors("trainer.callbacks", given, ckpt_path):
                    self.trainer.fit(model, ckpt_path=ckpt_path, weights_only=True, **kwargs)

    def validate(self, model: pl.LightningModule, **_: Any) -> None:
        """Evaluate as during training; the summary prints the table, and the weights are loaded already."""
        self.trainer.validate(model, datamodule=self.datamodule, verbose=False)

    def test(self, model: pl.LightningModule, **_: Any) -> None:
        """Evaluate as at the end of training."""
        self.trainer.test(model, datamodule=self.datamodule, verbose=False)
