"""LightningCLI with a base stage before the main stage."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

import lightning.pytorch as pl
from jsonargparse import Namespace, set_parsing_settings
from lightning.pytorch.callbacks import Callback, Checkpoint, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from spar_lightning.callbacks import (
    FiniteLossGuard,
    OfflineCheck,
    ResidualMonitor,
    ResumableCheckpoint,
    RolloutEvaluation,
    RunSummary,
    StageProgressBar,
    TensorBoardPage,
)
from spar_lightning.callbacks.resumable_checkpoint import FINISHED_KEY
from spar_lightning.cli.algorithm import options
from spar_lightning.cli.base_check import tell_useless
from spar_lightning.cli.command_list import STAGED, program
from spar_lightning.cli.command_parser import CommandParser
from spar_lightning.cli.going_on import GoingOn, is_complete
from spar_lightning.cli.named_errors import callbacks_of, named_classes, named_errors
from spar_lightning.cli.resuming import CONFIG, LAST, started_from, take_finished_base
from spar_lightning.cli.run_folder import RunFolder
from spar_lightning.cli.several_processes import adapt_strategy, is_first_process, same_folder
from spar_lightning.cli.simulator_of_checkpoint import EVALUATED_DATA
from spar_lightning.cli.trusted_modules import TRUSTED, allowed_modules, check_trusted
from spar_lightning.training import ALGORITHMS
from spar_lightning.training.arithmetic import use_tensor_cores
from spar_lightning.training.checkpoints import check_resumable, has_warmup, is_there, load_module, read_checkpoint
from spar_lightning.training.checks import check_dimensions, check_position
from spar_lightning.training.compiled import can_compile
from spar_lightning.training.module import AlgorithmModule
from spar_lightning.training.seeds import current_place
from spar_lightning.types import CheckpointError, UserError
from spar_lightning.whole_file import write_text

DIMENSIONS = {"observation_dim", "action_dim"}
TRAINER_DEFAULTS: dict[str, Any] = {
    "max_steps": 62_000,
    "max_epochs": -1,
    "val_check_interval": 1_000,
    "check_val_every_n_epoch": None,
    "num_sanity_val_steps": 0,
    "log_every_n_steps": 100,
    "enable_model_summary": False,
}
BASE_TRAINER_DEFAULTS = {**TRAINER_DEFAULTS, "max_steps": 20_000, "val_check_interval": 2_000}
MAIN_COST = 3.0
"""What an update of the main stage takes in updates of the base, for the time that is left: 9.0 ms against 2.8 with
`walker.yaml`, on one thread."""

NULLABLE = {"model.manifold_steps", "model.conservative_deviations"}
"""Settings that have a default, and a meaning without a value."""

UNSUPPORTED_PRECISIONS = {"64", "64-true", "16-true", "bf16-true", "transformer-engine", "transformer-engine-float16"}


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
                    "allow_abbrev": False,
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

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The commands, and the arguments of the trainer's methods that are not the user's to give."""
        common = {"model", "datamodule", "weights_only"}
        return {
            "fit": common | {"train_dataloaders", "val_dataloaders"},
            "validate": common | {"dataloaders", "verbose"},
            "test": common | {"dataloaders", "verbose"},
        }

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add `data`, the base stage, `model`, `trainer` and `callbacks`."""
        parser.add_argument(
            "--algorithm",
            type=str,
            default=self.algorithm,
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
            help="Folder of this run; by default runs/<dataset>/version_<n>, or that of a resumed checkpoint.",
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
        parser.add_lightning_class_args(self._datamodule_class, "data")
        parser.add_class_arguments(self.main_class, "model", skip={"base", *DIMENSIONS}, instantiate=False)
        parser.add_lightning_class_args(FiniteLossGuard, "callbacks.finite_loss")  # looks before the others use it
        parser.add_lightning_class_args(RolloutEvaluation, "callbacks.rollout")
        parser.add_lightning_class_args(ResidualMonitor, "callbacks.residual")
        parser.add_lightning_class_args(OfflineCheck, "callbacks.offline_check")
        parser.add_lightning_class_args(self.trainer_class, "trainer")
        parser.set_defaults({f"trainer.{key}": value for key, value in TRAINER_DEFAULTS.items()})
        if self.base_class is not None:
            self._add_base_arguments(parser, self.base_class)

    def _add_base_arguments(self, parser: LightningArgumentParser, base_class: type[AlgorithmModule]) -> None:
        parser.add_argument(
            "--stage",
            type=Literal["all", "base", "residual", "improvement"],
            default="all",
            help="What to train. `improvement` takes base, manifold and critics from --ckpt_path as they are.",
        )
        parser.add_argument("--bc.ckpt_path", type=str | None, default=None, help="A trained base to start from.")
        parser.add_class_arguments(base_class, "bc.model", skip=DIMENSIONS, instantiate=False)
        parser.add_lightning_class_args(pl.Trainer, "bc.trainer")
        parser.set_defaults({f"bc.trainer.{key}": value for key, value in BASE_TRAINER_DEFAULTS.items()})

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        """A command's parser, whose help is an overview."""
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        cast(CommandParser, parser).make_overview(subcommand)
        return parser

    def _parse_ckpt_path(self) -> None:
        """Do not let a checkpoint's hyper-parameters override the command line, as Lightning's own does."""

    # ---------------------------------------------------------------------------------------------------- the parts

    def check_settings(self) -> None:
        """Refuse settings that the parser takes and no run can have, before anything is made of them.

        Raises:
            UserError: for the first of them.
        """
        if (algorithm := self._get(self.config, "algorithm")) != self.algorithm:
            raise UserError(
                f"`algorithm` is {algorithm} in a configuration, {self.algorithm} was expected before that was read:"
                f" give --algorithm {algorithm} on the command line too"
            )
        for name in ("resume", "allow_module"):
            if self._get(self.config, name) is not None and f"--{name}" not in dict(options(self._arguments)):
                raise UserError(
                    f"`{name}` is set in a configuration, expected on the command line alone: give --{name}"
                )
        self._check_environment()
        _check_nulls(self._parser(self.subcommand).get_defaults(), self._get_config())
        for key in ("trainer",) if self.base_class is None else ("trainer", "bc.trainer"):
            trainer = self._get(self.config, key)
            _check_limits(key, trainer)
            if self.subcommand == "fit":
                _check_intervals(key, trainer, self._get(self.config, "data").updates_per_batch)

    def instantiate_classes(self) -> None:
        """Build data module, model and trainer; the model's base is not trained yet."""
        self.check_settings()
        if self.subcommand != "fit":
            self._use_data_of_checkpoint()
        with named_classes(self._get_config().as_dict()):
            self.config_init = self.parser.instantiate(self.config)
        self.datamodule = self._get(self.config_init, "data")
        if self.subcommand == "fit":
            self.model = self._build_model()
            if self._get(self.config, "stage") == "improvement":
                self._leave_out_warmup(self.model)
            updates = self._check_stages()
            self.folder = RunFolder(self._choose_folder(), updates, self._goes_on)
            self.nothing_is_left = self._is_finished(updates)
            if not self.nothing_is_left:
                self.datamodule.prepare_data()
                self.datamodule.setup("fit")  # what is wrong with the data is said before anything is made
                for key in ("dataset", "sha256"):  # so that the saved configuration means these data, in any folder
                    self._get(self.config, "data")[key] = self.datamodule.hparams[key]
            place = current_place()
            whole = self.folder.path if place is None else self.folder.path.parent
            self.going_on = GoingOn(whole, self._arguments, self._modules())
        else:
            self.model = load_module(self.main_class, self._get(self.config, "ckpt_path"))
        self.trainer = self.instantiate_trainer()
        use_tensor_cores(self.trainer.strategy.root_device)
        if self.subcommand == "fit":
            adapt_strategy(self.trainer)
            if is_first_process() and not self.nothing_is_left:  # after all that can be refused has been
                if self._get(self.config, "trainer").fast_dev_run:  # a run that is only tried leaves nothing
                    self.folder.create()
                else:
                    self._held.enter_context(self.folder.created())
                self._record_settings()

    def _check_environment(self) -> None:
        """See that a module that would be imported for its environment is named by the user, not by a file alone."""
        environment = str(self._get(self.config, "data").environment or "")
        if ":" in environment and ("--data.environment", environment) not in options(self._arguments):
            module = environment.rpartition(":")[0]
            check_trusted(f"`data.environment` is {environment}", module, allowed_modules(self._arguments))

    def _modules(self) -> list[str]:
        """Modules beside the trusted ones that this run needs, which the command that goes on must allow."""
        environment = str(self._get(self.config, "data").environment or "")
        named = {self.algorithm.rpartition(".")[0], environment.rpartition(":")[0]}
        return sorted((named | {*allowed_modules(self._arguments)}) - {"", *TRUSTED})

    def _choose_folder(self) -> Path:
        """The run's folder, the same on every rank; one of several seeds has its own in a common one."""
        asked, place = self._get(self.config, "run_dir"), current_place()

        def choose() -> Path:
            return RunFolder.choose(asked, self.datamodule.name, self._resumed_path)

        if place is not None and asked is None:
            return place.common_folder(choose) / f"seed_{self._get(self.config, 'seed_everything')}"
        return same_folder(choose)

    @property
    def _goes_on(self) -> bool:
        """Whether the run's folder may hold something of it."""
        return self._resumed_path is not None or self._get(self.config, "resume") is not None

    def _is_finished(self, updates: int) -> bool:
        """Whether nothing is left to do; where the user did not ask for the rest of a run, that is refused."""
        max_steps, path = self._get(self.config_init, "trainer").max_steps, self._resumed_path
        if path is None:
            base = self._base_checkpoint() if self._get(self.config, "stage") == "base" else None
            return base is not None and bool(base.get(FINISHED_KEY))
        if self._get(self.config, "resume") is None or 0 < max_steps < updates:
            _check_unfinished(updates, max_steps, self.folder.path)
            return False
        ended = updates == max_steps or (max_steps < 0 and bool(read_checkpoint(path).get(FINISHED_KEY)))
        return ended and is_complete(self.folder.path, updates)

    def _base_checkpoint(self) -> dict[str, Any] | None:
        """The last checkpoint of the base stage of a run that is gone on with."""
        path = self.folder.path / "base" / LAST
        return read_checkpoint(path) if self._goes_on and is_there(path) else None

    def _record_settings(self) -> None:
        """Write `config.yaml`, by which the run can be gone on with, unless it is only tried."""
        if self._get(self.config, "trainer").fast_dev_run:
            return
        config, folder, place = self._get_config().clone(), self.folder.path, current_place()
        config.ckpt_path = started_from(config.get("ckpt_path"), folder)
        config.resume = config.allow_module = None
        write_text(folder / CONFIG, self._parser("fit").dump(config, skip_unset=False))
        if place is not None and place.is_first:
            config.num_seeds, config.run_dir = place.count, str(folder.parent)
            write_text(folder.parent / CONFIG, self._parser("fit").dump(config, skip_unset=False))

    def _build_model(self) -> pl.LightningModule:
        dims = {name: getattr(self.datamodule, name) for name in DIMENSIONS}
        if self.base_class is None:
            return self.main_class(**dims, **self._get(self.config_init, "model"))
        base_path = self._get(self.config, "bc.ckpt_path")
        if base_path is not None and self._resumed_path is not None:
            base = self._base_of_checkpoint(self.base_class, self._resumed_path)
        elif base_path is not None:
            _tell_unfinished(base_path)
            base = load_module(self.base_class, base_path)
            check_dimensions(base, self.datamodule, "the base policy")
        else:
            base = self.base_class(**dims, **self._get(self.config_init, "bc.model"))
        self.base = base
        return self.main_class(base=base, **self._get(self.config_init, "model"))

    @staticmethod
    def _base_of_checkpoint(base_class: type[AlgorithmModule], path: str) -> AlgorithmModule:
        """The base within a checkpoint, whose weights come later: the file that it was taken from may be gone."""
        settings = read_checkpoint(path)["hyper_parameters"].get("base")
        try:
            return base_class(**settings)
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"{path} holds no base ({error}): take another checkpoint of this run") from error

    def _get_config(self) -> Namespace:
        config: Namespace = self.config[self.subcommand]
        return config

    def _check_stages(self) -> int:
        """Refuse what would fail later: a checkpoint that does not fit, a second stage without a first.

        Returns:
            Updates of the checkpoint that the run goes on from, 0 for a new run.
        """
        updates = 0
        ckpt_path, base_path = self._resumed_path, self._get(self.config, "bc.ckpt_path")
        if ckpt_path is not None:
            updates = int(read_checkpoint(ckpt_path)["global_step"])
            if not self._get(self.config, "trainer").fast_dev_run:
                check_position(updates, self.datamodule.updates_per_batch)
            self._tell_differences(self.model, ckpt_path)
        elif base_path is None and self._get(self.config, "stage") == "residual":
            raise UserError("`--stage residual` needs a trained base: name it with --bc.ckpt_path, or drop --stage")
        if self.model.hparams.get("compile"):
            can_compile()  # before a base is trained
        return updates

    @property
    def _resumed_path(self) -> str | None:
        """The checkpoint that a run goes on from; one that lends its parts to a new improvement is none."""
        path: str | None = self._get(self.config, "ckpt_path")
        return None if path is None or self._lends_parts(path) else path

    def _lends_parts(self, path: str) -> bool:
        """Whether a new improvement starts from a checkpoint: the stage says so, and its run had a warm-up.

        One of a run of this stage is gone on with.
        """
        return self._get(self.config, "stage") == "improvement" and has_warmup(read_checkpoint(path))

    def _leave_out_warmup(self, model: Any) -> None:
        """Take base, manifold and critics from a checkpoint, and make what the run's `max_steps` leaves: improvement.

        Raises:
            UserError: if no checkpoint is named, or `max_steps` leaves nothing.
            CheckpointError: if it does not fit, or its warm-up is not over.
        """
        path, trainer = self._get(self.config, "ckpt_path"), self._get(self.config_init, "trainer")
        if path is None:
            raise UserError("`--stage improvement` needs --ckpt_path, a checkpoint of a run whose warm-up is over")
        if self._get(self.config, "bc.ckpt_path") is not None:
            raise UserError("`--stage improvement` takes the base of --ckpt_path: leave --bc.ckpt_path out")
        warmup = model.hparams["warmup_steps"]
        if 0 < trainer.max_steps <= warmup:
            raise UserError(
                f"`trainer.max_steps` is {trainer.max_steps}, within the warm-up of {warmup} updates, which it counts"
                " although this stage leaves them out: expected more"
            )
        trainer.max_steps -= warmup if trainer.max_steps > 0 else 0
        _check_intervals("trainer", trainer, self.datamodule.updates_per_batch)
        if self._lends_parts(path):
            self._tell_differences(model, path)
            model.take_over(read_checkpoint(path))
        model.leave_out_warmup()

    def _tell_differences(self, model: pl.LightningModule, path: str) -> None:
        """See that a checkpoint fits, and say which settings are others from here on."""
        for key, (old, new) in check_resumable(model, self.datamodule, path).items():
            rank_zero_info(f"{key} was {old!r} in the checkpoint and is {new!r} from here on")

    def _use_data_of_checkpoint(self) -> None:
        """Evaluate a checkpoint in the simulator of the data it was trained on, unless another data set was named."""
        path = self._get(self.config, "ckpt_path")
        if path is None:
            raise UserError(f"`{self.subcommand}` needs --ckpt_path, the path of a checkpoint that `fit` has written")
        data, defaults = self._get(self.config, "data"), self._parser(self.subcommand).get_defaults()["data"]
        if data.dataset != defaults.dataset:
            return
        recorded = read_checkpoint(path).get("datamodule_hyper_parameters", {})
        for key in EVALUATED_DATA:
            if data[key] == defaults[key]:
                data[key] = recorded.get(key, data[key])
                # A checkpoint must choose neither what is imported nor what is fetched from where.
                if key == "environment" and ":" in (data[key] or ""):
                    raise UserError(f"{path} was evaluated in {data[key]}: name it again with --data.environment")
                if key == "dataset" and "://" in data.dataset:
                    raise UserError(f"{path} was trained on {data.dataset}: name it again with --data.dataset")

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """The main stage's trainer, with this project's loggers, checkpoints and progress bar unless others are set."""
        config = {**self._get(self.config_init, "trainer"), **kwargs}
        callbacks = [self._get(self.config_init, key) for key in self._parser(self.subcommand).callback_keys]
        callbacks += [TensorBoardPage(), RunSummary()]
        if self.subcommand == "fit":
            config, callbacks = self._stage(config, callbacks, self.folder, self.main_class.__name__)
        else:
            config["logger"] = config["logger"] or False
            config["enable_progress_bar"] = config["enable_progress_bar"] or False  # one item: nothing to watch
        try:
            return self._instantiate_trainer(config, callbacks)
        except ValueError as error:
            raise UserError(f"the trainer refuses its settings: {error}") from error

    def _stage(
        self,
        config: dict[str, Any],
        callbacks: list[Callback],
        folder: RunFolder,
        label: str,
        following: float = 0.0,
    ) -> tuple[dict[str, Any], list[Callback]]:
        """Complete a trainer's configuration for a stage that keeps its files in `folder`."""
        if isinstance(config["val_check_interval"], int):  # Lightning counts training steps
            config["val_check_interval"] = max(1, config["val_check_interval"] // self.datamodule.updates_per_batch)
        place = current_place()
        if place is not None and not place.is_first:
            config["enable_progress_bar"] = False  # one bar is enough to see how far all are
        if config["logger"] in (None, True):
            config["logger"] = folder.loggers()
        config["default_root_dir"] = config["default_root_dir"] or str(folder.path)
        given = callbacks_of(config["callbacks"])
        if config["enable_checkpointing"] is not False and not any(isinstance(c, Checkpoint) for c in given):
            folder_of_files = str(folder.path / LAST.parent)
            callbacks = [*callbacks, ResumableCheckpoint(folder_of_files, keep_earlier=place is not None)]
        if config["enable_progress_bar"] is not False and not any(isinstance(c, ProgressBar) for c in given):
            callbacks = [*callbacks, StageProgressBar(label=label, following=following)]
        return config, callbacks

    # --------------------------------------------------------------------------------------------------- the stages

    def fit(self, model: pl.LightningModule, ckpt_path: str | None = None, **kwargs: Any) -> None:
        """Train the base unless there is one, then the main stage."""
        if self.nothing_is_left:
            rank_zero_info(f"the run in {self.folder.path} is finished: give a larger --trainer.max_steps to train on")
            return
        has_base = ckpt_path is not None or self._get(self.config, "bc.ckpt_path") is not None
        ckpt_path = self._resumed_path
        with self.going_on.told():
            if self.base_class is not None and not has_base:
                self._fit_base(self.base)
            if self._get(self.config, "stage") != "base":
                if self.base_class is not None and ckpt_path is None:
                    tell_useless(self.base, self.datamodule)
                rank_zero_info(f"main stage: {self.main_class.__name__}, in {self.folder.path}")
                given = callbacks_of(self._get(self.config_init, "trainer")["callbacks"])
                with named_errors("trainer.callbacks", given, ckpt_path):
                    self.trainer.fit(model, ckpt_path=ckpt_path, weights_only=True, **kwargs)

    def validate(self, model: pl.LightningModule, **_: Any) -> None:
        """Evaluate as during training; the summary prints the table, and the weights are loaded already."""
        self.trainer.validate(model, datamodule=self.datamodule, verbose=False)

    def test(self, model: pl.LightningModule, **_: Any) -> None:
        """Evaluate as at the end of training."""
        self.trainer.test(model, datamodule=self.datamodule, verbose=False)

    def _fit_base(self, base: AlgorithmModule) -> None:
        """Train the base that the model holds, or what is left of that, and freeze it again."""
        found = self._base_checkpoint()
        if found is not None and found.get(FINISHED_KEY):
            take_finished_base(base, found)
            return
        base.unfreeze()
        config = {**self._get(self.config_init, "bc.trainer")}
        main = self._get(self.config_init, "trainer")
        config["fast_dev_run"] = config["fast_dev_run"] or main["fast_dev_run"]
        for key in ("accelerator", "devices", "strategy"):  # both stages run on the same machine, unless told otherwise
            config[key] = main[key] if config[key] == "auto" else config[key]
        folder = self.folder.stage("base", 0 if found is None else int(found["global_step"]))
        is_last = self._get(self.config, "stage") == "base" or main["max_steps"] <= 0
        following = 0.0 if is_last else MAIN_COST * main["max_steps"]
        config, callbacks = self._stage(config, [FiniteLossGuard()], folder, base.__class__.__name__, following)
        given = callbacks_of(config["callbacks"])
        config["callbacks"] = [*given, *callbacks]
        rank_zero_info(f"base stage: {type(base).__name__}, in {folder.path}")
        path = None if found is None else str(folder.path / LAST)
        if path is not None:
            self._tell_differences(base, path)
        with named_errors("bc.trainer.callbacks", given, path):
            trainer = self.trainer_class(**config)
            began = time.perf_counter()
            trainer.fit(base, datamodule=self.datamodule, ckpt_path=path, weights_only=None if path is None else True)
            self._get(self.config_init, "callbacks.rollout").base_s = time.perf_counter() - began
        base.freeze()
        losses = {name: value for name, value in trainer.callback_metrics.items() if "loss" in name}
        rank_zero_info("base stage done: " + ", ".join(f"{name} {value:.4g}" for name, value in losses.items()))
        if self._get(self.config, "stage") == "base":
            rank_zero_info(f"go on from it with --bc.ckpt_path {folder.path / LAST}")


def _check_nulls(defaults: Namespace, config: Namespace) -> None:
    """Refuse a null where a value is needed: the parser takes it for any type."""
    for key, default in defaults.items():
        if default is not None and config.get(key) is None and key not in NULLABLE:
            raise UserError(f"`{key}` is null, expected a value: leave the line out to get the default, {default}")


def _tell_unfinished(path: str) -> None:
    """Say so if a base is not trained to its end."""
    checkpoint = read_checkpoint(path)
    if checkpoint.get(FINISHED_KEY) is False:
        rank_zero_warn(
            f"the base {path} is of update {checkpoint.get('global_step')}, before the end of its training: finish it"
            " with `fit --resume` and the folder of its run, or take the last checkpoint of one that ended"
        )


def _check_unfinished(updates: int, max_steps: int, folder: Path) -> None:
    """Refuse a run that is finished; one that was stopped in its last evaluation, before its results, is not."""
    if 0 < max_steps < updates or (max_steps == updates and is_complete(folder, updates)):
        raise UserError(
            f"the checkpoint is at update {updates}, `trainer.max_steps` is {max_steps}: nothing is left to train."
            " Give a larger --trainer.max_steps, or evaluate it with `test`"
        )


def _check_intervals(key: str, trainer: Namespace, updates_per_batch: int) -> None:
    """Refuse training steps of several updates that would pass by the end, or by a validation."""
    for name in ("max_steps", "val_check_interval"):
        value = getattr(trainer, name)
        if isinstance(value, int) and value > 0 and value % updates_per_batch and not trainer.fast_dev_run:
            raise UserError(
                f"`{key}.{name}` is {value}, expected a multiple of `data.updates_per_batch`, {updates_per_batch}:"
                " change either"
            )


def _check_limits(key: str, trainer: Namespace) -> None:
    """Refuse a training that would do nothing or never end: an epoch of a sampled stream has no end."""
    if trainer.max_steps == 0 or (trainer.max_steps < 0 and trainer.max_time is None and not trainer.fast_dev_run):
        raise UserError(
            f"`{key}.max_steps` is {trainer.max_steps}, expected a positive number of updates"
            " (or -1 together with `max_time`)"
        )
    for name in ("val_check_interval", "log_every_n_steps"):
        value = getattr(trainer, name)
        if isinstance(value, bool) or not isinstance(value, int | float | None):  # YAML's `on`, Lightning's times
            raise UserError(f"`{key}.{name}` is {value!r}, expected a whole number of updates")
        if value is not None and not value > 0:
            raise UserError(f"`{key}.{name}` is {value}, expected at least 1 update")
    if str(trainer.precision) in UNSUPPORTED_PRECISIONS:
        raise UserError(
            f"`{key}.precision` is {trainer.precision}, expected 32-true, bf16-mixed or 16-mixed: weights are kept in"
            " 32-bit floats"
        )
    if trainer.gradient_clip_val is not None:
        raise UserError(
            f"`{key}.gradient_clip_val` is set, but modules step their optimizers themselves: use"
            f" --{key.replace('trainer', 'model')}.gradient_clip_norm"
        )
