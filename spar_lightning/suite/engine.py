"""What starts jobs: on this machine here, on a cluster elsewhere."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from spar_lightning.suite.jobs import OUTPUT, Job

GRACE_S = 600.0
"""How long a run that was asked to stop may take: it ends its update and writes a checkpoint."""

_POLL_S = 0.2


class Engine(Protocol):
    """Runs jobs, several at once."""

    def has_room(self) -> bool:
        """Whether another job may be started."""
        ...

    def start(self, job: Job) -> None:
        """Start a job, whose folders are made."""
        ...

    def ended(self, timeout_s: float) -> list[tuple[Job, int]]:
        """The jobs that ended since the last call, with their exit status; waits for one, so long at most."""
        ...

    def is_running(self, job: Job) -> bool:
        """Whether a job that was started runs by now: an engine may let it wait for room."""
        ...

    def stop(self) -> None:
        """Ask all to stop as by SIGTERM, so that they can go on later, and wait for them."""
        ...

    def kill(self) -> None:
        """End all at once."""
        ...

    def close(self) -> None:
        """Give back what was taken, when no job runs any more."""
        ...


class LocalProcesses:
    """Processes on this machine.

    Args:
        at_once: of them.
        threads: that each computes with.
    """

    def __init__(self, at_once: int, threads: int) -> None:
        self.at_once, self.threads = at_once, threads
        self._running: list[tuple[Job, subprocess.Popen[bytes]]] = []

    def has_room(self) -> bool:
        """Whether fewer run than may."""
        return len(self._running) < self.at_once

    def start(self, job: Job) -> None:
        """Start its process."""
        self._running.append((job, start_process(job.command(), job.folder, thread_limits(self.threads))))

    def ended(self, timeout_s: float) -> list[tuple[Job, int]]:
        """Jobs whose processes are over."""
        deadline = time.monotonic() + timeout_s
        while True:
            over = [(job, process) for job, process in self._running if process.poll() is not None]
            if over or time.monotonic() >= deadline:
                break
            time.sleep(_POLL_S)
        self._running = [(job, process) for job, process in self._running if process.returncode is None]
        return [(job, process.returncode) for job, process in over]

    def is_running(self, job: Job) -> bool:
        """Always: a job is started when there is room."""
        return any(running is job for running, _ in self._running)

    def stop(self) -> None:
        """SIGTERM."""
        processes = [process for _, process in self._running]
        for process in processes:
            ask_to_stop(process)
        for process in processes:
            wait_or_kill(process)

    def kill(self) -> None:
        """SIGKILL."""
        for _, process in self._running:
            process.kill()
            process.wait()

    def close(self) -> None:
        """Nothing was taken."""


def thread_limits(threads: int) -> dict[str, str]:
    """Environment variables with which libraries compute with so many threads."""
    return {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


def start_process(
    command: list[str], folder: Path, environment: Mapping[str, str], note: str = ""
) -> subprocess.Popen[bytes]:
    """Start a process that writes what it prints to the folder's log, after what is there.

    It has a session of its own: Ctrl-C at a terminal reaches only whoever started it, and is handed on once.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / OUTPUT).open("ab") as log:
        log.write(f"$ {shlex.join(command)} {note}".rstrip().encode() + b"\n")
        log.flush()
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,  # Windows has none, but groups
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )


def ask_to_stop(process: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM, or Ctrl-Break on Windows, where SIGTERM would end it at once."""
    if sys.platform == "win32":
        process.send_signal(signal.CTRL_BREAK_EVENT)
    else:
        process.send_signal(signal.SIGTERM)


def wait_or_kill(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process that was asked to stop; the exit status."""
    try:
        return process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
