"""Results as aligned text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spar_lightning.benchmark.results import OVERHEAD, PARTS, Result

COLUMNS = (
    "contender",
    "updates/s",
    "[min, max]",
    "x plain",
    "[min, max]",
    "x jax",
    "[min, max]",
    "GFLOP/s",
    "peak",
    "share",
    "overhead",
    "MB",
)
_JAX = COLUMNS.index("x jax")


def speed_table(results: Sequence[Result]) -> str:
    """One line a setting, and what the columns mean."""
    measured = [result for result in results if result["updates_per_second"] is not None]
    rows = [COLUMNS, *(_row(result) for result in measured)]
    if all(result["ratio_to_jax"] is None for result in measured):
        rows = [(*row[:_JAX], *row[_JAX + 2 :]) for row in rows]
    lines = [*_aligned(rows), ""]
    lines += [f"  {result['name']}: {result['error']}" for result in results if result["error"] is not None]
    lines += [f"  {result['name']}, peak: {result['peak_error']}" for result in measured if result["peak_error"]]
    lines += [f"  {note}" for note in _notes(measured)]
    return "\n".join(lines)


def split_table(results: Sequence[Result]) -> str:
    """Microseconds an update and their share, by part, one line a setting."""
    splits = {result["name"]: result["time_split"] for result in results if result["time_split"] is not None}
    parts = [part for part in PARTS if any(part in split["microseconds"] for split in splits.values())]
    rows = [("us an update", *parts, "total")]
    for name, split in splits.items():
        rows.append((name, *(_part(split, part) for part in parts), f"{split['total_microseconds']:.0f}"))
    return "\n".join(_aligned(rows)) if splits else ""


def _row(result: Result) -> tuple[str, ...]:
    split = result["time_split"]
    return (
        result["name"],
        _middle(result["updates_per_second"], 0),
        _range(result["updates_per_second"], 0),
        _middle(result["ratio_to_plain"], 2),
        _range(result["ratio_to_plain"], 2),
        _middle(result["ratio_to_jax"], 2),
        _range(result["ratio_to_jax"], 2),
        _middle(result["gflops_per_second"], 1),
        _middle(result["peak_gflops_per_second"], 1),
        _percent(None if result["peak_share"] is None else 100 * result["peak_share"]["median"]),
        _percent(None if split is None else split["overhead_percent"]),
        "-" if result["memory_mb"] is None else f"{result['memory_mb']:.0f}",
    )


def _notes(results: Sequence[Result]) -> list[str]:
    notes = [
        "Median over rounds of windows that took turns; ratios and shares are medians of those within a round.",
        "GFLOP/s counts matrix products only; peak is the machine's fastest product of the hidden layers' shape.",
        f"Overhead is {', '.join(OVERHEAD)}: what is not the algorithm. MB is the largest resident size.",
    ]
    sweeps = {result["rounds"][0]["sweep_every"] for result in results if result["rounds"][0]["sweep_seconds"] > 0}
    if sweeps:
        every = ", ".join(f"{number:,}" for number in sorted(sweeps))
        notes.append(f"Sweeps of returns are timed by themselves, and a share of 1 in {every} updates is in the rate.")
    return notes


def _part(split: Result, part: str) -> str:
    if part not in split["microseconds"]:
        return "-"
    return f"{split['microseconds'][part]:.0f} {split['percent'][part]:3.0f}%"


def _middle(values: Any, digits: int) -> str:
    return "-" if values is None else f"{values['median']:,.{digits}f}"


def _range(values: Any, digits: int) -> str:
    return "-" if values is None else f"[{values['min']:,.{digits}f}, {values['max']:,.{digits}f}]"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}%"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first column to the left, the others to the right, with a rule below the head.

    >>> print("\\n".join(_aligned([("a", "b"), ("long", "1")])))
      a     b
      -------
      long  1
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        lines.append("  " + "  ".join(cells))
    return [lines[0], "  " + "-" * (len(lines[0]) - 2), *lines[1:]]
