"""What several figures have in common."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from spar_lightning.analysis.run import FinishedRun
from spar_lightning.analysis.style import WIDTH


def new_figure(height: float, **panels: Any) -> tuple[Figure, Any]:
    """A figure of full width with panels side by side."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(**panels)


def updates_axis(axes: Axes, run: FinishedRun) -> None:
    """Updates to the right, the warm-up shaded."""
    if run.warmup:
        axes.axvspan(0, run.warmup, color="0.93", lw=0, zorder=0)
    axes.set_xlim(0, run.updates * 1.02)
    axes.set_xlabel("updates (shaded: warm-up)" if run.warmup else "updates")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def legend_above(axes: Axes, columns: int) -> None:
    """A legend at the right above the panel, where no curve is."""
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0, ncols=columns, columnspacing=1)
