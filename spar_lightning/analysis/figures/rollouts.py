"""Figures of episodes in the simulator."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spar_lightning.analysis.figures.parts import new_figure
from spar_lightning.analysis.study import FACTORS, LeftOutError, Study
from spar_lightning.analysis.style import COLORS
from spar_lightning.analysis.values import Calibration

SHOWN = 4000
"""Steps of episodes that are drawn as points."""


def start_states(study: Study) -> Figure:
    """Start states: base against policy.

    Both play the same start states. Left, each line joins one start state, base to policy: up is better. Right, the
    gains, sorted: a mean that a few starts make is another result than one that all share.
    """
    rollouts = study.policy_rollouts
    values = {"base": study.values(study.base_rollouts.returns), "policy": study.values(rollouts.returns)}
    gain = values["policy"] - values["base"]
    figure, (left, right) = new_figure(3.4, ncols=2, width_ratios=[1, 1.6])
    left.plot([0, 1], [values["base"], values["policy"]], color="0.8", lw=1, zorder=1)
    for place, name in enumerate(("base", "policy")):
        left.scatter(np.full(len(gain), place), values[name], color=COLORS[name], s=22, zorder=2)
        left.hlines(values[name].mean(), place - 0.16, place + 0.16, color=COLORS[name], lw=3, zorder=3)
    left.set_xticks([0, 1], ["base", "policy"])
    left.set(xlim=(-0.4, 1.4), ylabel=study.unit, title=f"{(gain > 0).sum()} of {len(gain)} starts gain (bars: mean)")
    order = np.argsort(gain)
    right.bar(range(len(gain)), gain[order], color=np.where(gain[order] > 0, COLORS["policy"], COLORS["loss"]))
    right.axhline(0, color="black", lw=0.8)
    right.set_xticks(range(len(gain)), [f"{rollouts.seeds[i]}\n{rollouts.lengths[i]}" for i in order], fontsize=8)
    right.set(xlabel="seed of the start state, and steps that the policy lasted", ylabel=f"gain in {study.unit}")
    right.set_title("Policy minus base, sorted")
    return figure


def residual_scale(study: Study) -> Figure:
    """Return with the residual scaled.

    The policy acts by `base + factor * residual`: 0 is the base, 1 the policy as it was trained. A thin line is a start
    state, the thick one the mean. A curve that still rises at 1 says that the residual could be larger (a larger
    `step` or `kappa`); one that falls before it, that it is too large.
    """
    returns = np.stack([study.values(row) for row in study.scaled_returns])  # (F, n)
    figure, axes = new_figure(3.6)
    axes.plot(FACTORS, returns, color="0.8", lw=0.9, zorder=1)
    axes.plot(FACTORS, returns.mean(axis=1), color=COLORS["policy"], lw=2.4, marker="o", zorder=3, label="mean")
    axes.axvline(1, color="black", ls="--", lw=0.8, zorder=2)
    axes.annotate("as trained", (1, 1), xycoords=("data", "axes fraction"), xytext=(4, -2), textcoords="offset points",
                  va="top", fontsize=9)  # fmt: skip
    for place, name in ((0, "base"), (FACTORS.index(1.0), "policy")):
        axes.scatter(FACTORS[place], returns[place].mean(), color=COLORS[name], s=60, zorder=4, label=name)
    axes.set_xticks(FACTORS)
    axes.set(xlabel="factor of the residual", ylabel=study.unit)
    axes.set_title(f"Over {returns.shape[1]} start states")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def critic_against_returns(study: Study) -> Figure:
    """Critics against the returns of rollouts.

    A point is a step of an episode: what the critics expect of its action, and the discounted return that followed.
    Steps too near to a time limit to know it are left out. On the diagonal the critics are right. Critics that hold the
    behaviour's values are to be right about the base; below the diagonal lies what they promise and do not keep. Points
    far above it, for the policy, are states from which it does better than the behaviour in the data.
    """
    found = {name: one for name, one in study.calibrations.items() if len(one.returns)}
    if not found:
        raise LeftOutError("no episode is long enough for a discounted return to be known")
    figure, panels = new_figure(4.4, ncols=len(found), squeeze=False, sharex=True, sharey=True)
    every = np.concatenate([np.concatenate(one) for one in found.values()])
    low, high = every.min(), every.max()
    limits = (low - 0.03 * (high - low), high + 0.03 * (high - low) + 1e-9)
    for axes, (name, one) in zip(panels[0], found.items(), strict=True):
        _calibration(axes, one, COLORS[name])
        error = (one.expected - one.returns).mean()
        axes.set_title(f"{name}: critics {'above' if error > 0 else 'below'} by {abs(error):,.3g} on average")
        axes.plot(limits, limits, color="black", lw=0.8)
        axes.set(xlim=limits, ylim=limits, aspect="equal", xlabel="expected by the critics")
    panels[0, 0].set_ylabel("discounted return that followed")
    return figure


def _calibration(axes: Axes, one: Calibration, color: str) -> None:
    shown = np.linspace(0, len(one.returns) - 1, min(SHOWN, len(one.returns))).astype(int)
    axes.scatter(one.expected[shown], one.returns[shown], s=4, color=color, alpha=0.25, lw=0, rasterized=True)
    centers, means = _binned(one.expected, one.returns)
    axes.plot(centers, means, color="black", lw=1.6, marker="o", markersize=4, label="mean")
    axes.legend(loc="upper left")


def _binned(
    expected: npt.NDArray[np.floating], returns: npt.NDArray[np.floating]
) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
    """Means over bins of equally many steps."""
    groups = np.array_split(np.argsort(expected), min(10, len(expected)))
    return np.array([expected[group].mean() for group in groups]), np.array([returns[group].mean() for group in groups])
