"""The LightningModule that trains any algorithm: counting, precision, logs and checkpoints; no equation."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Literal, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer

from spar_lightning.algorithms import Algorithm, Columns, Metrics
from spar_lightning.algorithms.settings import check_settings
from spar_lightning.replay import Minibatches, offline_data
from spar_lightning.training.checkpoints import (
    FORMAT,
    FORMAT_KEY,
    MODULE_KEY,
    OBSERVATIONS_KEY,
    SEED_KEY,
    SIMULATOR_KEY,
)
from spar_lightning.training.checks import check_actions, check_dimensions, check_end, check_position
from spar_lightning.training.internals import align_batches, count_updates, set_log_axis, use_own_console
from spar_lightning.training.progress import StageProgressBar
from spar_lightning.training.seeds import SeedPlace
from spar_lightning.training.signatures import constructor_like
from spar_lightning.training.strategy import adapt_strategy
from spar_lightning.training.update_logs import log_update
from spar_lightning.training.updates.choice import choose_execution
from spar_lightning.training.updates.compiler import require_compiler
from spar_lightning.training.updates.execution import Execution
from spar_lightning.training.updates.joint import ByItself
from spar_lightning.training.updates.noise import NOISE_KEY, make_noise, noise_state
from spar_lightning.training.updates.optimizers import FlatAdam
from spar_lightning.training.updates.stack import Training, copy_tensors
from spar_lightning.training.updates.stream import NetworkUnits, in_network_units
from spar_lightning.training.updates.tensor_cores import use_tensor_cores
from spar_lightning.types import Array, CheckpointError, EnvironmentUnavailableError, Policy, TransitionBatch, UserError

TRAINING_SETTINGS = {"gradient_clip_norm", "compile", "capture"}
"""Settings that every module has beside its algorithm's."""


class AlgorithmModule(pl.LightningModule):
    """Trains an algorithm by manual optimization, several updates in a training step.

    Each update is one of Lightning's global steps, whatever it steps. What is due now and then (learning rates, logs,
    derived columns) is due by updates, however many of them a training step makes.

    A subclass names the algorithm, and is made with the algorithm's settings.

    Args:
        gradient_clip_norm: largest gradient norm of each optimizer's step; None does not clip.
        compile: make each kind of update one compiled program; takes a minute and a C++ compiler: pays for long runs.
        capture: on a GPU, replay the updates of a training step as one CUDA graph; `auto` does where it can be done.
        settings: those of the algorithm.
    """

    algorithm_class: ClassVar[type[Algorithm]]
    base_class: ClassVar[type[AlgorithmModule] | None] = None
    """The module of a stage before, whose trained policy this one takes as its setting `base`."""
    checkpoint_name: ClassVar[str] = ""
    """What a checkpoint calls the module, if not by the name of its class."""
    algorithm: Algorithm

    def __init__(
        self,
        *arguments: Any,
        gradient_clip_norm: float | None = None,
        compile: bool = False,
        capture: bool | Literal["auto"] = "auto",
        **settings: Any,
    ) -> None:
        super().__init__()
        if not hasattr(self, "algorithm_class"):
            raise UserError(
                f"{type(self).__name__} names no algorithm: make a subclass with `algorithm_class`, as `class"
                " MineModule(AlgorithmModule): algorithm_class = Mine`"
            )
        check_settings({"gradient_clip_norm": gradient_clip_norm, "capture": capture}, AlgorithmModule.__init__)
        self.automatic_optimization = False
        bound = inspect.signature(self.algorithm_class).bind(*arguments, **settings)
        bound.apply_defaults()
        self.algorithm = self.algorithm_class(**self._parts(bound.arguments))
        self.settings = {name: _plain(value) for name, value in bound.arguments.items()}
        training = {"gradient_clip_norm": gradient_clip_norm, "compile": compile, "capture": capture}
        self.save_hyperparameters(self.settings | training)
        if not hasattr(self.algorithm, "observation_dim"):
            name = self.algorithm_class.__name__
            raise UserError(f"{name} has no dimensions: call `super().__init__(observation_dim, action_dim)` in it")
        self.observation_dim, self.action_dim = self.algorithm.observation_dim, self.algorithm.action_dim
        self._clip_norm, self._compiles, self._captures = gradient_clip_norm, compile, capture
        self._noise_seed = int(torch.randint(2**62, (), device="cpu"))
        self._noise_state: Tensor | None = None  # of a checkpoint
        self._optimizer_count: int | None = None  # of a checkpoint
        self._noise: torch.Generator | None = None
        self.execution: Execution | ByItself | SeedPlace | None = None
        self._shares_memory = False  # with other seeds
        self.has_trained = False
        """Whether this object has made an update itself, beyond those of a checkpoint that it goes on from."""
        self._updates = 0
        self._latest: Metrics = {}
        self._stage = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give the constructor the algorithm's signature and words, so that help and the command line show both."""
        super().__init_subclass__(**kwargs)
        if "algorithm_class" not in cls.__dict__:
            return
        if clash := TRAINING_SETTINGS & inspect.signature(cls.algorithm_class).parameters.keys():
            raise UserError(
                f"{cls.algorithm_class.__name__} has a setting `{min(clash)}`, which is the module's and would never"
                " reach it: expected another name"
            )
        if "__init__" not in cls.__dict__:  # one's own is kept
            constructor = constructor_like(AlgorithmModule.__init__, cls.algorithm_class.__init__)
            cls.__init__ = constructor  # type: ignore[method-assign]
        cls.__doc__ = "\n\n".join(filter(None, (cls.__doc__, inspect.getdoc(cls.algorithm_class)))) + _TRAINING_SETTINGS

    def _parts(self, settings: dict[str, Any]) -> dict[str, Any]:
        """The algorithm's arguments, of the settings: for a subclass that makes something of one."""
        return settings

    # ---------------------------------------------------------------------------------------------------- as a policy

    def act(self, observations: Array) -> Array:
        """The policy's action, deterministic; see `ActsOnArrays.act`."""
        return self.algorithm.act(observations)

    def forward(self, observations: Tensor) -> Tensor:
        """Raw observations (B, O) -> actions (B, A) in the environment's units, as `act`, but part of a graph."""
        return self.algorithm.select_actions(observations)

    def reference_policies(self) -> dict[str, Policy]:
        """Fixed policies to compare with, by name."""
        return self.algorithm.reference_policies()

    @property
    def policy_version(self) -> int:
        """A number that is another one whenever the policy is."""
        return self.algorithm.policy_version(self._updates)

    @property
    def phase_name(self) -> str:
        """The part of the training that the next update belongs to, in words."""
        return self.algorithm.stage(self._updates)

    @property
    def is_warming_up(self) -> bool:
        """Whether the policy is still being prepared, and has not begun to improve."""
        return self.algorithm.warms_up(self._updates)

    @property
    def beginnings(self) -> tuple[int, float]:
        """Transitions near the starts of episodes that lead each minibatch, and their decay."""
        return self.algorithm.beginnings

    # ------------------------------------------------------------------------------------------------------- training

    def configure_callbacks(self) -> list[pl.Callback]:
        """None of its own; a training by hand computes, joins processes and prints as the command line's does."""
        use_tensor_cores(self.trainer.strategy.root_device)  # here, since Lightning warns soon after
        if self.trainer.state.fn == TrainerFn.FITTING:
            adapt_strategy(self.trainer)
            use_own_console(self.trainer, type(self).__name__)
        return []

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Refuse data of another shape."""
        check_dimensions(self, offline_data(self.trainer))

    def on_fit_start(self) -> None:
        """Take over the data's units; see that updates come out even, and can be compiled if asked to.

        Raises:
            UserError: if the training has no end, training steps of several updates cannot end at `max_steps`, there
                is no compiler, or an own algorithm gives actions of another shape.
        """
        check_end(self.trainer)
        per_batch, max_steps = offline_data(self.trainer).updates_per_batch, self.trainer.max_steps
        if max_steps > 0 and max_steps % per_batch and not self._is_tried:
            raise UserError(
                f"`max_steps` is {max_steps}, expected a multiple of `updates_per_batch`, {per_batch}: change either"
            )
        if self._compiles:
            require_compiler()
        self.algorithm.take_statistics(offline_data(self.trainer).statistics)
        check_actions(self.algorithm, self.device)

    def on_train_start(self) -> None:
        """Derive columns of the data, and go on from the updates that a resumed run has made.

        Raises:
            UserError: if it was left where training steps of this many updates do not pass.
        """
        self._updates, self._latest, self._stage = self.trainer.global_step, {}, ""
        datamodule = offline_data(self.trainer)
        if not self._is_tried:
            check_position(self._updates, datamodule.updates_per_batch)
        align_batches(self.trainer, self._updates // datamodule.updates_per_batch)
        self.stream = NetworkUnits(datamodule.transitions, self.algorithm.normalizer, self.device)
        self._derive(self.algorithm.prepare(self.stream, self._updates, self._max_updates))
        self._noise = make_noise(self, self._noise_seed, self._noise_state, self._updates)
        training = Training(
            self.algorithm, self.stream, self._adams, self._noise, self.settings, self._clip_norm, self._compiles
        )
        self.execution = choose_execution(self, training, self._captures)

    def training_step(self, batch: Minibatches, batch_idx: int) -> Metrics:  # noqa: ARG002
        """One update of each minibatch; returns the losses of the last."""
        for start, stop in self._segments(len(batch)):
            if (stage := self.algorithm.stage(self._updates)) != self._stage:
                self._stage, self._latest = stage, {}  # what is not trained any more is not logged any more
            assert self.execution is not None
            metrics, last = self.execution.run(batch.part(start, stop), self._updates)
            self._latest |= metrics
            self._updates += stop - start
            if self.algorithm.is_due(self._updates):
                self._derive(self.algorithm.refresh(self.stream, self._updates))
            if self._is_logged(self._updates):
                summary = self.algorithm.summary(last, self._latest)
                log_update(self, summary, self._updates, self.algorithm.shown)
            if isinstance(bar := self.trainer.progress_bar_callback, StageProgressBar):
                bar.on_updates(self.trainer, self, self._updates)
        self.has_trained = True
        count_updates(self.trainer, len(batch))
        set_log_axis(self.trainer, self._updates)
        return {name: value for name, value in self._latest.items() if value.ndim == 0}

    def _derive(self, columns: Iterable[Columns]) -> None:
        """Store derived columns, computed in full precision, whatever the training's is."""
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            self.stream.store(columns)

    def _segments(self, count: int) -> Iterator[tuple[int, int]]:
        """Where the minibatches of a training step are parted: something is due, or another stage begins."""
        first, start = self._updates, 0
        for stop in range(1, count):
            update = first + stop
            due = self.algorithm.is_due(update) or self._is_logged(update)
            if due or self.algorithm.stage(update) != self.algorithm.stage(update - 1):
                yield start, stop
                start = stop
        yield start, count

    def validation_step(self, batch: TransitionBatch | Tensor, batch_idx: int) -> None:  # noqa: ARG002
        """Losses on held-out episodes; where none are held out, nothing, but rollouts still happen."""
        if isinstance(batch, TransitionBatch):
            metrics = self.algorithm.validation(in_network_units(batch, self.algorithm.normalizer, self.device))
            self.log_dict(metrics, batch_size=len(batch.observations), sync_dist=True)

    def test_step(self, batch: Tensor, batch_idx: int) -> None:
        """Nothing to do: rollouts are the test."""

    # ----------------------------------------------------------------------------------------------------- optimizers

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One for each part that the algorithm names; their rates are set before each step."""
        # A fused optimizer unscales gradients in its own step, too late for clipping: Lightning refuses the two.
        fused = self._clip_norm is None or not self.trainer.precision.endswith("-mixed")
        optimized = self.algorithm.optimizers(self._max_updates)
        if not isinstance(optimized, dict) or not optimized:
            raise UserError(
                f"`optimizers` of {self.algorithm_class.__name__} gave {optimized!r}, expected a dictionary with one or"
                " more"
            )
        if self._optimizer_count not in (None, len(optimized)):
            raise CheckpointError(
                f"the checkpoint's `optimizer_states` are of {self._optimizer_count}, expected {len(optimized)},"
                f" {', '.join(optimized)}: take another checkpoint of this run"
            )
        self._adams = {name: FlatAdam(one, fused) for name, one in optimized.items()}
        return list[Optimizer](self._adams.values())

    def on_fit_end(self) -> None:
        """Let go of captured graphs, and of other seeds."""
        self._shares_memory = isinstance(self.execution, SeedPlace)
        self.execution = None

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickle holds: nothing of a training that is under way."""
        state = super().__getstate__()
        return state | {"execution": None, "stream": None, "_adams": {}, "_noise": None}

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip unscaled gradients, if asked to."""
        if self._clip_norm is not None:
            self.clip_gradients(optimizer, self._clip_norm, "norm")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say which module this is, what it sees and where, for whoever has the file alone; keep the noise's place."""
        checkpoint[MODULE_KEY] = self.checkpoint_name or type(self).__name__
        with contextlib.suppress(EnvironmentUnavailableError):
            if (entry := offline_data(self.trainer).simulator.entry()) is not None:
                checkpoint[SIMULATOR_KEY] = entry
        checkpoint[OBSERVATIONS_KEY] = offline_data(self.trainer).observation_names
        checkpoint[FORMAT_KEY] = FORMAT
        checkpoint[SEED_KEY] = offline_data(self.trainer).run_seed
        if self._noise is not None:
            checkpoint[NOISE_KEY] = noise_state(self, self._noise)
        if self._shares_memory or isinstance(self.execution, SeedPlace):  # a view is saved with all that it is of
            copy_tensors(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the noise where it was; see later whether its optimizers are ours."""
        self._noise_state = checkpoint.get(NOISE_KEY)
        self._optimizer_count = len(checkpoint["optimizer_states"]) if "optimizer_states" in checkpoint else None

    @property
    def _is_tried(self) -> bool:
        return bool(cast(Any, self.trainer).fast_dev_run)

    @property
    def _max_updates(self) -> int:
        return -1 if self._is_tried else self.trainer.max_steps

    def _is_logged(self, update: int) -> bool:
        interval = int(cast(Any, self.trainer).log_every_n_steps)
        return interval > 0 and update % interval == 0  # 0 is Lightning's word for never


_TRAINING_SETTINGS = """
    gradient_clip_norm: largest gradient norm of each optimizer's step; None does not clip.
    compile: make each kind of update one compiled program; takes a minute and a C++ compiler: pays for long runs.
    capture: on a GPU, replay the updates of a training step as one CUDA graph; `auto` does where it can be done.
"""


def _plain(value: Any) -> Any:
    """A setting as a checkpoint keeps it: of primitives, lists and dictionaries."""
    if isinstance(value, AlgorithmModule):
        return value.settings
    return list(value) if isinstance(value, tuple) else value
