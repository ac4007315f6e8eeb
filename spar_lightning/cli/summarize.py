"""Results of many runs in one table: mean over training seeds, with an interval."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from spar_lightning.types import UserError

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
    "minutes (stage 2)",
)

Document = dict[str, Any]
Group = tuple[str, int, str, str]
"""What runs that are seeds of one experiment share: data set, number of updates, module, and settings as JSON."""


def summarize(runs: str) -> None:
    """Print one line for each data set, number of updates, module and settings, over all runs found.

    Scores are normalized ones of the last policy, or returns where no score is defined, which the line says.
    `improvement` is over the base on the same episodes, averaged within a run, with a Student-t interval across
    training seeds; a module of one stage has none. `settings` name the module where a data set has several, and what
    differs between its lines there. `best seen` was chosen with the simulator.

    Args:
        runs: a run folder, or one that holds some at any depth.
    """
    files = _result_files(Path(runs))
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    scored = [document for document in documents if not math.isnan(_value(document))]
    groups = _grouped(scored)
    kept = {key: _newest_of_each_seed(group) for key, group in groups.items()}
    print(f"| {' | '.join(COLUMNS)} |")
    print(f"|{'---|' * len(COLUMNS)}")
    for key in sorted(kept):
        print(f"| {' | '.join(_row(key, _differences(key, kept), kept[key]))} |")
    repeated = len(scored) - sum(len(group) for group in kept.values())
    if repeated:
        print(f"\nLeft out: {repeated} older of several runs with the same seed and settings.")
    if len(documents) > len(scored):
        print(f"\nLeft out: {len(documents) - len(scored)} without an evaluation.")


def _result_files(folder: Path) -> list[Path]:
    """All of them, the oldest first."""
    files = sorted(folder.rglob("results.json"), key=lambda path: (path.stat().st_mtime_ns, path))
    if not files:
        raise UserError(f"found no results.json below {folder}, expected a folder of finished runs")
    return files


def _grouped(documents: Sequence[Document]) -> dict[Group, list[Document]]:
    groups: dict[Group, list[Document]] = defaultdict(list)
    for document in documents:
        settings = json.dumps(document.get("settings"), sort_keys=True)
        module = document.get("module", "")  # earlier versions had but one
        groups[document["dataset"], document["updates"], module, settings].append(document)
    return groups


def _newest_of_each_seed(group: Sequence[Document]) -> list[Document]:
    """Sorted by seed, from documents sorted by age; runs without a seed are all different."""
    seeded = {document["seed"]: document for document in group if document["seed"] is not None}
    return [seeded[seed] for seed in sorted(seeded)] + [document for document in group if document["seed"] is None]


def _differences(key: Group, groups: Mapping[Group, object]) -> str:
    """The settings of a group that are not those of every group of its data set and module."""
    dataset, _, module, settings = key
    own = json.loads(settings)
    if own is None:
        return "not recorded"  # by an earlier version
    beside = [group for group in groups if group[0] == dataset]
    others = [_flat(json.loads(other)) for _, _, name, other in beside if name == module and other != "null"]
    different = {
        name: value
        for name, value in _flat(own).items()
        if any(name not in other or other[name] != value for other in others)
    }
    named = [module] if any(name != module for _, _, name, _ in beside) and module else []
    return ", ".join(named + [f"{name}={json.dumps(value)}" for name, value in different.items()])


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names.

    >>> _flat({"model": {"kappa": 2.0, "base": {"dropout": 0.1}}})
    {'model.kappa': 2.0, 'model.base.dropout': 0.1}
    """
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _row(key: Group, settings: str, group: Sequence[Document]) -> list[str]:
    dataset, updates, *_ = key
    references = {
        name: [_value(document[name]) for document in group if name in document] for name in ("base", "fitted")
    }
    improvements = [document["improvement"]["mean"] for document in group if "improvement" in document]
    return [
        dataset if group[0].get("score") is not None else f"{dataset} (returns)",
        settings,
        " ".join("-" if document["seed"] is None else str(document["seed"]) for document in group),
        f"{updates:,}",
        _mean(references["base"]),
        _mean(references["fitted"]),
        _mean([_value(document) for document in group]),
        _interval(improvements) if improvements else "-",
        _mean([_value(document["best"]) for document in group if document["best"]]),
        f"{np.mean([document['wall_time_s']['total'] for document in group]) / 60:.1f}",
    ]


def _value(row: Mapping[str, Any]) -> float:
    """The normalized score, or the return where there is none; NaN without an evaluation."""
    score = row.get("score")
    return float(row.get("return", math.nan) if score is None else score)


def _mean(values: Sequence[float]) -> str:
    """Mean, and the values themselves: with a few seeds they say more than a deviation."""
    if not values:
        return "-"
    return f"{np.mean(values):.1f} ({', '.join(f'{value:.0f}' for value in values)})"


def _interval(values: Sequence[float]) -> str:
    """Mean and bounds, which a single run does not have.

    >>> _interval([1.0, 2.0, 3.0]), _interval([1.0])
    ('+2.0 [-0.5, +4.5]', '+1.0 [-, -]')
    """
    mean, *bounds = mean_interval(values)
    low, high = ("-" if math.isnan(bound) else f"{bound:+.1f}" for bound in bounds)
    return f"{mean:+.1f} [{low}, {high}]"


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
