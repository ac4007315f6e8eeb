"""Figures of what critics say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from spar_lightning.analysis.figures.parts import new_figure
from spar_lightning.analysis.study import Study
from spar_lightning.analysis.style import COLORS

BINS = 12


def q_gain(study: Study) -> Figure:
    """What critics expect of the residual, against its size.

    Q of the policy's action minus Q of the base's, at states of the data; a line is the median of states with residuals
    of that size, the band their quartiles. Left, the critics that the policy has followed: it gains there by
    construction. Right, critics that never guided it: they expect a gain of nearly every policy, so theirs
    says little by itself; where it falls as residuals grow, the policy has found errors of its own critics.
    """
    sizes, gains = study.sample.sizes, study.gains
    parts = [("Critics that guided the policy", gains.guiding)]
    if gains.checking is not None:
        parts.append(("Critics that did not", gains.checking))
    figure, panels = new_figure(3.6, ncols=len(parts), squeeze=False, sharex=True, sharey=True)
    for axes, (title, gain) in zip(panels[0], parts, strict=True):
        axes.scatter(sizes, gain, s=2, color="0.75", lw=0, rasterized=True)
        centers, low, middle, high = _quartiles(sizes, gain)
        axes.fill_between(centers, low, high, color=COLORS["policy"], alpha=0.25, lw=0)
        axes.plot(centers, middle, color=COLORS["policy"], lw=2)
        axes.axhline(0, color="black", lw=0.8)
        axes.set_title(f"{title}: {(gain > 0).mean():.0%} of states gain")
        axes.set_xlabel("size of the residual, of [-1, 1]")
    panels[0, 0].set_ylabel("Q gain over the base, discounted return")
    every = np.concatenate([gain for _, gain in parts])
    low, high = np.quantile(every, [0.002, 0.998])
    panels[0, 0].set_ylim(min(low, 0) - 0.05 * (high - low), max(high, 0) + 0.05 * (high - low) + 1e-9)
    panels[0, 0].set_xlim(0, max(np.quantile(sizes, 0.998) * 1.02, 1e-9))
    return figure


def _quartiles(sizes: npt.NDArray[np.floating], gains: npt.NDArray[np.floating]) -> list[npt.NDArray[np.floating]]:
    """Centres of bins with equally many states, and the quartiles of gains in each."""
    groups = np.array_split(np.argsort(sizes), min(BINS, len(sizes)))
    rows = [(np.median(sizes[group]), *np.quantile(gains[group], [0.25, 0.5, 0.75])) for group in groups]
    return list(np.array(rows).T)
