"""Results of many runs in one table: mean over training seeds, with an interval."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from spar_lightning.documents import decimals, people_call
from spar_lightning.evaluation.intervals import mean_interval
from spar_lightning.report.documents import Document, read_runs, unfinished, value_of
from spar_lightning.report.grouping import Group, differences, grouped, newest_of_each_seed

COLUMNS = (
    "dataset",
    "settings",
    "seeds",
    "updates",
    "base",
    "fitted",
    "last",
    "improvement [95%]",
    "best seen",
    "minutes (main stage)",
)


def summarize(runs: list[str]) -> None:
    """Print one line for each data set, number of updates, module and settings, over all runs found.

    Scores are normalized ones of the last policy, or returns where no score is defined, which the line says.
    `improvement` is over the base on the same episodes, averaged within a run, with a Student-t interval across
    training seeds; a module of one stage has none. `settings` name the module where a data set has several, and what
    differs between its lines there. `best seen` was chosen with the simulator.

    Args:
        runs: run folders, folders that hold some at any depth, or files that `report` has written.
    """
    print("\n".join([*short_table(read_runs(runs)), *unfinished(runs)]))


def short_table(documents: Sequence[Document]) -> list[str]:
    """The lines of the table, from results sorted by age, and below it what is left out."""
    scored = [document for document in documents if not math.isnan(value_of(document))]
    groups = grouped(scored)
    kept = {key: newest_of_each_seed(group) for key, group in groups.items()}
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    names = _names({key.task.dataset for key in kept})
    lines += [
        f"| {' | '.join(_row(names[key.task.dataset], key, _told_apart(key, kept), kept[key]))} |"
        for key in sorted(kept)
    ]
    repeated = len(scored) - sum(len(group) for group in kept.values())
    if repeated:
        lines += ["", f"Left out: {repeated} older of several runs with the same seed and settings."]
    if len(documents) > len(scored):
        lines += ["", f"Left out: {len(documents) - len(scored)} without an evaluation."]
    return lines


def _names(datasets: Collection[str]) -> dict[str, str]:
    """What to call each data set: a file by its name alone where no other has it."""
    counts = Counter(people_call(dataset) for dataset in datasets)
    return {dataset: name if counts[name := people_call(dataset)] == 1 else dataset for dataset in datasets}


def _told_apart(key: Group, groups: Mapping[Group, object]) -> str:
    """The module, where the data set has several, and the settings that differ between its groups there."""
    beside = [group for group in groups if group.task.dataset == key.task.dataset]
    several = any(group.module != key.module for group in beside)
    found = differences(key, groups)
    named = [key.module] if several and key.module and found != ["not recorded"] else []
    environments = {group.task.environment for group in beside}
    return ", ".join([*named, *found, *([key.task.environment] if len(environments) > 1 else [])])


def _row(name: str, key: Group, settings: str, group: Sequence[Document]) -> list[str]:
    references = {
        name: [value_of(document[name]) for document in group if name in document] for name in ("base", "fitted")
    }
    improvements = [document["improvement"]["mean"] for document in group if "improvement" in document]
    return [
        name if group[0].get("score") is not None else f"{name} (returns)",
        settings,
        " ".join("-" if document["seed"] is None else str(document["seed"]) for document in group),
        f"{key.updates:,}",
        _mean(references["base"]),
        _mean(references["fitted"]),
        _mean([value_of(document) for document in group]),
        _interval(improvements) if improvements else "-",
        _mean([value_of(document["best"]) for document in group if document["best"]]),
        f"{np.mean([document['wall_time_s']['total'] for document in group]) / 60:.1f}",
    ]


def _mean(values: Sequence[float]) -> str:
    """Mean, and the values themselves: with a few seeds they say more than a deviation."""
    if not values:
        return "-"
    digits = decimals(values, 0)
    each = f" ({', '.join(f'{value:.{digits}f}' for value in values)})" if len(values) > 1 else ""
    return f"{np.mean(values):.{max(digits, 1)}f}{each}"


def _interval(values: Sequence[float]) -> str:
    """Mean and bounds, which a single run does not have.

    >>> _interval([1.0, 2.0, 3.0]), _interval([1.0])
    ('+2.0 [-0.5, +4.5]', '+1.0')
    """
    mean, *bounds = mean_interval(values)
    shown = f"+.{decimals([mean, *bounds], 1)}f"
    known = [f"{bound:{shown}}" for bound in bounds if not math.isnan(bound)]
    return f"{mean:{shown}}" + (f" [{', '.join(known)}]" if known else "")


def bounds(values: Sequence[float]) -> dict[str, Any]:
    """Mean, sample deviation and Student-t interval over seeds; None where one run has none."""
    mean, low, high = mean_interval(values)
    # As NumPy computes it, like the interval's; PyTorch, which has that of episodes, gives other last digits.
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    spread = {"low": None, "high": None} if math.isnan(low) else {"low": low, "high": high}
    return {"mean": mean, "std": deviation, "runs": len(values), **spread}
