"""Figures of the residual: how large, how signed, where."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spar_lightning.analysis.figures.parts import new_figure
from spar_lightning.analysis.study import LeftOutError, Study
from spar_lightning.analysis.style import COLORS


def residual_size(study: Study) -> Figure:
    """How large the residuals are.

    Over states of the training data; actions are scaled to [-1, 1] by their bounds. Compare the blue box of an action
    with the yellow one: the policy stays inside what the data do around the base where blue is below yellow. The dashed
    line is the data's spread around the base, the unit in which residuals are modelled.
    """
    sample, names = study.sample, study.action_names
    positions = np.arange(len(names))
    figure, axes = new_figure(3.8)
    for name, values, offset in (("data", sample.data_residuals, -0.19), ("policy", sample.residuals, 0.19)):
        boxes = axes.boxplot(
            np.abs(values),
            positions=positions + offset,
            widths=0.32,
            whis=(5, 95),
            showfliers=False,
            patch_artist=True,
            medianprops={"color": "black"},
            boxprops={"facecolor": COLORS[name], "alpha": 0.85, "lw": 0},
            whiskerprops={"color": COLORS[name]},
            capprops={"color": COLORS[name]},
        )
        boxes["boxes"][0].set_label(f"{name} - base")
    axes.hlines(sample.spread, positions - 0.4, positions + 0.4, color="black", ls="--", lw=1, label="data's spread")
    shares = np.sqrt((sample.residuals**2).mean(axis=0)) / sample.spread
    axes.set_xticks(positions, [f"{name}\n{share:.0%} of spread" for name, share in zip(names, shares, strict=True)])
    axes.tick_params(axis="x", labelsize=10 if len(names) <= 8 else 7, rotation=0 if len(names) <= 8 else 60)
    axes.set_ylabel("|action - base|, of [-1, 1]")
    axes.set_title("Residual of each action over the data (median, quartiles, 5% to 95%)")
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def residual_correlation(study: Study) -> Figure:
    """Correlation of residuals between actions.

    Left the policy's residuals, right the data's around the base. Pairs that are coloured on the left only are moved
    together by the improvement; colours as on the right are habits of the data that the manifold has kept.
    """
    sample, names = study.sample, study.action_names
    if len(names) < 2:
        raise LeftOutError("there is one action")
    figure, panels = new_figure(1.8 + 0.42 * len(names), ncols=2)
    for axes, residuals, title in zip(
        panels, (sample.residuals, sample.data_residuals), ("policy - base", "data - base"), strict=True
    ):
        correlation = _correlation(residuals)
        image = axes.imshow(correlation, vmin=-1, vmax=1, cmap="RdBu_r")
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), names)
        axes.set_title(title)
        axes.spines[:].set_visible(False)
        if len(names) <= 10:
            for row, column in np.ndindex(*correlation.shape):
                value = correlation[row, column]
                color = "white" if abs(value) > 0.6 else "black"
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=color)
    figure.colorbar(image, ax=panels, label="correlation", shrink=0.8)
    return figure


def residual_in_time(study: Study) -> Figure:
    """Signed residuals in time.

    One episode of the policy of median return, or, where there is no simulator, an episode of the data. Above the line
    an action is larger than the base's; the shaded band is one spread of the data around the base. Look for residuals
    that keep one sign, or that swing with the gait.
    """
    observations, title = _episode(study)
    probe = study.module.probe_residual(torch.as_tensor(observations, dtype=torch.float32))
    residuals = (probe.actions - probe.base_actions).numpy()
    time, label = np.arange(len(residuals)) * (study.step_s or 1), "step of the episode"
    if study.step_s:
        label = "time in the episode (s)"
    names = study.action_names
    figure, panels = new_figure(0.9 + 0.85 * len(names), nrows=len(names), sharex=True, sharey=True, squeeze=False)
    for axes, name, values, spread in zip(panels[:, 0], names, residuals.T, study.sample.spread, strict=True):
        axes.axhspan(-spread, spread, color="0.93", lw=0)
        axes.axhline(0, color="black", lw=0.6)
        axes.plot(time, values, color=COLORS["policy"], lw=0.9)
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
    largest = max(np.abs(residuals).max(), study.sample.spread.max()) * 1.05
    panels[0, 0].set_ylim(-largest, largest)
    panels[0, 0].set_xlim(time[0], max(time[-1], time[0] + 1e-9))
    panels[-1, 0].set_xlabel(label)
    figure.suptitle(f"action - base, of [-1, 1]: {title}", fontsize=11)
    return figure


def where_it_departs(study: Study) -> Figure:
    """Where the policy departs from its base.

    Left, the data's states on their two main axes of variation, darker where the residual is larger (mean over a
    hexagon of the root mean square over actions); right, what sets the 5% of states with the largest residual apart.
    """
    sample = study.sample
    plane, explained = _main_axes(sample.normalized)
    figure, (left, right) = new_figure(4.2, ncols=2, width_ratios=[1.15, 1])
    low, high = np.quantile(plane, [0.002, 0.998], axis=0)
    inside = ((plane >= low) & (plane <= high)).all(axis=1)
    hexagons = left.hexbin(
        *plane[inside].T,
        C=sample.sizes[inside],
        gridsize=32,
        mincnt=3 if len(plane) > 2000 else 1,
        cmap="viridis_r",
        linewidths=0.1,
    )
    left.set_title("States of the data")
    left.set_xlabel(f"principal component 1 ({explained[0]:.0%} of variance), s.d.")
    left.set_ylabel(f"principal component 2 ({explained[1]:.0%}), s.d.")
    figure.colorbar(hexagons, ax=left, label="residual size, of [-1, 1]")
    difference = _differences(sample.normalized.numpy(), sample.sizes >= np.quantile(sample.sizes, 0.95))
    strongest = np.argsort(np.abs(difference))[-8:]
    right.barh([study.observation_names[i] for i in strongest], difference[strongest], color=COLORS["policy"])
    right.axvline(0, color="black", lw=0.8)
    right.set(xlabel="mean difference to the other states, s.d.", title="Largest 5% of the residuals")
    right.tick_params(axis="y", labelsize=9)
    right.xaxis.set_major_locator(MaxNLocator(5))
    return figure


def _correlation(residuals: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """(A, A), 0 where a residual does not vary."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.corrcoef(residuals, rowvar=False).reshape(residuals.shape[1], residuals.shape[1])
    return np.where(np.isfinite(found), found, 0.0)


def _episode(study: Study) -> tuple[npt.NDArray[np.floating], str]:
    if study.no_simulator is None:
        rollouts, base = study.policy_rollouts, study.base_rollouts
        chosen = int(np.argsort(rollouts.returns)[len(rollouts.returns) // 2])
        assert rollouts.trajectories is not None
        lasted = (
            f"seed {rollouts.seeds[chosen]}, {rollouts.lengths[chosen]} steps, return {rollouts.returns[chosen]:,.0f}"
        )
        against = f"base {base.lengths[chosen]} steps, return {base.returns[chosen]:,.0f}"
        return rollouts.trajectories[chosen][0], f"{lasted} ({against})"
    ends = np.flatnonzero(study.data.transitions.episode_ends.numpy()) + 1
    starts = np.concatenate([[0], ends[:-1]])
    longest = int(np.argmax(ends - starts))
    rows = slice(int(starts[longest]), int(min(ends[longest], starts[longest] + 1000)))
    return study.data.transitions.batch(rows).observations.numpy(), f"episode {longest} of the data"


def _main_axes(normalized: torch.Tensor) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
    """States (N, 2) on their two main axes, and the shares of variance of all axes."""
    centered = (normalized - normalized.mean(dim=0)).double()
    _, strengths, axes = torch.linalg.svd(centered, full_matrices=False)
    shares = strengths.square() / strengths.square().sum()
    plane = centered @ axes[:2].T
    if plane.shape[1] < 2:  # of a state that is one number
        plane, shares = torch.nn.functional.pad(plane, (0, 1)), torch.nn.functional.pad(shares, (0, 1))
    return plane.numpy(), shares.numpy()


def _differences(features: npt.NDArray[np.floating], top: npt.NDArray[np.bool_]) -> npt.NDArray[np.floating]:
    """Mean differences (O,) of the states `top` to the others, in pooled standard deviations."""
    if top.all():
        return np.zeros(features.shape[1])
    pooled = np.sqrt((features[top].var(axis=0) + features[~top].var(axis=0)) / 2).clip(min=1e-6)
    difference: npt.NDArray[np.floating] = (features[top].mean(axis=0) - features[~top].mean(axis=0)) / pooled
    return difference
