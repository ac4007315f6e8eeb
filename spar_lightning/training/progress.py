"""One progress bar for a whole stage of training."""

from __future__ import annotations

import sys
import time
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor
from typing_extensions import override

from spar_lightning.types import HasPhases

WARMUP = "warmup/"
"""Before the names of scores of a policy that does not improve yet."""

FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}, {rate_noinv_fmt}{postfix}]"
"""tqdm's, without the time that is left of this bar alone."""


class Bar(Tqdm):
    """Lightning's bar, whose lock is free again where nobody reads what is drawn: others would wait for it for ever."""

    @override
    def refresh(self, *_: Any, **__: Any) -> None:
        """Draw."""
        if not self.disable:
            with self.get_lock():  # type: ignore[no-untyped-call]
                self.display()


class StageProgressBar(TQDMProgressBar):
    """Shows phase, updates done of `max_steps`, updates per second, the time left of the whole job, and metrics.

    Metrics are those logged with `prog_bar=True`. The time left counts evaluations as they come, and later stages.

    Args:
        label: name of the stage, at the left of the bar.
        refresh_rate: batches between two drawings, if that is sooner than `seconds`; 0 draws nothing.
        seconds: between two drawings, however many updates a batch makes.
        following: what later stages will cost, in updates of this one.
    """

    def __init__(
        self, label: str = "train", refresh_rate: int = 100, seconds: float = 2.0, following: float = 0.0
    ) -> None:
        super().__init__(refresh_rate=refresh_rate, leave=False)
        self.label, self.seconds, self.following = label, seconds, following
        self._began = self._drawn = 0.0
        self._initial = self._done = 0  # updates that an earlier session has made, and all so far

    @property
    @override
    def train_description(self) -> str:
        """The label."""
        return self.label

    @override
    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Open the bar, at the checkpoint's update when a run goes on."""
        self._began = self._drawn = time.monotonic()
        self._initial = self._done = trainer.global_step
        self.train_progress_bar = Bar(
            desc=self.train_description,
            total=trainer.max_steps if trainer.max_steps > 0 else None,
            initial=trainer.global_step,
            disable=self.is_disabled,
            dynamic_ncols=True,
            file=sys.stdout,
            smoothing=0,
            bar_format=FORMAT,
        )

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Go on with the same bar: an epoch is an artefact of the data loader."""

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: STEP_OUTPUT, batch: Any, batch_idx: int
    ) -> None:
        """Draw, now and then and at the last update."""
        self._done = trainer.global_step
        is_due = self._should_update(batch_idx + 1, -1) or self._is_time()
        if self.is_enabled and (is_due or self._done == self.train_progress_bar.total):
            self._draw(trainer, pl_module, self._phase(pl_module))

    def on_updates(self, trainer: pl.Trainer, module: pl.LightningModule, done: int) -> None:
        """Draw in the midst of a training step of many updates, if it is time; `done` counts all of them so far."""
        self._done = done
        if self.is_enabled and self._is_time():
            self._draw(trainer, module, self._phase(module))

    def _is_time(self) -> bool:
        return time.monotonic() - self._drawn >= self.seconds

    @override
    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say why the bar stands still."""
        super().on_validation_start(trainer, pl_module)
        if self.is_enabled and trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            self._draw(trainer, pl_module, "evaluation")

    @override
    def init_sanity_tqdm(self) -> Tqdm:
        """No bar either."""
        return Tqdm(disable=True)

    @override
    def init_validation_tqdm(self) -> Tqdm:
        """No bar: a validation is one call of the simulator."""
        return Tqdm(disable=True)

    @override
    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """The time left, and the module's metrics in a few digits."""
        left = self._left(trainer)
        shown = {} if left is None else {"left": left}
        # Lightning keeps what was logged once: a warm-up that is over is no news.
        metrics = {
            name: value
            for name, value in trainer.progress_bar_metrics.items()
            if not (name.startswith(WARMUP) and name.replace(WARMUP, "rollout/") in trainer.progress_bar_metrics)
        }
        return shown | {name: _compact(value) for name, value in metrics.items()}

    def _draw(self, trainer: pl.Trainer, module: pl.LightningModule, phase: str) -> None:
        self._drawn = time.monotonic()
        bar = self.train_progress_bar
        bar.n = self._done
        bar.set_description_str(f"{self.label}, {phase}" if phase else self.label, refresh=False)
        bar.set_postfix(self.get_metrics(trainer, module))  # draws

    def _phase(self, module: pl.LightningModule) -> str:
        return module.phase_name if isinstance(module, HasPhases) else ""

    def _left(self, trainer: pl.Trainer) -> str | None:
        """Of this stage and those that follow, at the pace of this session."""
        done = self._done - self._initial
        if trainer.max_steps <= 0 or done <= 0:
            return None
        pace = (time.monotonic() - self._began) / done
        return str(Tqdm.format_interval(pace * (trainer.max_steps - self._done + self.following)))


def _compact(value: Tensor | float) -> str:
    number = float(value)
    return f"{number:.0f}" if abs(number) >= 1000 else f"{number:.3g}"
