"""Checkpoints from which a run goes on as if it had never stopped."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.types import STEP_OUTPUT
from typing_extensions import override

from spar_lightning.callbacks.checkpoints.random_state import gather_random_states, restore_random_state_of
from spar_lightning.callbacks.checkpoints.whole_checkpoint import WholeCheckpointIO
from spar_lightning.stopping import STOP, Stopped
from spar_lightning.training.internals import validation_follows
from spar_lightning.types import CheckpointError, UserError
from spar_lightning.whole_file import whole_file

RETURN = "rollout/return"
NORMALIZED_SCORE = "rollout/normalized_score"
FINISHED_KEY = "finished"
"""Where a checkpoint says whether its training ended with it."""
EARLIER_NAME = "earlier.ckpt"
"""The last checkpoint but one, where it is kept."""


class ResumableCheckpoint(ModelCheckpoint):
    """Keeps the best and the last state of a run, random numbers included, after every validation and at the end.

    Where signals are listened to (`stopping.STOP`), one stops the run after the update or in the evaluation that is
    under way, and leaves a last checkpoint of the last update. The files load under `torch.load(weights_only=True)`.
    A run has one callback of this kind.

    Args:
        dirpath: folder of the checkpoints; None is `checkpoints` in the run's log folder.
        filename: of the best checkpoint, without its ending; may hold `{step}` and the names of metrics.
        monitor: metric that decides which is best; None is the normalized score where the data set defines one,
            otherwise the return. Where the metric is not logged only the last checkpoint is kept.
        mode: `max` or `min`.
        save_top_k: how many of the best to keep; more than one needs `{step}` in `filename`.
        keep_earlier: keep the last checkpoint but one as well, for runs that must go on from the same update as others.
    """

    def __init__(
        self,
        dirpath: str | None = None,
        filename: str = "best",
        monitor: str | None = None,
        mode: str = "max",
        save_top_k: int = 1,
        keep_earlier: bool = False,
    ) -> None:
        if save_top_k not in (0, 1) and "{" not in filename:
            raise UserError(
                f"save_top_k is {save_top_k} with the one filename {filename!r}, expected a name that tells the files "
                "apart: use 'best-{step}'"
            )
        super().__init__(
            dirpath,
            filename,
            monitor=monitor or RETURN,
            mode=mode,
            save_top_k=save_top_k,
            save_last=True,
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )
        self._chooses_monitor = monitor is None
        self._keeps_earlier = keep_earlier
        self._random_states: list[dict[str, Any]] | None = None
        self._copies_last = False
        self._is_stopping = False  # on every rank alike
        self._validates = False

    @property
    @override
    def state_key(self) -> str:
        """Free of the monitor: another metric must not cost a run its random state."""
        return type(self).__qualname__

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Choose what to monitor, and how files are written unless another way was chosen."""
        super().setup(trainer, pl_module, stage)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = WholeCheckpointIO()
        self._random_states = None
        if self._chooses_monitor:
            datamodule = getattr(trainer, "datamodule", None)
            self.monitor = RETURN if getattr(datamodule, "reference_scores", None) is None else NORMALIZED_SCORE

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the random state, now that set-up and sanity checks have drawn their numbers."""
        super().on_train_start(trainer, pl_module)
        STOP.listen()  # Lightning's own handlers would end the run between two of its steps, with status 0
        self._is_stopping = self._validates = False
        if self._random_states is not None:
            restore_random_state_of(trainer.global_rank, self._random_states)
        self._random_states = None

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Stop, if a signal has asked for it: the last update is saved. Otherwise the next is finished first."""
        if self._is_stopping:
            STOP.stop()
        STOP.deferred = True

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: STEP_OUTPUT, batch: Any, batch_idx: int
    ) -> None:
        """Save the last update, and one that a signal makes the last, whether a validation falls on it or not."""
        # Here rather than at the end of training: there the epoch counts as over, and a longer run that resumes from
        # it would start the data anew.
        self._is_stopping = trainer.strategy.reduce_boolean_decision(STOP.asked, all=False)
        # Not before a validation of the last update: a run killed in it would go on without it.
        is_due = is_last_update(trainer) and not validation_follows(trainer)
        if (self._is_stopping or is_due) and self._may_save(trainer):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Nothing: epochs have no meaning where training is counted in updates."""

    @override
    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Training stands between two updates from here on."""
        self._validates = True

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the best where the metric was logged, and the last in any case."""
        # ModelCheckpoint would save the last only together with a new best, and raise where the metric is missing.
        self._validates = False
        if not self._may_save(trainer):
            return
        candidates = self._monitor_candidates(trainer)
        if self.monitor in candidates:
            self._save_topk_checkpoint(trainer, candidates)
        self._save_last_checkpoint(trainer, candidates)

    @override
    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Say whether training ends here."""
        checkpoint[FINISHED_KEY] = bool(is_last_update(trainer))

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the last update of a run that ended by epochs or time."""
        if self._may_save(trainer) and self._last_global_step_saved != trainer.global_step:
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))
        STOP.deferred = False

    @override
    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Save an update whose validation was stopped."""
        STOP.deferred = False
        if isinstance(exception, Stopped) and self._validates and self._may_save(trainer):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))

    def save_late(self, trainer: pl.Trainer, step: int, metrics: dict[str, float]) -> None:
        """Keep the last checkpoint as the best too, if the metrics of its update, which come only now, say so.

        Args:
            trainer: of the run, which may be some updates further.
            step: the update that was measured; the last checkpoint is its, as long as no later one was saved.
            metrics: by name.
        """
        if self.monitor not in metrics or not self._may_save(trainer):
            return
        found = {name: torch.tensor(value) for name, value in metrics.items()}
        if not self.check_monitor_top_k(trainer, found[self.monitor]):
            return
        if _updates_of(self.last_model_path) != step:
            rank_zero_warn(
                f"update {step} is among the best, but its checkpoint is not the last one here: it is not kept"
            )
            return
        self._copies_last = True
        try:
            self._save_topk_checkpoint(
                trainer, self._monitor_candidates(trainer) | found | {"step": torch.tensor(step)}
            )
        finally:
            self._copies_last = False

    @override
    def _save_checkpoint(self, trainer: pl.Trainer, filepath: str) -> None:
        for logger in trainer.loggers:  # a run that goes on from here does not log again what came before
            logger.save()
        if self._copies_last:
            with Path(self.last_model_path).open("rb") as last, whole_file(Path(filepath)) as best:
                shutil.copyfileobj(last, best)
        else:
            if self._keeps_earlier and Path(filepath).stem == self.CHECKPOINT_NAME_LAST:
                _set_aside(Path(filepath), trainer.global_step)
            super()._save_checkpoint(trainer, filepath)

    @override
    def state_dict(self) -> dict[str, Any]:
        """ModelCheckpoint's state, and every rank's random numbers."""
        return super().state_dict() | {"random_states": gather_random_states()}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the state; what was best by another metric is forgotten."""
        self._random_states = state_dict["random_states"]
        if state_dict["monitor"] == self.monitor:
            super().load_state_dict(self._here(state_dict))

    def _here(self, state: dict[str, Any]) -> dict[str, Any]:
        """The state with the paths of today, where the run's folder was moved or copied with its checkpoints."""
        names = ("best_model_path", "last_model_path", "kth_best_model_path")
        for path in (*state["best_k_models"], *(state[name] for name in names)):
            # What is kept no longer is removed, with all that is in it: a file of another place is none of this run's.
            within = Path(path).is_relative_to(state["dirpath"] or ".") and ".." not in Path(path).parts
            if path and not (within and Path(path).suffix == ".ckpt"):
                raise CheckpointError(
                    f"the checkpoint names {path} as one of its run, expected a .ckpt file in {state['dirpath']}: it"
                    " was changed by hand. Take another checkpoint of this run"
                )
        if self.dirpath is None or state["dirpath"] == self.dirpath:
            return state

        def moved(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        paths = {name: moved(state[name]) for name in names}
        best = {moved(path): score for path, score in state["best_k_models"].items()}
        if not all(Path(path).is_file() for path in (*best, *filter(None, paths.values()))):
            return state
        return state | paths | {"dirpath": self.dirpath, "best_k_models": best}

    def _may_save(self, trainer: pl.Trainer) -> bool:
        return (
            trainer.state.fn == TrainerFn.FITTING
            and not trainer.sanity_checking
            and not getattr(trainer, "fast_dev_run", False)
        )


def is_last_update(trainer: pl.Trainer) -> bool:
    """Whether training ends with the update that was just made."""
    return 0 < trainer.max_steps <= trainer.global_step or trainer.should_stop


def _set_aside(last: Path, updates: int) -> None:
    """Give the last checkpoint a second name, unless it is of the update that is saved again."""
    if _updates_of(str(last)) in (None, updates):
        return
    earlier = last.with_name(EARLIER_NAME)
    earlier.unlink(missing_ok=True)
    try:
        earlier.hardlink_to(last)  # what is saved next is another file
    except OSError:  # such as a file system without links
        shutil.copyfile(last, earlier)


def _updates_of(path: str) -> int | None:
    if not Path(path).is_file():
        return None
    return int(torch.load(path, map_location="cpu", mmap=True, weights_only=True)["global_step"])
