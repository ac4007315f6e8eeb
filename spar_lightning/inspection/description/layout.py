"""Plain text within 100 columns: labelled lines, tables and histograms."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Sequence

from spar_lightning.inspection.description.episodes import Histogram

WIDTH = 100
_LABEL = 14
INDENT = _LABEL + 2  # of what stands right of a label
_BAR = "█"
_LONGEST_BAR = 50


def labelled(label: str, text: str) -> str:
    """A text after its label, wrapped to the width and indented to stay right of the label."""
    indent = " " * INDENT
    lines = textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join([f"  {label:<{_LABEL}}{lines[0].lstrip()}", *lines[1:]]) if lines else f"  {label}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], indent: int = INDENT) -> str:
    """Aligned columns, the first to the left and the others to the right; no trailing blanks."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = []
    for row in (head, *rows):
        first, *others = (
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append((" " * indent + "   ".join([first, *others])).rstrip())
    return "\n".join(lines)


def histogram(values: Histogram, indent: int = INDENT) -> str:
    """One line a bin, with a bar and the count; nothing for a single bin. What is not 0 has a bar, however short.

    >>> print(histogram(Histogram([5.0, 10.0, 15.0], [1, 2]), indent=0))
     5 to 10  █████████████████████████                           1
    10 to 15  ██████████████████████████████████████████████████  2
    """
    if len(values.counts) < 2:
        return ""
    labels = _bin_labels(values)
    label_width, most = max(map(len, labels)), max(values.counts)
    count_width = max(len(f"{count:,}") for count in values.counts)
    lines = []
    for label, count in zip(labels, values.counts, strict=True):
        bar = _BAR * math.ceil(_LONGEST_BAR * count / most)
        lines.append(f"{' ' * indent}{label:>{label_width}}  {bar:<{_LONGEST_BAR}}  {count:>{count_width},}")
    return "\n".join(lines)


def _bin_labels(values: Histogram) -> list[str]:
    if values.of_integers:
        return [number(edge + 0.5, 0) for edge in values.edges[:-1]]
    digits = _digits(values.edges[1] - values.edges[0])
    edges = [number(edge, digits) for edge in values.edges]
    width = max(map(len, edges))
    return [f"{low:>{width}} to {high:>{width}}" for low, high in itertools.pairwise(edges)]


def _digits(step: float) -> int:
    """Decimals with which numbers that are `step` apart differ."""
    return max(0, min(6, math.ceil(-math.log10(step)))) if step > 0 else 0


def number(value: float, digits: int | None = None) -> str:
    """A number with `digits` decimals, by default four significant digits; a dash for NaN.

    >>> number(3234.3), number(0.0), number(-0.0123), number(12.5), number(1.5e-7), number(math.nan)
    ('3,234', '0', '-0.0123', '12.5', '1.5e-07', '-')
    """
    if math.isnan(value):
        return "-"
    if digits is not None and abs(value) < 1e9:
        return f"{value + 0.0:,.{digits}f}"
    if value == 0 or abs(value) == math.inf:
        return f"{abs(value):g}" if value == 0 else f"{value:g}"
    if 1000 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def percent(share: float) -> str:
    """A share of 0 to 1; what is not nothing is not shown as 0, nor what is not all as 100.

    >>> percent(0.0), percent(0.0001), percent(0.123), percent(0.9999), percent(1.0), percent(math.nan)
    ('0%', '<0.1%', '12.3%', '>99.9%', '100%', '-')
    """
    if math.isnan(share):
        return "-"
    if share in (0, 1):
        return f"{share:.0%}"
    if share < 0.001:
        return "<0.1%"
    return ">99.9%" if share > 0.999 else f"{share:.1%}"
