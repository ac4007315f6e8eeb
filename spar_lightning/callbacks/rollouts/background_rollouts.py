"""Evaluations that are under way in another process, each with the update that it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import lightning.pytorch as pl
import torch

from spar_lightning.evaluation import BackgroundEvaluator, Comparison, Snapshot
from spar_lightning.evaluation.background import maker_of
from spar_lightning.evaluation.rollout import Environment
from spar_lightning.training.internals import log_axis
from spar_lightning.types import HasPhases, UserError


class Unfinished(NamedTuple):
    """An evaluation without a result yet."""

    step: int  # updates when the snapshot was taken
    log_step: int  # on the loggers' axis
    snapshot: Snapshot
    warmup: bool = False  # whether the policy was still being prepared

    @classmethod
    def take(cls, trainer: pl.Trainer, module: pl.LightningModule) -> Unfinished:
        """Of the policy as it is now, in a validation."""
        return cls(trainer.global_step, log_axis(trainer), Snapshot.take(module, module.hparams), is_warming_up(module))

    @classmethod
    def from_state(cls, state: dict[str, Any], module: pl.LightningModule) -> Unfinished:
        """Read from a checkpoint of a run of such a module."""
        snapshot = Snapshot(maker_of(module), state["contents"].numpy().tobytes())
        return cls(state["step"], state["log_step"], snapshot, bool(state.get("warmup", False)))

    def state(self) -> dict[str, Any]:
        """What `from_state` takes, weights-only."""
        contents = torch.frombuffer(bytearray(self.snapshot.contents), dtype=torch.uint8)
        return {"step": self.step, "log_step": self.log_step, "contents": contents, "warmup": self.warmup}


class BackgroundRollouts:
    """One process and at most one evaluation under way in it.

    Args:
        make_environment: makes one environment; it is sent to the process.
        reference_scores: returns of a random and an expert policy, if there are any.
    """

    def __init__(
        self, make_environment: Callable[[], Environment], reference_scores: tuple[float, float] | None
    ) -> None:
        self.evaluator = BackgroundEvaluator(make_environment, reference_scores)
        self.unfinished: Unfinished | None = None

    @property
    def is_ready(self) -> bool:
        """Whether there is a result to take; microseconds."""
        return self.unfinished is not None and self.evaluator.is_ready()

    def begin(self, evaluation: Unfinished, seeds: Sequence[int], known: dict[str, Any]) -> None:
        """Start one, after the result of the one before was taken; `known` are the references' episodes."""
        assert self.unfinished is None
        self.unfinished = evaluation
        self.evaluator.submit(evaluation.snapshot, seeds, known)

    def finish(self) -> tuple[Unfinished, Comparison, dict[str, Any]]:
        """Wait for the one under way; returns it, its result, and the references' episodes known by then."""
        assert self.unfinished is not None
        comparison, known = self.evaluator.result()
        evaluation, self.unfinished = self.unfinished, None
        return evaluation, comparison, known

    def state(self) -> dict[str, Any] | None:
        """The evaluation under way, for a checkpoint; None where there is none."""
        return None if self.unfinished is None else self.unfinished.state()

    def close(self) -> None:
        """End the process."""
        self.evaluator.close()


def is_warming_up(module: pl.LightningModule) -> bool:
    """Whether a module's policy is still being prepared."""
    return isinstance(module, HasPhases) and module.is_warming_up


def refuse_several_processes(trainer: pl.Trainer) -> None:
    """See that there is one process that trains.

    Raises:
        UserError: if there are several.
    """
    if trainer.world_size > 1:
        raise UserError(
            f"background evaluation is on with {trainer.world_size} training processes, expected one: switch it off,"
            " they then share the episodes"
        )
