"""Exclusive times: how long each part of a loop takes, without the parts called inside it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

REST = "loop"
"""The part that everything belongs to which no watched function does."""


class Watched(NamedTuple):
    """A function of a running loop, and the part that its own time belongs to."""

    owner: Any  # an object, a class, or a list of iterators
    name: str | int  # of a method, or the index of an iterator in the list
    part: str | None  # None: its first argument names the part


class Stopwatch:
    """Books every moment between `start` and `stop` on exactly one part, so that the parts add up to the whole.

    Args:
        clock: seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._clock = clock
        self._parts: list[str] = []
        self._since = 0.0

    def start(self) -> None:
        """Begin, in the rest."""
        self._parts, self._since = [REST], self._clock()

    def stop(self) -> dict[str, float]:
        """End; seconds by part."""
        self._book()
        self._parts = []
        return dict(self.seconds)

    def wrap(self, function: Callable[..., Any], part: str | None) -> Callable[..., Any]:
        """The function, with its own time booked on a part while the watch runs; None as in `Watched`."""

        def timed(*arguments: Any, **keywords: Any) -> Any:
            if not self._parts:
                return function(*arguments, **keywords)
            self._book()
            self._parts.append(arguments[0] if part is None else part)
            try:
                return function(*arguments, **keywords)
            finally:
                if self._parts:  # it may have been stopped inside
                    self._book()
                    self._parts.pop()

        return timed

    def _book(self) -> None:
        now = self._clock()
        self.seconds[self._parts[-1]] += now - self._since
        self._since = now


@contextmanager
def attached(stopwatch: Stopwatch, watched: Iterable[Watched]) -> Iterator[None]:
    """Put the watch around functions, and take it off again; what an owner does not have is left out."""
    with ExitStack() as restoring:
        for owner, name, part in watched:
            if isinstance(name, int):
                restoring.callback(owner.__setitem__, name, owner[name])
                owner[name] = _TimedIterator(stopwatch.wrap(owner[name].__next__, part))
            elif callable(getattr(owner, name, None)):
                restoring.callback(_restore, owner, name, vars(owner).get(name))
                setattr(owner, name, stopwatch.wrap(getattr(owner, name), part))
        yield


def _restore(owner: Any, name: str, own: Any) -> None:
    if own is None:
        delattr(owner, name)  # the class's shows again
    else:
        setattr(owner, name, own)


class _TimedIterator:
    def __init__(self, following: Callable[[], Any]) -> None:
        self._following = following

    def __iter__(self) -> _TimedIterator:
        return self

    def __next__(self) -> Any:
        return self._following()
