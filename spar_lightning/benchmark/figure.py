"""How speed scales with what was varied."""

from __future__ import annotations

import importlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spar_lightning.benchmark.results import Result
from spar_lightning.benchmark.settings import APPLIES
from spar_lightning.pyplot import load_pyplot, require_matplotlib
from spar_lightning.types import UserError
from spar_lightning.whole_file import whole_file

AXES = {"batch_size": "batch size", "hidden_dim": "width of the hidden layers", "num_critics": "critics"}
ROWS = {"updates_per_second": "updates/s", "peak_share": "share of the peak"}


def check_suffix(path: Path) -> None:
    """See that matplotlib can write such a file.

    Raises:
        UserError: if it cannot, or is not installed.
    """
    require_matplotlib("`figure`", "notebook", ", or leave it out")
    known = importlib.import_module("matplotlib.backend_bases").FigureCanvasBase.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        raise UserError(f"`figure` is {path}, expected a name that ends in one of .{', .'.join(sorted(known))}")


def varied_axes(results: Sequence[Result]) -> list[str]:
    """Settings that make an axis: those of batch size, width and critics that took several values, else batch size."""
    several = [axis for axis in AXES if len({result["setting"][axis] for result in results}) > 1]
    return several or ["batch_size"]


def draw(results: Sequence[Result], path: Path) -> None:
    """A column of panels for each varied axis, updates/s above and the share of the peak below.

    Along an axis, the others stand at the values of the first result.
    """
    pyplot = load_pyplot()
    measured = [result for result in results if result["updates_per_second"] is not None]
    axes = varied_axes(measured)
    size = (1 + 4.5 * len(axes), 7)
    figure, panels = pyplot.subplots(len(ROWS), len(axes), squeeze=False, figsize=size, layout="constrained")
    first = {axis: measured[0]["setting"][axis] for axis in AXES} if measured else {}
    for column, axis in enumerate(axes):
        along = [result for result in measured if _departs_only_in(axis, result["setting"], first)]
        for row, (quantity, label) in enumerate(ROWS.items()):
            panel = panels[row][column]
            for name, points in _lines(along, axis, quantity).items():
                panel.plot(*zip(*sorted(points), strict=True), marker="o", label=name)
            panel.set(xlabel=AXES[axis], ylabel=label, xscale="log")
            ticks = sorted({result["setting"][axis] for result in along})
            panel.set_xticks(ticks, [str(tick) for tick in ticks])
            _scale(panel, quantity)
            panel.minorticks_off()
            panel.grid(alpha=0.3)
    if measured:
        panels[0][0].legend(fontsize="small")
    with whole_file(path) as file:
        figure.savefig(file, dpi=120, format=path.suffix[1:].lower())
    pyplot.close(figure)


def _scale(panel: Any, quantity: str) -> None:
    ticker = importlib.import_module("matplotlib.ticker")
    if quantity == "peak_share":
        panel.set_ylim(0, 1)
        panel.yaxis.set_major_formatter(ticker.PercentFormatter(1))
        return
    panel.set_yscale("log")
    panel.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))


def _departs_only_in(axis: str, setting: Mapping[str, Any], first: Mapping[str, Any]) -> bool:
    return all(setting[other] == value for other, value in first.items() if other != axis)


def _lines(results: Sequence[Result], axis: str, quantity: str) -> dict[str, list[tuple[int, float]]]:
    """Points (axis, median) of the settings that differ in nothing else, by their contender and those settings."""
    settings = [result["setting"] for result in results]
    # What all of a contender's own settings share is no news, however the others' defaults look beside it.
    differing = {
        key
        for key in (settings[0] if settings else ())
        if key != axis and len({setting[key] for setting in settings if key in APPLIES[setting["contender"]]}) > 1
    }
    lines: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for result in results:
        setting = result["setting"]
        if result[quantity] is None:
            continue
        others = {key: setting[key] for key in differing & APPLIES[setting["contender"]]}
        name = setting["contender"] + "".join(f", {key} {json.dumps(value)}" for key, value in sorted(others.items()))
        lines[name].append((setting[axis], result[quantity]["median"]))
    return lines
