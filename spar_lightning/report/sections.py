"""The parts of a report: a title, what it says, a table and figures, for Markdown and HTML alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spar_lightning.documents import decimals
from spar_lightning.report.analysis import Analysis
from spar_lightning.report.documents import Document
from spar_lightning.report.published import CORL_LAST, METHODS, SPAR_PAPER, UPDATES
from spar_lightning.report.reliability import LAST_EVALUATIONS, swings
from spar_lightning.report.statistics import Estimate

LAST = "Of the policy at the end of training, over its final episodes: mean and deviation over training seeds."
BEST = "Of the best evaluation during training, chosen with the simulator: not what offline training alone achieves."


@dataclass(frozen=True)
class Section:
    """One part."""

    title: str
    text: str = ""
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    figures: Mapping[str, str] = field(default_factory=dict)
    """Names of figures -> what they show."""


def sections(analysis: Analysis) -> list[Section]:
    """All that the runs give something for."""
    parts = [
        _overview(analysis),
        _scores(analysis, "last", "Last scores", LAST),
        _scores(analysis, "best", "Best scores", BEST),
        *([_aggregates(analysis)] if analysis.matrices else []),
        *([_probabilities(analysis)] if len(analysis.matrices) > 1 else []),
        *([_expected_best(analysis)] if analysis.has_several_seeds else []),
        *([_improvement(analysis), _reliability(analysis)] if _improved(analysis) else []),
        _speed(analysis),
        _curves(),
        *_published(analysis),
    ]
    return parts


def _overview(analysis: Analysis) -> Section:
    results = analysis.results
    runs = [run for of_cell in results.runs.values() for run in of_cell]
    seeds = Counter(len(of_cell) for of_cell in results.runs.values())
    counts = ", ".join(
        f"{number} ({count} time{'s' * (count > 1)})" for number, count in sorted(seeds.items(), reverse=True)
    )
    lines = [
        f"{len(runs)} run{'s' * (len(runs) != 1)}; tasks: {len(results.tasks)}; methods: {', '.join(results.methods)}."
        f" Training seeds of a task and method: {counts}."
    ]
    notes = sorted({str(run["score_note"]) for run in runs if run.get("score_note")})
    lines += [f"Scores: {'; '.join(notes)}."] if notes else []
    machines = sorted({_machine(run.get("machine") or {}) for run in runs})
    lines.append(f"Machine: {'; '.join(machines)}.")
    if results.repeated:
        lines.append(f"Left out: {results.repeated} older of several runs with the same seed and settings.")
    if results.without_score:
        lines.append(f"Left out: {results.without_score} without an evaluation.")
    return Section("Runs", "\n\n".join(lines))


def _machine(machine: Mapping[str, Any]) -> str:
    threads = machine.get("cpu_threads", "?")
    where = machine.get("accelerator") or machine.get("processor") or "unknown"
    return f"{where}, {threads} thread{'s' * (threads != 1)} a run"


def _scores(analysis: Analysis, of: str, title: str, text: str) -> Section:
    results = analysis.results
    rows = []
    for task in results.tasks:
        cells = [analysis.cell(task, method, of) for method in results.methods]
        runs = analysis.runs_on(task)
        digits = _digits(runs, [cell[name] for cell in cells if cell for name in ("mean", "std")])
        rows.append([task if _have_scores(runs) else f"{task} (returns)", *(_cell(cell, digits) for cell in cells)])
    return Section(title, text, ["task", *results.methods], rows)


def _have_scores(runs: Iterable[Document]) -> bool:
    return all(run.get("score") is not None for run in runs)


def _digits(runs: Iterable[Document], values: Iterable[float | None]) -> int:
    """Of values side by side: one where they are scores, of returns as many as tell them apart."""
    return 1 if _have_scores(runs) else decimals(values, 1)


def _shown(value: float | None, digits: int, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.{digits}f}"


def _cell(cell: Mapping[str, Any] | None, digits: int) -> str:
    if cell is None:
        return "-"
    deviation = "" if cell["std"] is None else f" +- {_shown(cell['std'], digits)}"
    return f"{_shown(cell['mean'], digits)}{deviation}"


def _aggregates(analysis: Analysis) -> Section:
    names = list(next(iter(analysis.aggregates.values())))
    rows = [
        [
            method,
            *(str(found) for found in of_method.values()),
            " x ".join(map(str, analysis.matrices[method].shape)),
        ]
        for method, of_method in analysis.aggregates.items()
    ]
    text = (
        f"Last scores over the {len(analysis.common)} tasks that these methods share, with 95% intervals of a bootstrap"
        " that draws runs anew within each task (Agarwal et al., 2021). The interquartile mean is that of the middle"
        " half of all runs. One run a task has no interval."
    )
    if analysis.left_out:
        text += f" Not compared, for want of tasks: {', '.join(analysis.left_out)}."
    figures = {"aggregates": "Bars are 95% intervals.", "profiles": "Performance profile: share of runs above a score."}
    return Section("Over all tasks", text, ["method", *names, "tasks x runs"], rows, figures)


def _probabilities(analysis: Analysis) -> Section:
    methods = list(analysis.probabilities)
    rows = [
        [one, *("-" if one == two else _probability(analysis.probabilities[one][two]) for two in methods)]
        for one in methods
    ]
    text = (
        "How likely a run of the method of the row scores higher than a run of the method of the column on the same"
        " task, a tie counting half; mean over tasks, with 95% intervals. 0.5 is no difference."
    )
    return Section("Probability of improvement", text, ["", *methods], rows, {"probabilities": ""})


def _probability(found: Estimate) -> str:
    return found.text(2)


def _expected_best(analysis: Analysis) -> Section:
    most = max(map(len, analysis.expected_best.values()))
    shown = [k for k in (1, 2, 3, 5, 10, 20, 50, 100) if k <= most]
    rows = [
        [method, *(f"{values[k - 1]:.1f}" if k <= len(values) else "-" for k in shown)]
        for method, values in analysis.expected_best.items()
    ]
    text = (
        "What the best of k policies of a method can be expected to score, if the simulator is asked which is best"
        " (Kurenkov and Kolesnikov, 2022): a policy is a run, drawn with replacement; mean over tasks. k = 1 is what"
        " offline training gives by itself."
    )
    header = ["method", *(f"k = {k}" for k in shown)]
    return Section("Expected best of k policies", text, header, rows, {"expected_best": ""})


def _improved(analysis: Analysis) -> list[str]:
    return [method for method in analysis.results.methods if analysis.against_base(method)]


def _improvement(analysis: Analysis) -> Section:
    methods = _improved(analysis)
    rows = []
    for task in analysis.results.tasks:
        of_task = [analysis.improvement(task, method) for method in methods]
        values = [found[name] for found in of_task if found for name in ("mean", "low", "high")]
        digits = _digits(analysis.runs_on(task), values)
        rows.append([task, *("-" if found is None else _interval(found, digits) for found in of_task)])
    totals = {method: found for method in methods if (found := analysis.against_base(method)) is not None}
    means = {method: found["mean"] for method, found in totals.items()}
    shown = [_shown(mean, _digits(analysis.runs_of(method), [mean]), "+") for method, mean in means.items()]
    rows.append(["**mean over runs**", *shown])
    rows.append(["**end below their base**", *(_share(found, "below") for found in totals.values())])
    rows.append(["**clearly below**", *(_share(found, "clearly_below") for found in totals.values())])
    text = (
        "Last policy less the base that it was made from, over the same start states: mean over seeds with Student's"
        " 95% interval. A run is clearly below its base where the interval over its own episodes is."
    )
    return Section("Improvement over the base", text, ["task", *methods], rows, {"improvement": ""})


def _reliability(analysis: Analysis) -> Section:
    rows = []
    for method in _improved(analysis):
        runs = analysis.runs_of(method)
        swing = _swing(swings(runs))
        rows.append([f"**{method}**", *[""] * 8, _swing_text(swing, _digits(runs, swing))])
        for task in analysis.results.tasks:
            if (found := analysis.reliability(task, method)) is not None:
                rows.append([task, str(found["runs"]), *_gains(found, analysis.results.of(task, method))])
    text = (
        "Means over the runs of base, fitted policy and last policy; the least gain is the smallest improvement of a"
        " run. Noisy: the same with noise on every action, where runs were evaluated so. Swing: the largest less the"
        f" smallest of a training's last {LAST_EVALUATIONS} evaluations, median and largest over runs."
    )
    of_gain = ["base", "fitted", "policy", "least gain"]
    with_noise = ["noisy base", "noisy policy", "least noisy gain"]
    return Section("Reliability", text, ["task", "runs", *of_gain, *with_noise, "swing"], rows)


def _gains(found: Mapping[str, Any], runs: Sequence[Document]) -> list[str]:
    """Without and with noise, and the swing."""
    gains = [found[name] for name in ("base", "fitted", "policy", "least")]
    gains += [found["noisy"] and found["noisy"][name] for name in ("base", "policy", "least")]
    swing = _swing(found["swings"])
    digits, signs = _digits(runs, [*gains, *swing]), ("", "", "", "+", "", "", "+")
    shown = [_shown(value, digits, sign) for value, sign in zip(gains, signs, strict=True)]
    return [*shown, _swing_text(swing, digits)]


def _swing(values: Sequence[float]) -> list[float]:
    """Median and largest."""
    return [float(np.median(values)), max(values)] if values else []


def _swing_text(swing: Sequence[float], digits: int) -> str:
    return ", ".join(_shown(value, digits) for value in swing) or "-"


def _interval(found: Mapping[str, Any], digits: int) -> str:
    mean, low, high = (_shown(found[name], digits, "+") for name in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def _share(found: Mapping[str, Any], name: str) -> str:
    return f"{round(found[name] * found['runs'])} of {found['runs']} ({100 * found[name]:.0f}%)"


def _speed(analysis: Analysis) -> Section:
    rows = []
    for method in analysis.results.methods:
        found = analysis.speed(method)
        speed = found["updates_per_second"]
        minutes = [found[f"{part}_minutes"] for part in ("training", "evaluation", "base")]
        shown = [_shown(value, 1) for value in minutes]
        rows.append([method, "-" if speed is None else f"{speed:,.0f}", *shown])
    header = ["method", "updates/s", "training, min", "evaluation, min", "base, min"]
    return Section("Speed", "Medians over runs; on a machine that other programs share they say little.", header, rows)


def _curves() -> Section:
    text = (
        "Scores of the evaluations during training, over fewer episodes than the last ones: mean over seeds, and from"
        " the lowest to the highest. Where a run kept no times, they are in proportion to its updates."
    )
    figures = {"curves_updates": "Against updates.", "curves_minutes": "Against the time that training took."}
    return Section("Learning curves", text, figures=figures)


def _published(analysis: Analysis) -> list[Section]:
    rows = []
    results = analysis.results
    for task in results.tasks:
        for method in results.methods:
            found, cell = analysis.published(task, method), analysis.cell(task, method)
            if found is None or cell is None:
                continue
            best = analysis.cell(task, method, "best")
            updates = " ".join(sorted({f"{run['updates']:,}" for run in results.of(task, method)}))
            figures = [_shown(value, 1) for value in (found.last, found.best)]
            rows.append([found.data_set, method, _cell(cell, 1), _cell(best, 1), updates, *figures, found.source])
    if not rows:
        return []
    text = (
        f"Published scores are means over seeds after {UPDATES:,} updates. Read the score's note above, and compare"
        " only runs of that length: shorter ones are another protocol."
    )
    header = ["data set", "method", "last", "best", "updates", "published last", "published best", "source"]
    return [Section("Beside published scores", text, header, rows), _published_methods([row[0] for row in rows])]


def _published_methods(data_sets: Sequence[str]) -> Section:
    rows = []
    for name in dict.fromkeys(data_sets):
        rows.append([name, *(_shown(score, 1) for score in (*CORL_LAST[name], SPAR_PAPER.get(name)))])
    text = "Last scores: the baselines are CORL's, SPAR's its paper's."
    return Section("All published scores on these data sets", text, ["data set", *METHODS, "SPAR"], rows)
