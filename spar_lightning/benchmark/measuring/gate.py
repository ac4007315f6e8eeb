"""Where a loop passes after every update, and stands still until it is told to go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

import torch
from torch.utils.flop_counter import FlopCounterMode

from spar_lightning.benchmark.measuring.stopwatch import Stopwatch, Watched, attached


@dataclass(frozen=True)
class Loop:
    """What a running loop shows of itself."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    watched: Callable[[], Sequence[Watched]] = tuple  # asked for while the loop runs
    sweep: Callable[[], object] | None = None  # work that is due now and then, kept out of the windows
    sweep_every: int = 1  # updates


class Gate:
    """Counts updates; a subclass says what happens when."""

    def __init__(self) -> None:
        self.loop = Loop()

    def meet(self, loop: Loop) -> None:
        """Get to know the loop, before its first update."""
        self.loop = loop

    def passed(self, updates: int) -> bool:
        """Called after each update, or several, with the number made so far; returns whether to go on."""
        raise NotImplementedError


class FlopGate(Gate):
    """Counts the floating-point operations of matrix products over a whole cycle of updates, then ends the loop.

    Args:
        skip: calls before the count, which may do more than the others.
        cycle: calls counted; an even number holds as many actor updates as a long run, where they are every second.
    """

    def __init__(self, skip: int = 2, cycle: int = 4) -> None:
        super().__init__()
        self.per_update = 0.0
        self._bounds = skip, skip + cycle
        self._calls = 0
        self._first = 0
        self._counter = FlopCounterMode(display=False)

    def passed(self, updates: int) -> bool:
        """Begin, end, or wait."""
        self._calls += 1
        if self._calls == self._bounds[0]:
            self._first = updates
            self._counter.__enter__()  # type: ignore[no-untyped-call]
        if self._calls < self._bounds[1]:
            return True
        self._counter.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        self.per_update = self._counter.get_total_flops() / (updates - self._first)
        return False


@dataclass(frozen=True)
class Window:
    """A stretch of updates, timed between two ends that wait for the device."""

    updates: int
    seconds: float
    sweep_seconds: float = 0.0  # of one sweep, measured right after
    sweep_every: int = 1  # updates
    parts: dict[str, float] | None = None  # seconds, where a stopwatch was attached

    @property
    def seconds_per_update(self) -> float:
        """With the sweeps' share."""
        return self.seconds / self.updates + self.sweep_seconds / self.sweep_every


class WindowGate(Gate):
    """Runs windows of updates when told to, and reports each; stands still in between.

    It understands `window`, `split` (a window with a stopwatch attached) and `stop`, and says `ready` once warm.

    Args:
        connection: to whoever tells.
        warmup: updates before the first window.
        window: updates a window, at least.
    """

    def __init__(self, connection: Connection, warmup: int, window: int) -> None:
        super().__init__()
        self._connection = connection
        self._window = window
        self._end = warmup
        self._first = 0
        self._began: float | None = None
        self._watch: Stopwatch | None = None

    def passed(self, updates: int) -> bool:
        """Go on within a window; at its end report, and wait for the next."""
        if updates < self._end:
            return True
        self._connection.send("ready" if self._began is None else self._finished(updates))
        return self._told(updates)

    def _finished(self, updates: int) -> Window:
        synchronize(self.loop.device)
        assert self._began is not None
        seconds, made = time.perf_counter() - self._began, updates - self._first
        if self._watch is not None:
            parts, self._watch = self._watch.stop(), None
            self._attached.__exit__(None, None, None)
            return Window(made, seconds, parts=parts)
        return Window(made, seconds, self._sweep_seconds(), self.loop.sweep_every)

    def _told(self, updates: int) -> bool:
        command = self._connection.recv()
        if command == "stop":
            return False
        self._first, self._end = updates, updates + self._window
        if command == "split":
            self._watch = Stopwatch()
            self._attached = attached(self._watch, self.loop.watched())
            self._attached.__enter__()
            self._watch.start()
        synchronize(self.loop.device)
        self._began = time.perf_counter()
        return True

    def _sweep_seconds(self) -> float:
        if self.loop.sweep is None:
            return 0.0
        began = time.perf_counter()
        self.loop.sweep()
        synchronize(self.loop.device)
        return time.perf_counter() - began


class SharedGate(Gate):
    """The gate of trainings that go in step, each in a thread; it is passed when all of them have met.

    Args:
        gate: that is asked; nothing is watched in it, since several threads work at once.
        count: number of trainings; each one's updates count.
    """

    def __init__(self, gate: Gate, count: int) -> None:
        super().__init__()
        self._gate, self._count = gate, count
        self._lock = threading.Lock()
        self._is_met, self._goes_on = False, True
        self._updates = 0

    def meet(self, loop: Loop) -> None:
        """Get to know the loop of whoever comes first."""
        with self._lock:
            if not self._is_met:
                self._gate.meet(Loop(loop.device, sweep=loop.sweep, sweep_every=loop.sweep_every))
            self._is_met = True

    def passed(self, updates: int) -> bool:
        """What was decided for all, at their last meeting."""
        self._updates = updates
        return self._goes_on

    def decide(self) -> None:
        """Ask, while all trainings wait: then they end at the same update."""
        if self._is_met and self._goes_on:
            self._goes_on = self._gate.passed(self._updates * self._count)


def synchronize(device: torch.device) -> None:
    """Wait until an accelerator has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
