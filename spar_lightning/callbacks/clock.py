"""Training time, with and without evaluation."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
from typing_extensions import override


class RunClock:
    """Counts the seconds of a run over all its sessions, and those of them spent in evaluation."""

    def __init__(self) -> None:
        self.evaluation_s = 0.0
        self.laps: dict[int, float] = {}
        """Updates -> seconds of training after which they were made."""
        self._earlier_s = 0.0
        self._started: float | None = None

    @property
    def total_s(self) -> float:
        """Seconds so far, evaluation included."""
        return self._earlier_s + (time.perf_counter() - self._started if self._started is not None else 0.0)

    @property
    def training_s(self) -> float:
        """Seconds so far, evaluation left out."""
        return self.total_s - self.evaluation_s

    def start(self) -> None:
        """Begin or go on counting."""
        self._started = time.perf_counter()

    def stop(self) -> None:
        """Count no further."""
        self._earlier_s, self._started = self.total_s, None

    def lap(self, step: int) -> None:
        """Keep the time after `step` updates."""
        self.laps.setdefault(step, self.training_s)

    @contextmanager
    def evaluation(self) -> Generator[None]:
        """Count the block as evaluation."""
        began = time.perf_counter()
        try:
            yield
        finally:
            if self._started is not None:
                self.evaluation_s += time.perf_counter() - began

    def state_dict(self) -> dict[str, Any]:
        """Seconds so far, as primitives."""
        return {"total_s": self.total_s, "evaluation_s": self.evaluation_s, "laps": dict(self.laps)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from an earlier session."""
        self._earlier_s, self.evaluation_s = state_dict["total_s"], state_dict["evaluation_s"]
        self.laps = dict(state_dict.get("laps", {}))


class StageClock(pl.Callback):
    """Counts the seconds of a stage that is not evaluated; they are kept in its checkpoints."""

    def __init__(self) -> None:
        self.clock = RunClock()

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin or go on counting."""
        self.clock.start()

    @override
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count no further."""
        self.clock.stop()

    @override
    def state_dict(self) -> dict[str, Any]:
        """Seconds so far."""
        return self.clock.state_dict()

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from an earlier session."""
        self.clock.load_state_dict(state_dict)
