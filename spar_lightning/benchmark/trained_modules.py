"""Contenders of this project: modules under Lightning's Trainer, with the loggers and callbacks of a default run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import lightning.pytorch as pl
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.types import STEP_OUTPUT
from typing_extensions import override

from spar_lightning.algorithms import SPAR
from spar_lightning.benchmark.measuring.gate import Gate, Loop, SharedGate
from spar_lightning.benchmark.measuring.stopwatch import Watched
from spar_lightning.benchmark.settings import ACTION_DIM, OBSERVATION_DIM, Setting
from spar_lightning.benchmark.synthetic_module import SyntheticData
from spar_lightning.callbacks import (
    FiniteLossGuard,
    ResidualMonitor,
    ResumableCheckpoint,
    RolloutEvaluation,
    StageProgressBar,
)
from spar_lightning.training import AlgorithmModule, BCModule, SPARModule, TD3BCModule
from spar_lightning.training.internals import prefetched, step_metrics
from spar_lightning.training.seeds import train_together
from spar_lightning.training.updates.execution import Execution
from spar_lightning.training.updates.stream import NetworkUnits

STEPS = 10_000_000
"""Training steps that no benchmark reaches."""

_HOOKS = ("on_train_batch_start", "on_train_batch_end")


def train_module(setting: Setting, gate: Gate, folder: Path) -> None:
    """Fit a module, or several seeds of it at once, until the gate says that it is enough."""
    if setting.num_seeds == 1:
        _fit(setting, gate, folder)
        return
    shared = SharedGate(gate, setting.num_seeds)
    trainings = [partial(_fit, setting, shared, folder / str(number)) for number in range(setting.num_seeds)]
    train_together(trainings, at_meetings=shared.decide)


def _fit(setting: Setting, gate: Gate, folder: Path) -> None:
    data = SyntheticData(setting.transitions, setting.batch_size, setting.loader, setting.updates_per_batch)
    data.setup("fit")
    module = build_module(setting, data)
    trainer = pl.Trainer(
        accelerator=setting.accelerator,
        devices=1,
        precision=setting.precision,  # type: ignore[arg-type]
        max_steps=STEPS * setting.updates_per_batch,
        max_epochs=-1,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        log_every_n_steps=100,
        enable_model_summary=False,
        default_root_dir=folder,
        logger=[TensorBoardLogger(folder, name="", version=""), CSVLogger(folder, name="", version="csv")],
        callbacks=[*_callbacks(module, folder), GateCallback(gate)],
    )
    trainer.fit(module, datamodule=data)


def build_module(setting: Setting, data: SyntheticData) -> AlgorithmModule:
    """The module that a contender's name stands for, untrained."""
    hidden_dims = (setting.hidden_dim, setting.hidden_dim)
    training: dict[str, Any] = {"compile": setting.compile, "capture": "auto" if setting.capture else False}
    base = BCModule(OBSERVATION_DIM, ACTION_DIM, hidden_dims)
    if setting.contender == "bc":
        return base
    if setting.contender == "td3_bc":
        return TD3BCModule(OBSERVATION_DIM, ACTION_DIM, hidden_dims, **training)
    base.algorithm.normalizer.fit(data.statistics)  # all that stage 2 asks of a trained base
    warmup = STEPS * setting.updates_per_batch // 2 if setting.contender == "spar_warmup" else 0
    target: Literal["in_sample", "returns"] = "in_sample" if setting.contender == "spar_in_sample" else "returns"
    module = SPARModule(
        base,
        hidden_dims,
        critic_hidden_dims=[max(1, width // 2) for width in hidden_dims],
        critic_target=target,
        warmup_steps=warmup,
        manifold_steps=None,
        num_critics=setting.num_critics,
        **training,
    )
    if warmup == 0:
        module.leave_out_warmup()  # an improvement is timed by itself, on critics that know nothing
    return module


def _callbacks(module: pl.LightningModule, folder: Path) -> list[pl.Callback]:
    """Those of a default run; the simulator is not opened, and nothing is printed at the end."""
    stage: list[pl.Callback] = [ResumableCheckpoint(str(folder / "checkpoints")), StageProgressBar()]
    if isinstance(module, BCModule):
        return [FiniteLossGuard(), *stage]
    return [FiniteLossGuard(), RolloutEvaluation(num_episodes=0, final_episodes=0), ResidualMonitor(), *stage]


class GateCallback(pl.Callback):
    """Leads Lightning's loop through a gate.

    Args:
        gate: told after every training step how many updates there were.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._is_met = False

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Show the loop, now that everything of it is there."""
        if self._is_met:
            return
        self._is_met = True
        sweep, every = None, 1
        if isinstance(pl_module, SPARModule) and pl_module.hparams["warmup_steps"]:
            algorithm, stream = pl_module.algorithm, pl_module.stream
            every = algorithm.sweep_every
            sweep = partial(_sweep, stream, algorithm)
            algorithm.sweep_every = STEPS * STEPS  # measured by itself rather than by chance in one window of many
        self._gate.meet(
            Loop(pl_module.device, lambda: list(_watched(trainer, cast(AlgorithmModule, pl_module))), sweep, every)
        )

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: STEP_OUTPUT, batch: Any, batch_idx: int
    ) -> None:
        """Pass, or end the training."""
        if not self._gate.passed(trainer.global_step):
            trainer.should_stop = True


def _sweep(stream: NetworkUnits, algorithm: SPAR) -> None:
    stream.store([algorithm.sweep_returns()])


def _watched(trainer: pl.Trainer, module: AlgorithmModule) -> Iterator[Watched]:
    """Where the time of Lightning's loop goes."""
    yield Watched(*prefetched(trainer), "data")
    yield Watched(trainer.datamodule, "transfer_batch_to_device", "data")  # type: ignore[attr-defined]
    yield Watched(module, "training_step", "step")
    if isinstance(module.execution, Execution):  # a captured update has no parts
        yield from _watched_updates(module.execution)
    yield Watched(module.algorithm, "summary", "logging")
    yield Watched(module, "_write", "logging")
    yield from _watched_logging(trainer)


def _watched_updates(execution: Execution) -> Iterator[Watched]:
    yield Watched(NetworkUnits, "batches", "data")
    yield Watched(execution, "descend", None)  # its first argument names the optimizer: loss and gradient
    yield Watched(execution, "follow", "targets")
    for name in ("step", "clear_gradients", "gather_gradients"):
        for optimizer in execution.optimizers.values():
            yield Watched(optimizer, name, "optimizer")


def _watched_logging(trainer: pl.Trainer) -> Iterator[Watched]:
    for logger in trainer.loggers:
        yield Watched(logger, "log_metrics", "logging")
        yield Watched(logger, "save", "logging")
    yield Watched(*step_metrics(trainer), "logging")
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        for hook in _HOOKS:
            if not isinstance(callback, GateCallback) and getattr(type(callback), hook) is not getattr(
                pl.Callback, hook
            ):
                yield Watched(callback, hook, "logging")
