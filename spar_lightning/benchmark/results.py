"""From windows to numbers: rates, ratios, shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from spar_lightning.benchmark.measuring.gate import Window
from spar_lightning.benchmark.measuring.rounds import Measurement
from spar_lightning.benchmark.settings import Setting

PARTS = ("data", "step", "critic", "actor", "manifold", "targets", "optimizer", "sweeps", "logging", "loop")
OVERHEAD = ("data", "logging", "loop")
"""What a loop costs beyond the arithmetic of the algorithm."""

Result = dict[str, Any]


def result(measurement: Measurement, settings: Sequence[Setting]) -> Result:
    """All that was found of one of the settings, as plain values.

    Every rate includes the amortised share of the sweeps. Ratios and shares are taken within a round, and their
    medians over the rounds.
    """
    windows = measurement.windows
    rates = [1.0 / window.seconds_per_update for window in windows]
    ratios = {
        name: spread([rate * other.seconds_per_update for rate, other in zip(rates, theirs, strict=False)])
        for name, theirs in measurement.references.items()
    }
    found: Result = {
        "name": measurement.setting.name(settings),
        "setting": asdict(measurement.setting),
        "error": measurement.error,
        "peak_error": measurement.peak_error,
        "rounds": [_raw(window) for window in windows],
        "updates_per_second": spread(rates),
        "ratio_to_plain": ratios.get("plain"),
        "ratio_to_jax": ratios.get("jax_td3_bc"),
        "time_split": _split(measurement),
    }
    return found | _roofline(measurement, rates) | _memory(measurement)


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Median, extremes and quartiles; None of nothing.

    >>> spread([1.0, 2.0, 4.0])["median"]
    2.0
    """
    if not values:
        return None
    levels = {"median": 50, "min": 0, "max": 100, "lower_quartile": 25, "upper_quartile": 75}
    return {name: float(np.percentile(values, level)) for name, level in levels.items()}


def _raw(window: Window) -> Result:
    raw = asdict(window)
    del raw["parts"]
    return raw | {"updates_per_second": 1.0 / window.seconds_per_update}


def _split(measurement: Measurement) -> Result | None:
    """Microseconds an update by part, from a window of its own with a stopwatch attached."""
    split, windows = measurement.split, measurement.windows
    if split is None or split.parts is None or not windows:
        return None
    microseconds = {part: 1e6 * seconds / split.updates for part, seconds in split.parts.items()}
    sweeps = float(np.median([window.sweep_seconds / window.sweep_every for window in windows]))
    if sweeps > 0:
        microseconds["sweeps"] = 1e6 * sweeps
    total = sum(microseconds.values())
    overhead = sum(microseconds.get(part, 0.0) for part in OVERHEAD)
    return {
        "microseconds": microseconds,
        "percent": {part: 100.0 * value / total for part, value in microseconds.items()},
        "total_microseconds": total,
        "overhead_percent": 100.0 * overhead / total,
    }


def _roofline(measurement: Measurement, rates: Sequence[float]) -> Result:
    if measurement.finished is None:
        return {"flops_per_update": None, "gflops_per_second": None, "peak_gflops_per_second": None, "peak_share": None}
    flops = measurement.finished.flops_per_update
    best = [max(peak.values()) for peak in measurement.peaks]
    shares = [flops * rate / 1e9 / peak for rate, peak in zip(rates, best, strict=False)]
    layouts = measurement.peaks[0] if measurement.peaks else {}
    return {
        "flops_per_update": flops,
        "gflops_per_second": spread([flops * rate / 1e9 for rate in rates]),
        "peak_gflops_per_second": spread(best),
        "peak_by_layout": {name: spread([peak[name] for peak in measurement.peaks]) for name in layouts},
        "peak_share": spread(shares),
    }


def _memory(measurement: Measurement) -> Result:
    finished = measurement.finished
    names = ("memory_mb", "imports_mb", "device_memory_mb")
    return {name: None if finished is None else getattr(finished, name) for name in names}
