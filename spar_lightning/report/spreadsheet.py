"""A report's numbers as CSV: a line for each run, and one for each task and method."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from spar_lightning.report.analysis import Analysis
from spar_lightning.report.documents import value_of

RUN_COLUMNS = (
    *("task", "method", "seed", "updates", "unit", "last", "best", "base", "improvement"),
    *("episodes", "updates_per_second", "training_s", "evaluation_s", "base_s"),
)
CELL_COLUMNS = ("task", "method", "runs", "last_mean", "last_std", "best_mean", "best_std", "improvement_mean")


def runs_csv(analysis: Analysis) -> str:
    """A line for each run."""
    rows = []
    for (task, method), runs in analysis.results.runs.items():
        for run in runs:
            wall = run["wall_time_s"]
            rows.append(
                {
                    "task": task,
                    "method": method,
                    "unit": "return" if run.get("score") is None else "score",
                    "last": value_of(run),
                    "best": value_of(run["best"]) if run.get("best") else None,
                    "base": value_of(run["base"]) if "base" in run else None,
                    "improvement": (run.get("improvement") or {}).get("mean"),
                    **{name: run.get(name) for name in ("seed", "updates", "episodes", "updates_per_second")},
                    **{f"{name}_s": wall.get(name) for name in ("training", "evaluation", "base")},
                }
            )
    return _csv(RUN_COLUMNS, rows)


def cells_csv(analysis: Analysis) -> str:
    """A line for each task and method, over seeds."""
    rows = []
    for (task, method), runs in analysis.results.runs.items():
        last, best = analysis.cell(task, method) or {}, analysis.cell(task, method, "best") or {}
        gain = analysis.improvement(task, method) or {}
        rows.append(
            {
                "task": task,
                "method": method,
                "runs": len(runs),
                "last_mean": last.get("mean"),
                "last_std": last.get("std"),
                "best_mean": best.get("mean"),
                "best_std": best.get("std"),
                "improvement_mean": gain.get("mean"),
            }
        )
    return _csv(CELL_COLUMNS, rows)


def _csv(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
