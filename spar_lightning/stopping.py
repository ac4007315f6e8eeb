"""SIGINT, SIGTERM and Ctrl-Break of Windows: a run stops where nothing of it is lost."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

if sys.platform == "win32":
    # A process cannot be sent SIGTERM there: it is ended at once. Ctrl-Break is what another process can ask with.
    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGBREAK)
else:
    SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """A signal has stopped the run; no Exception, so that nothing takes it for an error to be handled.

    Args:
        number: of the signal.
        advice: how to go on.
    """

    def __init__(self, number: int, advice: str = "") -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}{advice}")
        self.number = number


class StopRequest:
    """What signals ask of this process.

    A signal raises `Stopped` at once, unless stopping is deferred: then whoever defers it looks at `asked` where
    nothing is half done. A second signal is not deferred.
    """

    def __init__(self) -> None:
        self.deferred = False
        self.number: int | None = None  # of the last signal
        self._listens = False
        self._is_common = False  # several threads are to hear the same
        self._decided = False

    @property
    def asked(self) -> bool:
        """Whether there was a signal; where several threads train, before they last met."""
        return self._decided if self._is_common else self.number is not None

    def decide(self) -> None:
        """Let all threads hear the same from here on."""
        self._decided = self.number is not None

    def stop(self) -> None:
        """End what is under way, as the signal has asked, or as another process was asked to."""
        raise Stopped(self.number or signal.SIGTERM)

    @contextmanager
    def listening(self, is_common: bool = False) -> Generator[None]:
        """Handle the signals in a block, and leave them as they were.

        Args:
            is_common: several threads train: what they are asked is settled where someone calls `decide`.
        """
        before = [(number, signal.getsignal(number)) for number in SIGNALS]
        self.number, self._listens = None, True
        self._is_common, self._decided = is_common, False
        self.listen()
        try:
            yield
        finally:
            self._listens = self.deferred = self._is_common = self._decided = False
            self.number = None  # what comes after in this process was not asked to stop
            if _in_main_thread():
                for number, handler in before:
                    signal.signal(number, handler)

    def listen(self) -> None:
        """Handle the signals again, where others have set handlers within the block."""
        if self._listens and _in_main_thread():
            for number in SIGNALS:
                signal.signal(number, self._handle)

    @contextmanager
    def at_once(self, allowed: bool = True) -> Generator[None]:
        """A block that may be left anywhere, however long it takes: stopping is not deferred in it.

        Args:
            allowed: False changes nothing.
        """
        if not allowed:
            yield
            return
        deferred, self.deferred = self.deferred, False
        try:
            if self.asked:
                self.stop()
            yield
        finally:
            self.deferred = deferred

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        again, self.number = self.number is not None, number
        if again or not self.deferred:
            self.stop()


STOP = StopRequest()
"""Of this process: its signals are one, too."""


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
