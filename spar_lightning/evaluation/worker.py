"""A process that works for this one, and ends with it."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any


class Worker:
    """A process with a pipe to it, which ends with this one, however it ends.

    It is spawned, not forked, since torch has threads: it imports everything anew, and a script that uses it needs
    `if __name__ == "__main__":`.

    Args:
        target: runs in the process, with the other end of the pipe as its first argument; it is pickled.
        arguments: the target's others, likewise.
    """

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_run, args=(theirs, target, *arguments), daemon=True)
        self.process.start()
        theirs.close()  # so that the end of the process is the end of the line

    def ended(self, patience: float) -> str:
        """How it has ended, after waiting so many seconds for that."""
        self.process.join(timeout=patience)
        return f"ended with exit code {self.process.exitcode}"

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self.connection.close()
        self.process.kill()  # it has nothing to lose
        self.process.join()


def _run(connection: Connection, target: Callable[..., None], *arguments: Any) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    target(connection, *arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
