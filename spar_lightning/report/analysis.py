"""All numbers of a report, from sorted results: plain values, as they go into JSON, tables and figures."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from spar_lightning.report import statistics
from spar_lightning.report.documents import Document, value_of
from spar_lightning.report.grouping import Results
from spar_lightning.report.published import Published, published_for
from spar_lightning.report.reliability import gain, swings
from spar_lightning.report.short_table import bounds
from spar_lightning.report.statistics import Estimate, Scores

AGGREGATES: dict[str, Callable[[Scores], Any]] = {
    "interquartile mean": statistics.interquartile_mean,
    "mean": statistics.mean,
    "median": statistics.median,
}
PROFILE_POINTS = 61
_PROFILE_RESAMPLES = 1_000


class Analysis:
    """What the runs came to.

    Aggregates need one matrix of scores a method: they are over the tasks that all compared methods have scores of,
    with as many runs a task as the least of them has, the first by seed.
    """

    def __init__(self, results: Results) -> None:
        self.results = results
        scored = {cell for cell, runs in results.runs.items() if all(run.get("score") is not None for run in runs)}
        self.compared, self.common = _comparable(results, scored)
        self.left_out = [method for method in results.methods if method not in self.compared]

    @property
    def has_several_seeds(self) -> bool:
        """Whether some method has more than one run of every common task."""
        return any(scores.shape[1] > 1 for scores in self.matrices.values())

    def runs_of(self, method: str) -> list[Document]:
        """Of all tasks."""
        return [run for task in self.results.tasks for run in self.results.of(task, method)]

    def runs_on(self, task: str) -> list[Document]:
        """Of all methods."""
        return [run for method in self.results.methods for run in self.results.of(task, method)]

    # ------------------------------------------------------------------------------------------------------ per task

    def cell(self, task: str, method: str, of: str = "last") -> dict[str, Any] | None:
        """Mean, deviation and interval over seeds, of the `last` scores or of the `best` ones seen; None without."""
        runs = self.results.of(task, method)
        rows = runs if of == "last" else [run["best"] for run in runs if run.get("best")]
        values = [value_of(row) for row in rows]
        return bounds(values) | {"values": values} if values else None

    def improvement(self, task: str, method: str) -> dict[str, Any] | None:
        """Over the base on the same episodes, over seeds; None for a method without a base."""
        values = improvements(self.results.of(task, method))
        return bounds(values) | {"values": values} if values else None

    # --------------------------------------------------------------------------------------------------- over tasks

    @functools.cached_property
    def matrices(self) -> dict[str, Scores]:
        """Last scores (tasks, runs) of each compared method over the common tasks."""
        return {method: self._matrix(method) for method in self.compared} if self.common else {}

    def _matrix(self, method: str) -> Scores:
        rows = [[value_of(run) for run in self.results.of(task, method)] for task in self.common]
        least = min(map(len, rows))
        return np.array([row[:least] for row in rows], np.float64)

    @functools.cached_property
    def aggregates(self) -> dict[str, dict[str, Estimate]]:
        """By method, then by name."""
        return {
            method: {name: statistics.estimate(statistic, scores) for name, statistic in AGGREGATES.items()}
            for method, scores in self.matrices.items()
        }

    @functools.cached_property
    def probabilities(self) -> dict[str, dict[str, Estimate]]:
        """How likely a run of the first method scores higher than one of the second."""
        found = statistics.improvement_probability
        return {
            method: {
                other: statistics.estimate(found, scores, others)
                for other, others in self.matrices.items()
                if other != method
            }
            for method, scores in self.matrices.items()
        }

    @functools.cached_property
    def thresholds(self) -> list[float]:
        """At which performance profiles are taken."""
        pooled = np.concatenate([scores.ravel() for scores in self.matrices.values()]) if self.matrices else np.zeros(1)
        low, high = math.floor(min(0.0, pooled.min()) / 10) * 10, math.ceil(max(1.0, pooled.max()) / 10) * 10
        return [float(value) for value in np.linspace(low, high, PROFILE_POINTS)]

    @functools.cached_property
    def profiles(self) -> dict[str, list[Estimate]]:
        """Share of runs above each of the thresholds."""
        return {
            method: [
                statistics.estimate(statistics.share_above(threshold), scores, resamples=_PROFILE_RESAMPLES)
                for threshold in self.thresholds
            ]
            for method, scores in self.matrices.items()
        }

    @functools.cached_property
    def expected_best(self) -> dict[str, list[float]]:
        """Of k policies of a method, k = 1, 2 ..: a run is a policy; mean over the common tasks."""
        return {
            method: [
                float(value)
                for value in np.mean([statistics.expected_best(list(row)) for row in scores], axis=0)  # (tasks, k)
            ]
            for method, scores in self.matrices.items()
        }

    def against_base(self, method: str) -> dict[str, Any] | None:
        """Improvement over the base, over all runs of a method; None where it has no base."""
        runs = self.runs_of(method)
        values = improvements(runs)
        if not values:
            return None
        highs = [run["improvement"].get("high") for run in runs if "improvement" in run]
        clearly = [high is not None and high < 0 for high in highs]
        units = {_unit(run) for run in runs if "improvement" in run}
        return {
            "mean": float(np.mean(values)) if len(units) == 1 else None,
            "runs": len(values),
            "below": sum(value < 0 for value in values) / len(values),
            "clearly_below": sum(clearly) / len(values),
        }

    def reliability(self, task: str, method: str) -> dict[str, Any] | None:
        """What became of the bases of a cell, with and without noise on the actions, and the swings; None without."""
        runs = self.results.of(task, method)
        found = gain(runs)
        if found is None:
            return None
        noisy = gain(runs, noisy=True)
        return found._asdict() | {"noisy": None if noisy is None else noisy._asdict(), "swings": swings(runs)}

    def speed(self, method: str) -> dict[str, float | None]:
        """Medians over all runs of a method: updates a second in training, and minutes, with those of a base."""
        runs = self.runs_of(method)
        speeds = [run["updates_per_second"] for run in runs if run.get("updates_per_second")]
        base = [run["wall_time_s"]["base"] for run in runs if run["wall_time_s"].get("base")]
        return {
            "updates_per_second": float(np.median(speeds)) if speeds else None,
            "training_minutes": _minutes([run["wall_time_s"].get("training") for run in runs]),
            "evaluation_minutes": _minutes([run["wall_time_s"].get("evaluation") for run in runs]),
            "base_minutes": _minutes(base),
        }

    def published(self, task: str, method: str) -> Published | None:
        """What was published for the data of a cell."""
        runs = self.results.of(task, method)
        return published_for(runs[0]) if runs else None


def _comparable(results: Results, scored: set[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Methods that have at least half of the tasks, and the tasks that all of those have.

    Where there is no such task the method with the fewest is left out, of several the last, until there is one.
    """
    tasks = {method: {task for task, other in scored if other == method} for method in results.methods}
    most = max((len(found) for found in tasks.values()), default=0)
    methods = [method for method in results.methods if tasks[method] and 2 * len(tasks[method]) >= most]
    common: set[str] = set()
    while methods and not (common := set.intersection(*(tasks[method] for method in methods))):
        methods.remove(min(reversed(methods), key=lambda method: len(tasks[method])))
    return methods, sorted(common)


def _unit(run: Document) -> tuple[str | None, str | None]:
    """Of a run's improvement: scores of all tasks have one in common, returns are each task's own."""
    unit = run["improvement"].get("unit")
    return unit, None if unit == "score" else run["dataset"]


def improvements(runs: Sequence[Document]) -> list[float]:
    """Over the base, of those runs that have one."""
    return [float(run["improvement"]["mean"]) for run in runs if "improvement" in run]


def _minutes(seconds: Sequence[float | None]) -> float | None:
    known = [value for value in seconds if value is not None]
    return float(np.median(known)) / 60 if known else None


def warmup_end(run: Document) -> int:
    """Updates of the last evaluation before the policy began to improve; 0 where it did from the start."""
    return max((int(row["step"]) for row in run.get("history") or [] if row.get("warmup")), default=0)


def curve(run: Document) -> tuple[list[int], list[float], list[float]]:
    """Updates, minutes of training (a base's before them), and scores of a run's evaluations.

    Where an earlier version kept no times, they are in proportion to the updates.
    """
    last = {row["step"]: row for row in run.get("history") or []}  # of two evaluations of one policy
    rows = [row for row in last.values() if not math.isnan(value_of(row))]
    wall = run["wall_time_s"]
    kept = wall.get("training_at_evaluations") or []
    times = dict(zip((row["step"] for row in run.get("history") or []), kept, strict=False))
    rate = run.get("updates_per_second") or math.nan
    base = wall.get("base") or 0.0
    seconds = [times.get(row["step"]) or row["step"] / rate for row in rows]
    return [row["step"] for row in rows], [(base + value) / 60 for value in seconds], [value_of(row) for row in rows]


def as_json(analysis: Analysis) -> dict[str, Any]:
    """Everything, by name."""
    results = analysis.results
    cells = [(task, method) for task in results.tasks for method in results.methods if results.of(task, method)]
    return {
        "tasks": {
            task: {
                method: {
                    "last": analysis.cell(task, method),
                    "best": analysis.cell(task, method, "best"),
                    "improvement": analysis.improvement(task, method),
                    "reliability": analysis.reliability(task, method),
                    "published": None if (found := analysis.published(task, method)) is None else found._asdict(),
                }
                for other, method in cells
                if other == task
            }
            for task in results.tasks
        },
        "common_tasks": analysis.common,
        "left_out_of_aggregates": analysis.left_out,
        "aggregates": _plain(analysis.aggregates),
        "probability_of_improvement": _plain(analysis.probabilities),
        "performance_profile": {"thresholds": analysis.thresholds, **_plain(analysis.profiles)},
        "expected_best_of_k": analysis.expected_best,
        "against_base": {method: analysis.against_base(method) for method in results.methods},
        "speed": {method: analysis.speed(method) for method in results.methods},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Estimate):
        return value._asdict()
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
