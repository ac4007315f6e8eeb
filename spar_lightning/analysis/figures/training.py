"""Figures of the training itself."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spar_lightning.analysis.figures.parts import legend_above, new_figure, updates_axis
from spar_lightning.analysis.run import Curve, FinishedRun
from spar_lightning.analysis.study import LeftOutError, Study
from spar_lightning.analysis.style import COLORS

BY_ACTION = "residual_by_action/"
"""Under which the size of each action's residual is logged."""


def learning_curves(study: Study) -> Figure:
    """Learning curves.

    Left, compare grey with blue, base with policy on the same start states: while the warm-up lasts (shaded) the blue
    dots are what the manifold has been fitted to by then, not yet an improvement. Right, how far the policy has moved
    away from its base by then.
    """
    run = study.run
    figure, (left, right) = new_figure(3.4, ncols=2)
    scored = _policy_curves(run)
    for name, (updates, values) in scored.items():
        if len(updates):
            style = {"ls": ":"} if name == "warm-up" else {}
            color = COLORS["policy" if name == "warm-up" else name]
            left.plot(updates, values, color=color, label=name, marker="o", markersize=3, **style)
    left.set(ylabel=_unit(run))
    if left.lines:
        left.set_title("Score" if run.has_scores else "Return")
        legend_above(left, len(left.lines))
    else:
        left.text(0.5, 0.5, "not evaluated: no simulator", transform=left.transAxes, ha="center")
    right.plot(*run.curve("residual/abs_mean"), color=COLORS["policy"])
    right.set(title="Size of the residual", ylabel="mean |action - base|, of [-1, 1]")
    right.set_ylim(bottom=0)
    for axes in (left, right):
        updates_axis(axes, run)
    return figure


def several_seeds(study: Study) -> Figure:
    """Several training seeds.

    A thin line is a seed, the thick one their mean where all of them were evaluated. What one training's interval
    cannot tell is here: how much the result depends on the seed.
    """
    if not study.others:
        raise LeftOutError("no other seeds were given")
    runs = [study.run, *study.others]
    scored = [run for run in runs if run.has_scores]
    if 0 < len(scored) < len(runs):
        raise LeftOutError("some of the runs have normalized scores and some have not: give those of one kind")
    unit = _unit(study.run)
    panels = [
        ("rollout/normalized_score" if scored else "rollout/return", "Policy", unit),
        ("rollout/improvement", "Improvement over the base", unit),
        ("residual/abs_mean", "Size of the residual", "mean |action - base|"),
    ]
    figure, all_axes = new_figure(3.4, ncols=3)
    for axes, (name, title, label) in zip(all_axes, panels, strict=True):
        curves = [run.curve(name) for run in runs]
        for curve in curves:
            axes.plot(*curve, color=COLORS["policy"], lw=0.8, alpha=0.6)
        axes.plot(*_mean_curve(curves), color=COLORS["policy"], lw=2.4)
        if name == "rollout/improvement":
            axes.axhline(0, color="black", lw=0.8)
        axes.set(title=title, ylabel=label)
        updates_axis(axes, study.run)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    figure.suptitle(f"{len(runs)} seeds: {', '.join(str(run.results.get('seed')) for run in runs)}", fontsize=11)
    return figure


def residual_growth(study: Study) -> Figure:
    """Growth of each action's residual over training.

    The mean size over fixed states of the data. A residual that still grows at the end has not settled; one that grows
    in a single action says which joint the improvement is about.
    """
    run = study.run
    names = [name for name in run.metrics if name.startswith(BY_ACTION)]
    if not names:
        raise LeftOutError("the run has logged no residuals by action: it is too short, or of an earlier version")
    figure, axes = new_figure(3.6)
    curves = {name.removeprefix(BY_ACTION).replace("_", " "): run.curve(name) for name in names}
    ordered = sorted(curves.items(), key=lambda item: -item[1][1][-1])
    for number, (name, curve) in enumerate(ordered):
        axes.plot(*curve, label=name, lw=1.8, ls=("-", "--", ":")[number // 10 % 3])
    axes.set(
        ylabel="mean |action - base|, of [-1, 1]", title="Size of each action's residual (largest at the end first)"
    )
    axes.set_ylim(bottom=0)
    updates_axis(axes, run)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), ncols=1 + len(ordered) // 14)
    return figure


def _policy_curves(run: FinishedRun) -> dict[str, Curve]:
    unit = "normalized_score" if run.has_scores else "return"
    return {
        "base": run.curve(f"rollout/base_{unit}"),
        "fitted": run.curve(f"rollout/fitted_{unit}"),
        "warm-up": run.curve(f"warmup/{unit}"),
        "policy": run.curve(f"rollout/{unit}"),
    }


def _unit(run: FinishedRun) -> str:
    return "normalized score" if run.has_scores else "return of an episode"


def _mean_curve(curves: list[Curve]) -> Curve:
    """Over what all curves have."""
    common = np.array(sorted(set.intersection(*({*updates.tolist()} for updates, _ in curves))))
    values = [curve[np.searchsorted(updates, common)] for updates, curve in curves]
    return common, np.mean(values, axis=0) if len(common) else common
