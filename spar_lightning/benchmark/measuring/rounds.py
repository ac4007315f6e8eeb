"""Windows of all contenders in turn, so that the machine's noise hits all alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from spar_lightning.benchmark.measuring.child import Child, ChildError, Finished, run_contender, run_peak
from spar_lightning.benchmark.measuring.gate import Window
from spar_lightning.benchmark.measuring.peak import Rates, Shape
from spar_lightning.benchmark.settings import REFERENCES, Setting

_SPLITS = 3
"""Windows with a stopwatch, of which the fastest is shown."""

Report = Callable[[str], None]


@dataclass
class Measurement:
    """What was found of one setting; round i of all that ran together was measured within the same seconds."""

    setting: Setting
    windows: list[Window] = field(default_factory=list)
    peaks: list[Rates] = field(default_factory=list)  # of the same rounds, up to the one in which the peak failed
    references: dict[str, list[Window]] = field(default_factory=dict)  # of the same rounds, by contender
    split: Window | None = None
    finished: Finished | None = None
    error: str | None = None
    peak_error: str | None = None


def measure(
    settings: Sequence[Setting], repeats: int, warmup: int, window: int, at_once: int, report: Report
) -> Iterator[list[Measurement]]:
    """Measure all settings, in groups of processes that are alive together; one of them computes at a time.

    Args:
        settings: each is measured once; a reference is measured anew in every group that needs it.
        repeats: rounds of windows.
        warmup: updates before the first window.
        window: updates a window.
        at_once: largest number of contenders in a group.
        report: is told what happens.

    Yields:
        After every group, all that has been measured by then, in the order of the settings.
    """
    found: dict[Setting, Measurement] = {}
    for group in groups(settings, at_once):
        for measurement in _measure_group(group, repeats, warmup, window, report):
            found.setdefault(measurement.setting, measurement)
        yield [found[setting] for setting in settings if setting in found]


def groups(settings: Sequence[Setting], at_once: int) -> Iterator[list[Setting]]:
    """Cut the settings into groups of a size, each with the references of all its members, which may enlarge it."""
    others = [setting for setting in settings if setting.contender not in REFERENCES]
    if not others:
        others = list(settings)
    known = set(settings)
    used: set[Setting] = set()
    for start in range(0, len(others), at_once):
        members = others[start : start + at_once]
        wanted = [reference for member in members for reference in member.references.values()]
        references = dict.fromkeys(reference for reference in wanted if reference in known)
        used |= {*members, *references}
        yield list(dict.fromkeys([*members, *references]))
    if left := [setting for setting in settings if setting not in used]:
        yield left


def _measure_group(group: list[Setting], repeats: int, warmup: int, window: int, report: Report) -> list[Measurement]:
    measurements = {setting: Measurement(setting) for setting in group}
    children: dict[Setting, Child] = {}
    peaks: dict[int, Child] = {}
    try:
        for threads in dict.fromkeys(setting.threads for setting in group):
            shapes = dict.fromkeys(shape(setting) for setting in group if setting.threads == threads)
            peaks[threads] = Child(run_peak, threads, list(shapes), group[0].accelerator)
        for setting in group:
            children[setting] = Child(run_contender, setting.threads, setting, warmup, window)
        _begin_peaks(measurements, peaks)
        for setting, child in children.items():
            report(f"warming up {setting.name(group)}")
            _attempt(measurements[setting], partial(child.ask, "begin"))
        _run_rounds(measurements, children, peaks, repeats, report)
        report("splitting times")
        for setting in group * _SPLITS:
            _split(measurements[setting], children[setting])
        for setting, child in children.items():
            measurements[setting].finished = _attempt(measurements[setting], partial(child.ask, "stop"))
    finally:
        for child in (*children.values(), *peaks.values()):
            child.end()
    for measurement in measurements.values():
        for name, reference in measurement.setting.references.items():
            if reference in measurements:
                measurement.references[name] = measurements[reference].windows
    return list(measurements.values())


def _run_rounds(
    measurements: dict[Setting, Measurement],
    children: dict[Setting, Child],
    peaks: dict[int, Child],
    repeats: int,
    report: Report,
) -> None:
    for number in range(repeats):
        report(f"round {number + 1} of {repeats}")
        rates = {threads: _ask_peak(measurements, threads, child, "window") for threads, child in peaks.items()}
        order = list(children)
        start = number % len(order)
        for setting in order[start:] + order[:start]:  # nobody always follows the same one
            measurement = measurements[setting]
            window = _attempt(measurement, partial(children[setting].ask, "window"))
            if window is not None:
                measurement.windows.append(window)
                if shape(setting) in rates[setting.threads]:
                    measurement.peaks.append(rates[setting.threads][shape(setting)])


def _begin_peaks(measurements: dict[Setting, Measurement], peaks: dict[int, Child]) -> None:
    for threads, child in peaks.items():
        errors = _ask_peak(measurements, threads, child, "begin")
        for setting, measurement in measurements.items():
            if setting.threads == threads and shape(setting) in errors:
                measurement.peak_error = errors[shape(setting)]


def _ask_peak(measurements: dict[Setting, Measurement], threads: int, child: Child, command: str) -> dict[Shape, Any]:
    """An answer by shape, or nothing from a peak that has failed: the contenders go on without it."""
    members = [found for setting, found in measurements.items() if setting.threads == threads]
    waiting = [member for member in members if member.peak_error is None]
    try:
        answer: dict[Shape, Any] = child.ask(command) if waiting else {}
    except ChildError as error:
        for member in waiting:
            member.peak_error = str(error)
        return {}
    return answer


def _split(measurement: Measurement, child: Child) -> None:
    """Run a window with a stopwatch; the one that was disturbed least is kept."""
    split, best = _attempt(measurement, partial(child.ask, "split")), measurement.split
    if split is not None and (best is None or split.seconds_per_update < best.seconds_per_update):
        measurement.split = split


def _attempt(measurement: Measurement, ask: Callable[[], Any]) -> Any:
    """An answer, or None from a child that has failed: the others go on."""
    if measurement.error is not None:
        return None
    try:
        return ask()
    except ChildError as error:
        measurement.error = str(error)
        return None


def shape(setting: Setting) -> Shape:
    """Of a setting's hidden layers."""
    return Shape(setting.precision, setting.batch_size, setting.hidden_dim)
