"""Whether a gain over the base is luck: the worst seed, noise on the actions, and how the last evaluations swing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from spar_lightning.report.documents import Document, value_of

LAST_EVALUATIONS = 5
"""How many of a training's last evaluations a swing is over."""


class Gain(NamedTuple):
    """Base, fitted policy and last policy over the same start states: means over runs, and the least gain of a run."""

    runs: int
    base: float
    fitted: float | None
    policy: float
    least: float


def gain(runs: Sequence[Document], noisy: bool = False) -> Gain | None:
    """Over the runs that have a base; None where no run has one.

    Args:
        runs: of one task and method.
        noisy: whether of the evaluations with noise on every action, where runs made such.
    """
    of = "noisy_" if noisy else ""
    needed = {f"{of}improvement", f"{of}base", "noisy_policy" if noisy else "return"}
    kept = [run for run in runs if needed <= run.keys()]
    if not kept:
        return None
    policies = [run["noisy_policy"] if noisy else run for run in kept]
    fitted = [run[f"{of}fitted"] for run in kept if f"{of}fitted" in run]
    return Gain(
        len(kept),
        _mean(run[f"{of}base"] for run in kept),
        _mean(fitted) if fitted else None,
        _mean(policies),
        min(float(run[f"{of}improvement"]["mean"]) for run in kept),
    )


def swing(run: Document) -> float | None:
    """The largest less the smallest of the last evaluations of a training, those of a warm-up left out.

    None where there are fewer than `LAST_EVALUATIONS`.
    """
    scores = [value_of(row) for row in run.get("history") or [] if not row.get("warmup")][-LAST_EVALUATIONS:]
    return float(np.ptp(scores)) if len(scores) == LAST_EVALUATIONS else None


def swings(runs: Sequence[Document]) -> list[float]:
    """Of the runs that have one."""
    return [found for run in runs if (found := swing(run)) is not None]


def _mean(rows: Iterable[Document]) -> float:
    return float(np.mean([value_of(row) for row in rows]))
