"""The figures by name, in the order of a page; each function's first line is its title, the rest how to read it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

from matplotlib.figure import Figure

from spar_lightning.analysis.figures.residuals import (
    residual_correlation,
    residual_in_time,
    residual_size,
    where_it_departs,
)
from spar_lightning.analysis.figures.rollouts import critic_against_returns, residual_scale, start_states
from spar_lightning.analysis.figures.support import data_distance, support, update_parts
from spar_lightning.analysis.figures.training import learning_curves, residual_growth, several_seeds
from spar_lightning.analysis.figures.values import q_gain
from spar_lightning.analysis.study import Study

DrawsFigure = Callable[[Study], Figure]

FIGURES: Mapping[str, DrawsFigure] = {
    function.__name__: function
    for function in (
        learning_curves,
        several_seeds,
        start_states,
        residual_scale,
        residual_size,
        residual_growth,
        residual_correlation,
        residual_in_time,
        where_it_departs,
        q_gain,
        critic_against_returns,
        update_parts,
        data_distance,
        support,
    )
}


def title(name: str) -> str:
    """Of a figure."""
    return _lines(name)[0].removesuffix(".")


def reading(name: str) -> str:
    """How to read a figure."""
    return " ".join(line.strip() for line in _lines(name)[1:] if line.strip())


def _lines(name: str) -> list[str]:
    return (inspect.getdoc(FIGURES[name]) or name).splitlines()
