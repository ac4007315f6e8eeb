"""The LightningDataModule that trains any offline algorithm on recorded transitions."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import gymnasium as gym
import lightning.pytorch as pl
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from spar_lightning.datasets.dataset import OfflineDataset, check_time_limit
from spar_lightning.datasets.file_hash import checked_hash
from spar_lightning.datasets.selection import EpisodeFilter, Selection
from spar_lightning.datasets.sources.arrays.flat_columns import SuccessReward
from spar_lightning.datasets.sources.reading_settings import READING_SETTINGS
from spar_lightning.datasets.sources.registry import open_dataset, path_named
from spar_lightning.datasets.sources.robomimic.dones import Dones
from spar_lightning.datasets.sources.tables.table_source import FRAME_PREFIX, open_frame
from spar_lightning.replay.loader import Minibatches, SequentialLoader, TransitionLoader, check_sampling
from spar_lightning.replay.parts import Limits, Preparation, limits, read_parts, tell_parts
from spar_lightning.replay.storage.choice import Storage, prepare_transitions
from spar_lightning.replay.storage.transitions import Transitions
from spar_lightning.simulators.dimension_names import dimension_names
from spar_lightning.simulators.simulator import Simulator
from spar_lightning.telling import warn
from spar_lightning.types import (
    DataError,
    DatasetStatistics,
    DimensionNames,
    EnvironmentUnavailableError,
    TransitionBatch,
    UserError,
)

T = TypeVar("T")


@runtime_checkable
class TakesMinibatches(Protocol):
    """A module that makes several updates in a training step, each of a minibatch of its own."""

    @property
    def beginnings(self) -> tuple[int, float]:
        """Transitions near the starts of episodes that lead each minibatch, and their decay."""
        ...


class OfflineDataModule(pl.LightningDataModule):
    """A data set of recorded transitions, sampled uniformly from memory or, where it is too large, from disk.

    Args:
        dataset: its name says where it comes from. Bundled: `spar/<env>/<kind>-v0` with env in walker2d, hopper,
            halfcheetah and kind in medium, medium-replay, medium-expert, expert (collected on first use, in about a
            minute). Minari: its id, such as `mujoco/walker2d/medium-v0`, downloaded on first use. D4RL:
            `d4rl:walker2d-medium-v2`, likewise. Files: path or URL of a D4RL `.hdf5` or an `.npz`; path of a table
            (`.csv`, `.parquet`), of a LeRobot folder, or of a file in robomimic's or OGBench's layout.
        batch_size: transitions a batch, for each process, at most 2**20.
        validation_fraction: share of the episodes, 0 to 1, held out for validation losses; 0 holds none out.
        seed: of the sampling; by default that of `seed_everything`, else 0.
        updates_per_batch: updates that one training step makes from one gather, at most 512: results are the same
            bits, the loop costs less. It must divide `max_steps` and the updates between validations. Lightning's own
            `val_check_interval` counts training steps; the command line takes updates. A module that leaves its
            optimizer to Lightning makes one.
        observation_keys: which parts of dict observations to put side by side, in this order; by default what the
            task needs. AntMaze: `[achieved_goal, observation]` is D4RL's state, without the goal.
        normalize_observations: whether policies see observations with mean 0 and deviation 1.
        reward_scale: factor on the rewards that are trained on, or `return_range`: 1000 / (largest - smallest return of
            an episode), as IQL has it. Evaluations always show the environment's own returns.
        reward_shift: added after scaling; -1 is the custom on AntMaze.
        goal_terminations: make every transition with a positive reward a termination, as in D4RL's AntMaze files;
            Minari's recordings of it never terminate.
        environment: id of the Gymnasium environment to evaluate in, instead of the data set's own; `module:Id` imports
            the module first, which registers it. Where the data state no bounds of the actions, its own count.
        max_episode_steps: time limit of an evaluation's episodes, instead of the environment's own.
        top_fraction: share of the episodes to train on, those with the largest returns (of the data's own rewards,
            before any scaling), as for cloning the best 10%; of those that `filter` keeps.
        filter: keeps the episodes with at least the return `min_return`, or those numbered in `episodes`, from 0.
        drop_reset_rows: leave out the rows that a vector environment's resets put after the ends of episodes (Gymnasium
            since 1.0); such data are refused otherwise.
        columns: of a table, which of its columns make up which array, as in
            `{observations: [x, "joint_*"], actions: [torque], episode: run}`; those called like an array are found.
        success_reward: where no rewards are recorded, a reward of 1 at the end of `all` episodes, or of those marked as
            a `success`, and a termination there.
        dones: what these mark in a robomimic file, where nothing there tells: that the task was done (`success`), or
            that the recording was (`end`).
        mask: name of the filter of a robomimic file whose demonstrations are taken.
        task: id of the environment whose task rewards an OGBench file without rewards, such as
            `antmaze-large-singletask-task1-v0`; needs `ogbench`.
        sha256: of the data's file, as a run's `config.yaml` has it: another file in its place is refused. By itself it
            is computed when the data are read, and kept with the absolute path.
        storage: `memory`, `map` (packed once into the cache folder, read from there while training) or `auto`: memory
            where the transitions take less than half of what is free.
    """

    def __init__(
        self,
        dataset: str = "spar/walker2d/medium-replay-v0",
        batch_size: int = 256,
        validation_fraction: float = 0.05,
        seed: int | None = None,
        updates_per_batch: int = 1,
        observation_keys: list[str] | None = None,
        normalize_observations: bool = True,
        reward_scale: float | Literal["return_range"] = 1.0,
        reward_shift: float = 0.0,
        goal_terminations: bool = False,
        environment: str | None = None,
        max_episode_steps: int | None = None,
        top_fraction: float | None = None,
        filter: EpisodeFilter | None = None,
        drop_reset_rows: bool = False,
        columns: dict[str, str | list[str]] | None = None,
        success_reward: SuccessReward | None = None,
        dones: Dones | None = None,
        mask: str | None = None,
        task: str | None = None,
        sha256: str | None = None,
        storage: Storage = "auto",
    ) -> None:
        super().__init__()
        check_sampling(batch_size, seed, updates_per_batch)
        check_time_limit(max_episode_steps)
        self._preparation = Preparation(
            Selection(top_fraction, filter),
            storage,
            validation_fraction,
            drop_reset_rows,
            goal_terminations,
            reward_scale,
            reward_shift,
            normalize_observations,
        )
        self._preparation.check()
        # So that a checkpoint names its data; what makes no difference to a result is no hyper-parameter.
        self.save_hyperparameters(ignore=["updates_per_batch", "storage"])
        self._path = path_named(dataset)
        if self._path is not None:
            self.hparams["dataset"] = str(self._path)  # which means the same in any folder
        self.name = self._name = dataset
        self.batch_size = batch_size
        self.updates_per_batch = updates_per_batch
        self.run_seed = _whole(os.environ.get("PL_GLOBAL_SEED"))  # as `seed_everything` has left it
        self.seed = self.run_seed or 0 if seed is None else seed
        self._source: Callable[[], OfflineDataset] = self._open_by_name
        self._dataset: OfflineDataset | None = None
        self._statistics: DatasetStatistics | None = None
        self._transitions: Transitions | None = None
        self._validation_transitions: Transitions | None = None

    @classmethod
    def from_frame(cls, frame: Any, name: str = "frame", **settings: Any) -> OfflineDataModule:
        """The transitions in a data frame, of pandas or any library that knows Arrow, with one row a step.

        Args:
            frame: not to be changed any more.
            name: by which results speak of it.
            settings: `columns`, and all others but `dataset`.
        """
        module = cls(FRAME_PREFIX + name, **settings)
        reading = {setting: settings.get(setting) for setting in ("columns", "success_reward")}
        module._source = functools.partial(open_frame, frame, name, **reading)
        return module

    def prepare_data(self) -> None:
        """Fetch or collect the data set, if it is not on this machine, and pack it, if it is to be mapped."""
        dataset = self._opened()
        tests = self.trainer is not None and self.trainer.state.fn == TrainerFn.TESTING  # they need no transitions
        if not tests and self._transitions is None:
            prepare_transitions(dataset, self._preparation.storage)

    def setup(self, stage: str | None = None) -> None:
        """Read the data once, and put them on the trainer's device; a test needs only their simulator."""
        if stage == "test":
            return
        if self._transitions is None:
            self._load()
        if self.trainer is not None:
            self._move(self.trainer.strategy.root_device)

    @property
    def observation_dim(self) -> int:
        """Number of observation dimensions; cheap, and known before `setup`."""
        return self._opened().observation_dim

    @property
    def action_dim(self) -> int:
        """Number of action dimensions; cheap, and known before `setup`."""
        return self._opened().action_dim

    @property
    def observation_names(self) -> list[str] | None:
        """What lies side by side in an observation, such as a table's columns; None where it has no names."""
        dataset = self._opened()
        names = dataset.observation_names or dataset.observation_keys
        return None if names is None else list(names)

    @property
    def reference_scores(self) -> tuple[float, float] | None:
        """Returns that score 0 and 100 on the normalized scale, None where no scale is defined."""
        return self._opened().scale.reference

    @property
    def score_note(self) -> str:
        """Where the reference scores come from and what they were defined for, or why there are none."""
        return self._opened().scale.note

    @property
    def environment_id(self) -> str | None:
        """Gymnasium id of the environment that the data came from, None where unknown."""
        spec = self._opened().environment_spec
        return None if spec is None else spec.id

    @property
    def transitions(self) -> Transitions:
        """The training part, in time order."""
        return _ready(self._transitions)

    @property
    def validation_transitions(self) -> Transitions | None:
        """The held-out part, in time order, None where nothing is held out."""
        _ready(self._transitions)
        return self._validation_transitions

    @property
    def statistics(self) -> DatasetStatistics:
        """Of the training part."""
        return _ready(self._statistics)

    @property
    def contents(self) -> dict[str, float]:
        """By what data of the same name can be told apart that were recorded anew: of the training part."""
        mean_reward = self.transitions.rewards.mean(dtype=torch.float64).item()
        return {"transitions": len(self.transitions), "mean_reward": float(f"{mean_reward:.6g}")}

    def make_environment(self) -> gym.Env[Any, Any]:
        """A fresh environment of the kind that the data came from, with its time limit.

        Raises:
            EnvironmentUnavailableError: the data set names no environment, or it cannot be made here.
            DataError: it does not fit the data.
        """
        return self.environment_maker()()

    def environment_maker(self) -> Callable[[], gym.Env[Any, Any]]:
        """What makes such environments, small enough to be sent to another process.

        Raises:
            EnvironmentUnavailableError: the data set names no environment.
        """
        return self.simulator.make

    @property
    def simulator(self) -> Simulator:
        """The environment that policies are evaluated in, apart from the data.

        Raises:
            EnvironmentUnavailableError: the data set names none.
        """
        dataset = self._opened()
        if dataset.environment_spec is None:
            raise EnvironmentUnavailableError(
                f"`{self.name}` does not say which environment it comes from: name one with `data.environment`, or do "
                "without scores."
            )
        return Simulator(
            dataset.environment_spec,
            dataset.observation_keys,
            dataset.observation_dim,
            dataset.action_dim,
            dataset.environment_module,
            dataset.scale,
        )

    def dimension_names(self) -> DimensionNames:
        """What observations and actions are called; nothing where the simulator is not here, or does not know."""
        try:
            with contextlib.closing(self.make_environment()) as environment:
                return dimension_names(environment)
        except (DataError, EnvironmentUnavailableError):
            return DimensionNames(None, None)

    def train_dataloader(self) -> TransitionLoader:
        """Endless uniformly sampled batches; each process draws its own."""
        rank = 0 if self.trainer is None else self.trainer.global_rank
        module = getattr(self.trainer, "lightning_module", None)
        if not isinstance(module, TakesMinibatches):  # Lightning itself steps, once a batch
            return TransitionLoader(self.transitions, self.batch_size, self.seed, rank)
        return TransitionLoader(
            self.transitions, self.batch_size, self.seed, rank, self.updates_per_batch, module.beginnings
        )

    def val_dataloader(self) -> SequentialLoader | list[Tensor]:
        """The held-out transitions in chunks; one dummy item if there are none, so that rollouts still happen."""
        held_out = self.validation_transitions
        return [torch.zeros(1)] if held_out is None else SequentialLoader(held_out)

    def test_dataloader(self) -> list[Tensor]:
        """One dummy item: a test is a rollout."""
        return [torch.zeros(1)]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Nothing, for batches that were drawn on the device: this runs in every step."""
        if isinstance(batch, Minibatches):  # who gathers them moves them
            return batch
        if isinstance(batch, TransitionBatch) and batch.observations.device == device:
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def _opened(self) -> OfflineDataset:
        if self._dataset is None:
            dataset = self._source()
            self._dataset = dataset.evaluated_in(self.hparams["environment"], self.hparams["max_episode_steps"])
        return self._dataset

    def _open_by_name(self) -> OfflineDataset:
        settings = {name: self.hparams[name] for name in READING_SETTINGS if self.hparams[name] is not None}
        return open_dataset(self._name, self.hparams["observation_keys"], **settings)

    def _load(self) -> None:
        dataset = self._opened()
        if self._path is not None:
            self.hparams["sha256"] = checked_hash(self._name, self._path, self.hparams["sha256"])
        for note in dataset.notes:
            warn(f"{self.name}: {note}")
        parts = read_parts(self._name, dataset, self._limits(), self._preparation)
        self._transitions, self._validation_transitions = parts.training, parts.held_out
        self._statistics = parts.statistics
        tell_parts(self._name, parts, self._preparation.goal_terminations)

    def _limits(self) -> Limits:
        """Those of the data.

        An environment that the run itself names is made for it, so that one that cannot be had, or does not fit, is
        found before anything is trained.
        """
        dataset = self._opened()
        if not dataset.environment_named:
            return limits(dataset, None)
        with contextlib.closing(self.make_environment()) as environment:
            return limits(dataset, environment)

    def _move(self, device: torch.device) -> None:
        self._transitions = self.transitions.to(device)
        if self._validation_transitions is not None:
            self._validation_transitions = self._validation_transitions.to(device)


def offline_data(trainer: pl.Trainer) -> OfflineDataModule:
    """The data module of a trainer.

    Raises:
        DataError: if it was given none, or one of another kind.
    """
    datamodule = getattr(trainer, "datamodule", None)
    if not isinstance(datamodule, OfflineDataModule):
        raise DataError(
            f"the trainer's data module is {type(datamodule).__name__}, expected an OfflineDataModule: call"
            " `trainer.fit(module, datamodule=OfflineDataModule(...))`"
        )
    return datamodule


def _ready(value: T | None) -> T:
    if value is None:
        raise DataError("The data are not read yet: call `setup()` first, or let the Trainer do it.")
    return value


def _whole(text: str | None) -> int | None:
    try:
        return int(text) if text else None
    except ValueError:
        raise UserError(f"the environment variable PL_GLOBAL_SEED is {text!r}, expected a whole number") from None
