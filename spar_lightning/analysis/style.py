"""How figures look: one colour for one thing everywhere."""

from __future__ import annotations

from typing import Any

COLORS = {
    "policy": "#0072b2",
    "base": "#7f7f7f",
    "fitted": "#56b4e9",
    "data": "#d9a441",
    "ablation": "#cc3311",
    "gradient": "#333333",
    "loss": "#b22222",
}
STYLE: Any = {
    "figure.dpi": 110,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "legend.fontsize": 9,
}
WIDTH = 10.0
"""Of a figure, in inches."""
