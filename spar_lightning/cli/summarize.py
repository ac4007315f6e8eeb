"""Results of many runs in one table: mean over training seeds, with an interval."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from spar_lightning.types import UserError

COLUMNS = ("dataset", "seeds", "updates", "base", "fitted", "last", "improvement [95%]", "best seen", "minutes")


def summarize(runs: str) -> None:
    """Print one line for each data set and number of updates, over all runs found.

    Scores are normalized ones of the last policy; `improvement` is over the base on the same episodes, averaged
    within a run, with a Student-t interval across training seeds. `best seen` was chosen with the simulator.

    Args:
        runs: a run folder, or one that holds some at any depth.
    """
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in _result_files(Path(runs))]
    groups: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for document in documents:
        if document.get("score") is not None and "base" in document:
            groups[document["dataset"], document["updates"]].append(document)
    print(f"| {' | '.join(COLUMNS)} |")
    print(f"|{'---|' * len(COLUMNS)}")
    for (dataset, updates), group in sorted(groups.items()):
        print(f"| {' | '.join(_row(dataset, updates, group))} |")


def _result_files(folder: Path) -> list[Path]:
    files = sorted(folder.rglob("results.json"))
    if not files:
        raise UserError(f"found no results.json below {folder}, expected a folder of finished runs")
    return files


def _row(dataset: str, updates: int, group: list[dict[str, Any]]) -> list[str]:
    improvement = mean_interval([document["improvement"]["mean"] for document in group])
    fitted = [document["fitted"]["score"] for document in group if "fitted" in document]
    return [
        dataset,
        " ".join(str(seed) for seed in sorted(document["seed"] for document in group)),
        f"{updates:,}",
        _mean([document["base"]["score"] for document in group]),
        _mean(fitted),
        _mean([document["score"] for document in group]),
        "{:+.1f} [{:+.1f}, {:+.1f}]".format(*improvement),
        _mean([document["best"]["score"] for document in group if document["best"]]),
        f"{np.mean([document['wall_time_s']['total'] for document in group]) / 60:.1f}",
    ]


def _mean(values: Sequence[float]) -> str:
    """Mean, and the values themselves: with a few seeds they say more than a deviation."""
    if not values:
        return "-"
    return f"{np.mean(values):.1f} ({', '.join(f'{value:.0f}' for value in values)})"


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """Mean and Student-t interval of a few numbers; the interval of a single one is NaN.

    >>> [round(number, 2) for number in mean_interval([1.0, 2.0, 3.0])]
    [2.0, -0.48, 4.48]
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, float("nan"), float("nan")
    half = float(stats.sem(values) * stats.t.ppf(0.5 + confidence / 2, len(values) - 1))
    return mean, mean - half, mean + half
