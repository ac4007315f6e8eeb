"""Figures of the support: whether the policy stays where the data are."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from scipy import stats

from spar_lightning.analysis.distance import nearest_distances
from spar_lightning.analysis.figures.parts import legend_above, new_figure
from spar_lightning.analysis.study import LeftOutError, Study
from spar_lightning.analysis.style import COLORS
from spar_lightning.analysis.values import action_gradients
from spar_lightning.evaluation import change_by_reach, split_change
from spar_lightning.replay import spread_rows

LABELS = {"policy": "self-imitation", "ablation": "value gradient", "gradient": "critics' gradient by the action"}

NEIGHBOURS_OF = 1000
"""States whose distances to all of the data are computed."""


def update_parts(study: Study) -> Figure:
    """Normal and tangential part of the update.

    The update is the change from the fitted policy to the improved one, at each state of the data. Its tangential part
    moves along the manifold of actions that the decoder can reach, its normal part leaves it. Left, the two sizes state
    by state, where a direction is normal that latents reach with less than a tenth of their largest effect (as in
    `support/normal_drift`). Right, the normal share of the whole update by where that line is drawn: of two curves, the
    lower one keeps to what the manifold reaches easily. The critics' gradient by the action is where a method without a
    manifold would go.
    """
    if study.module.action_dim < 2:
        raise LeftOutError("there is one action, and no direction that leads away from it")
    figure, (left, right) = new_figure(3.8, ncols=2, width_ratios=[1, 1.1])
    sample = study.sample
    changes = {"policy": sample.probe.actions - sample.fitted_actions}
    if study.ablation_sample is not None:
        changes["ablation"] = study.ablation_sample.probe.actions - study.ablation_sample.fitted_actions
    jacobians = sample.probe.jacobians
    largest = 0.0
    for name, change in changes.items():
        tangential, normal = (part.norm(dim=1) for part in split_change(change, jacobians))
        left.scatter(tangential, normal, s=4, lw=0, alpha=0.5, color=COLORS[name], label=LABELS[name], rasterized=True)
        largest = max(largest, float(torch.quantile(tangential, 0.998)), float(torch.quantile(normal, 0.998)))
    left.plot([0, largest], [0, largest], color="black", lw=0.6, ls=":")
    left.set_title("Change of each state's action")
    left.set(xlabel="change along the manifold", ylabel="change normal to it")
    left.set(xlim=(0, largest * 1.05 + 1e-9), ylim=(-0.02 * largest - 1e-9, largest * 1.05 + 1e-9))
    left.legend(loc="upper left", markerscale=3)
    limits = torch.linspace(0, 1, 41)
    for name, change in (changes | {"gradient": action_gradients(study.module, sample)}).items():
        reach, squares = change_by_reach(change, jacobians)
        shares = [float(squares[reach < limit].sum() / squares.sum().clamp(min=1e-20)) for limit in limits]
        right.plot(limits, shares, color=COLORS[name], lw=2, label=LABELS[name])
    right.axvline(0.1, color="black", ls="--", lw=0.8)
    right.set(xlabel="reach below which a direction is normal", ylabel="normal share", xlim=(0, 1), ylim=(0, 1.02))
    right.yaxis.set_major_formatter(PercentFormatter(1))
    right.set_title("Normal share of the squared update")
    right.legend(loc="upper left")
    return figure


def data_distance(study: Study) -> Figure:
    """Nearest-neighbour distance to the data.

    For states of the data, how far state and action of each policy are from the nearest state and action of another
    transition (states in standard deviations, actions in [-1, 1]). Yellow is how far the data are from themselves: the
    yardstick. A curve to the right of it leaves the data; the base may, too, where the data's actions are of two kinds.
    """
    sample = study.sample
    chosen = spread_rows(len(sample.rows), NEIGHBOURS_OF)
    policies = {
        "data": sample.data_actions,
        "base": sample.probe.base_actions,
        "fitted": sample.fitted_actions,
        "policy": sample.probe.actions,
    }
    if study.ablation_sample is not None:
        policies["ablation"] = study.ablation_sample.probe.actions
    actions = torch.stack([one[chosen] for one in policies.values()])
    distances = nearest_distances(study.data.transitions, study.module.base.normalizer, sample.rows[chosen], actions)
    labels = {"policy": "policy (self-imitation)", "ablation": "value gradient"}
    figure, (left, right) = new_figure(3.8, ncols=2, width_ratios=[1.4, 1])
    for name, values in zip(policies, distances, strict=True):
        ordered = np.sort(values)
        shares = np.linspace(0, 1, len(ordered))
        width = 4 if name == "fitted" else 2  # which the policy may cover
        left.plot(ordered, shares, color=COLORS[name], lw=width, label=labels.get(name, name))
    left.set(xlabel="distance to the nearest pair of the data", ylabel="share of states below", ylim=(0, 1.02))
    left.set_xlim(0, np.quantile(distances, 0.99))
    left.yaxis.set_major_formatter(PercentFormatter(1))
    left.set_title("Distance of state and action")
    left.legend(loc="lower right")
    excess = {name: values - distances[0] for name, values in zip(policies, distances, strict=True)}
    names = list(policies)[1:]
    right.bar(range(len(names)), [excess[name].mean() for name in names], color=[COLORS[name] for name in names])
    right.axhline(0, color="black", lw=0.8)
    right.set_xticks(range(len(names)), [labels.get(name, name).replace(" (", "\n(") for name in names], fontsize=9)
    right.set(title="Difference to the data's own", ylabel="mean over states")
    return figure


def support(study: Study) -> Figure:
    """Whether the policy leans on the limits of its support.

    Latents further out than the prior's (grey curve), latents at the edge of their box (`latent_bound`) and clipped
    actions all say that the policy leans on the limits of its support.
    """
    probe, names = study.sample.probe, study.action_names
    norms, dims = probe.latents.norm(dim=1).numpy(), probe.latents.shape[1]
    at_bound = (probe.latents.abs() >= 0.99 * probe.latent_bound).float().mean(dim=0).numpy()
    clipped = (probe.actions != probe.unclipped_actions).float().mean(dim=0).numpy()
    figure, (left, middle, right) = new_figure(3.6, ncols=3, width_ratios=[1.5, 1, 1])
    grid = np.linspace(0, max(norms.max(), stats.chi.ppf(0.999, dims)), 200)
    left.hist(norms, bins=60, density=True, color=COLORS["policy"], alpha=0.85, label="policy, on states of the data")
    left.plot(grid, stats.chi.pdf(grid, dims), color=COLORS["base"], lw=2, label=f"prior N(0, I), {dims} dims")
    left.set(xlabel="|z|, prior standard deviations", ylabel="density")
    left.set_title("Latent norm")
    legend_above(left, 1)
    left.set_ylim(0, left.get_ylim()[1] * 1.05)
    for axes, share, title, ticks in (
        (middle, at_bound, "Latents at the box's edge", [str(number) for number in range(dims)]),
        (right, clipped, "Actions that are clipped", names),
    ):
        axes.bar(range(len(share)), share, color=COLORS["loss"])
        axes.set_xticks(range(len(share)), ticks, rotation=90 if axes is right else 0, fontsize=8)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0 if share.max() > 0.04 else 1))
        axes.set(title=title, ylabel="share of states", ylim=(0, max(share.max() * 1.1, 0.01)))
        if share.max() == 0:
            axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center")
    middle.set_xlabel("latent dimension")
    right.set_xlabel("action")
    return figure
