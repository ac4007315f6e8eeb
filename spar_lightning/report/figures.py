"""The figures of a report."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from spar_lightning.pyplot import load_pyplot, require_matplotlib
from spar_lightning.report.analysis import Analysis, curve, improvements, warmup_end

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31", "#7F7F7F", "#7B2D8B")
"""Okabe and Ito's, which the color-blind can tell apart, and a few more; then they come again, dashed."""

_STYLES = ("-", "--", ":", "-.")
_DPI = 120
Figures = dict[str, bytes]
"""Names -> PNG."""

NAMES = (
    "aggregates",
    "probabilities",
    "profiles",
    "expected_best",
    "improvement",
    "curves_updates",
    "curves_minutes",
)
"""Of all figures that there can be."""


def draw_figures(analysis: Analysis) -> Figures:
    """All that there is something to show in.

    Raises:
        UserError: if matplotlib is not installed.
    """
    require_matplotlib("`figures`", "report", ", or add --figures false")
    figures: Figures = {}
    several = {
        "aggregates": _aggregates,
        "probabilities": _probabilities,
        "profiles": _profiles,
        "expected_best": _expected_best,
    }
    for name, draw in several.items():
        compares = name != "probabilities" or len(analysis.matrices) > 1
        if analysis.matrices and compares and (name != "expected_best" or analysis.has_several_seeds):
            figures[name] = draw(analysis)
    if any(analysis.against_base(method) for method in analysis.results.methods):
        figures["improvement"] = _improvement(analysis)
    figures["curves_updates"] = _curves(analysis, 0, "updates")
    figures["curves_minutes"] = _curves(analysis, 1, "minutes of training, the base's included")
    return figures


def _style(analysis: Analysis) -> dict[str, dict[str, Any]]:
    styles = itertools.product(_STYLES, COLORS)
    return {
        method: {"color": color, "linestyle": line}
        for method, (line, color) in zip(analysis.results.methods, styles, strict=False)
    }


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=_DPI, format="png")
    load_pyplot().close(figure)
    return buffer.getvalue()


def _aggregates(analysis: Analysis) -> bytes:
    """A panel for each aggregate, a bar with its interval for each method."""
    methods = list(analysis.aggregates)
    names = list(analysis.aggregates[methods[0]])
    pyplot = load_pyplot()
    size = (3.2 * len(names) + 1.5, 0.42 * len(methods) + 1.3)
    figure, panels = pyplot.subplots(1, len(names), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for panel, name in zip(panels[0], names, strict=True):
        for place, method in enumerate(methods):
            _interval(panel, place, analysis.aggregates[method][name], _style(analysis)[method]["color"])
        panel.use_sticky_edges = False  # or bars end where the panel does
        panel.set(title=name, xlabel="normalized score")
        panel.grid(axis="x", alpha=0.3)
    panels[0][0].set_yticks(range(len(methods)), methods)
    panels[0][0].invert_yaxis()
    return _png(figure)


def _interval(panel: Any, place: float, found: Any, color: str) -> None:
    if found.low is not None:
        panel.barh(place, found.high - found.low, left=found.low, height=0.6, color=color, alpha=0.35)
    panel.plot([found.value] * 2, [place - 0.3, place + 0.3], color=color, linewidth=3)


def _probabilities(analysis: Analysis) -> bytes:
    """A map: how likely the method of a row scores higher than that of a column."""
    methods = list(analysis.probabilities)
    values = np.array(
        [[0.5 if one == two else analysis.probabilities[one][two].value for two in methods] for one in methods]
    )
    pyplot = load_pyplot()
    side = 0.75 * len(methods) + 2.5
    figure, panel = pyplot.subplots(figsize=(side + 1, side), layout="constrained")
    image = panel.imshow(values, vmin=0, vmax=1, cmap="RdBu")
    for row, column in itertools.product(range(len(methods)), repeat=2):
        if row != column:
            strong = abs(values[row, column] - 0.5) > 0.3
            text, color = f"{values[row, column]:.2f}", "white" if strong else "black"
            panel.text(column, row, text, ha="center", va="center", color=color)
    panel.set_xticks(range(len(methods)), methods, rotation=30, ha="right")
    panel.set_yticks(range(len(methods)), methods)
    panel.set(title="row scores higher than column")
    figure.colorbar(image, shrink=0.8)
    return _png(figure)


def _profiles(analysis: Analysis) -> bytes:
    pyplot = load_pyplot()
    figure, panel = pyplot.subplots(figsize=(8.5, 4.2), layout="constrained")
    for method, found in analysis.profiles.items():
        style = _style(analysis)[method]
        panel.plot(analysis.thresholds, [point.value for point in found], label=method, **style)
        if found[0].low is not None:
            bounds = [[point.low for point in found], [point.high for point in found]]
            panel.fill_between(analysis.thresholds, *bounds, color=style["color"], alpha=0.12)
    panel.set(xlabel="normalized score", ylabel="share of runs above it", ylim=(0, 1.02))
    return _png(_finished(figure, panel))


def _expected_best(analysis: Analysis) -> bytes:
    pyplot = load_pyplot()
    figure, panel = pyplot.subplots(figsize=(8.5, 4.2), layout="constrained")
    for method, values in analysis.expected_best.items():
        panel.plot(range(1, len(values) + 1), values, marker="o", label=method, **_style(analysis)[method])
    panel.set(xlabel="policies evaluated in the simulator, k", ylabel="expected score of the best")
    panel.set_xticks(range(1, max(map(len, analysis.expected_best.values())) + 1))
    return _png(_finished(figure, panel))


def _finished(figure: Any, panel: Any) -> Any:
    panel.grid(alpha=0.3)
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize="small")
    return figure


def _improvement(analysis: Analysis) -> bytes:
    """Every run's improvement over its base, and the mean with its interval over seeds, task by task."""
    results = analysis.results
    methods = [method for method in results.methods if analysis.against_base(method)]
    pyplot = load_pyplot()
    rows = len(results.tasks)
    figure, panel = pyplot.subplots(figsize=(8, 0.34 * rows * max(1, len(methods) ** 0.5) + 1.6), layout="constrained")
    for shift, method in enumerate(methods):
        color = _style(analysis)[method]["color"]
        label: str | None = method
        for row, task in enumerate(results.tasks):
            found = analysis.improvement(task, method)
            if found is None:
                continue
            place = row + (shift - (len(methods) - 1) / 2) * 0.7 / len(methods)
            if found["low"] is not None:
                panel.plot([found["low"], found["high"]], [place] * 2, color=color, alpha=0.5)
            panel.plot(found["values"], [place] * found["runs"], ".", color=color, alpha=0.6)
            panel.plot(found["mean"], place, "D", color=color, markersize=5, label=label)
            label = None
    panel.axvline(0, color="black", linewidth=1)
    every = [0.0, *(value for method in methods for value in improvements(analysis.runs_of(method)))]
    margin = 0.5 * (max(every) - min(every)) + 1
    panel.set_xlim(min(every) - margin, max(every) + margin)  # the interval of two seeds may be far wider
    panel.set_yticks(range(rows), results.tasks)
    panel.invert_yaxis()
    panel.set(xlabel="improvement over the base, on the same episodes")
    return _png(_finished(figure, panel))


def _curves(analysis: Analysis, axis: int, label: str) -> bytes:
    """A panel for each task: means over seeds, and from the lowest to the highest of them."""
    results, columns = analysis.results, min(3, len(analysis.results.tasks))
    rows = -(-len(results.tasks) // columns)
    pyplot = load_pyplot()
    size = (4.2 * columns, 2.9 * rows + 0.5)
    figure, panels = pyplot.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for panel, task in itertools.zip_longest(panels.flat, results.tasks):
        if task is None:
            panel.set_axis_off()
            continue
        for method in results.methods:
            runs = results.of(task, method)
            warmup = min(map(warmup_end, runs), default=0)
            _draw_curves(panel, [curve(run) for run in runs], axis, method, _style(analysis)[method], warmup)
        panel.set_title(task, fontsize="medium")
        panel.grid(alpha=0.3)
    figure.supxlabel(label, fontsize="medium")
    figure.supylabel("score" if analysis.matrices else "score or return", fontsize="medium")
    handles: dict[str, Any] = {}
    for panel in panels.flat:
        handles |= dict(zip(*reversed(panel.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles, loc="outside upper center", ncols=4, fontsize="small")
    return _png(figure)


Curve = tuple[Sequence[float], Sequence[float], Sequence[float]]


def _draw_curves(
    panel: Any, curves: Sequence[Curve], axis: int, method: str, style: Mapping[str, Any], warmup: int
) -> None:
    """The seeds together at the evaluations that all of them have, dotted up to the end of the warm-up; their range."""
    drawn = [found for found in curves if found[0]]
    if not drawn:
        return
    steps = sorted(set.intersection(*(set(found[0]) for found in drawn)))
    if not steps:
        return
    at: Callable[[Curve, int], list[float]] = lambda found, part: [  # noqa: E731
        value for step, value in zip(found[0], found[part], strict=True) if step in steps
    ]
    scores = np.array([at(found, 2) for found in drawn])
    x = np.array(steps) if axis == 0 else np.mean([at(found, 1) for found in drawn], axis=0)
    places, evaluated = _held(steps)
    x = np.interp(places, steps, x)
    scores = scores[:, evaluated]
    means, improving = scores.mean(axis=0), np.array(steps)[evaluated] > warmup
    first = max(0, int(np.argmax(improving)) - 1) if improving.any() else len(x) - 1
    if warmup:
        panel.plot(x[: first + 1], means[: first + 1], **{**style, "linewidth": 0.8, "linestyle": ":"})
    panel.plot(x[first:], means[first:], label=method, linewidth=1.4, **style)
    if len(drawn) > 1:
        panel.fill_between(x, scores.min(axis=0), scores.max(axis=0), color=style["color"], alpha=0.15)


def _held(steps: Sequence[float]) -> tuple[list[float], list[int]]:
    """Where to draw which evaluation: a policy that is not evaluated for long stands still, and its line with it.

    >>> _held([10, 20, 30, 60])
    ([10, 20, 30, 50.0, 60], [0, 1, 2, 2, 3])
    """
    usual = float(np.median(np.diff(steps))) if len(steps) > 1 else 0.0
    places: list[float] = []
    evaluated: list[int] = []
    for number, step in enumerate(steps):
        if places and step - steps[number - 1] > 1.5 * usual:
            places.append(step - usual)
            evaluated.append(number - 1)
        places.append(step)
        evaluated.append(number)
    return places, evaluated
