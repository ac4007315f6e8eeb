"""Jobs as tasks of a Ray cluster, or of Ray on this machine: each task starts a job's process on its node."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from spar_lightning.suite.engine import GRACE_S, ask_to_stop, start_process, thread_limits, wait_or_kill
from spar_lightning.suite.jobs import OUTPUT, Job
from spar_lightning.types import UserError

_STARTED = ".started"
"""A file in a job's folder while its process runs: a task may wait for room on a node before."""

_POLL_S = 0.5
_LOST = -9  # the status of what was killed


class RayTasks:
    """Tasks on the nodes of a cluster, which share the folder of the runs and have this package installed.

    Ray decides where each runs, by the cores and GPUs that are free.

    Args:
        address: of a cluster that runs; None starts one on this machine, which ends with this process.
        at_once: tasks that run together, at most.
        threads: that each computes with, and cores that are reserved for it.
        gpus: reserved for each, such as 0.5; without any, a process may see none.

    Raises:
        UserError: if Ray is not installed, or there is no cluster.
    """

    def __init__(self, address: str | None, at_once: int, threads: int, gpus: float = 0.0) -> None:
        self._ray = _import_ray()
        self.at_once, self._threads = at_once, threads
        self._tasks: dict[Any, Job] = {}
        try:
            if not self._ray.is_initialized():
                self._ray.init(
                    address=address or "local",
                    log_to_driver=False,
                    include_dashboard=False if address is None else None,
                    configure_logging=False,
                )
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"there is no Ray cluster at {address} ({reason}): start one with `ray start`") from error
        # What is lost with its node goes on from its checkpoints when the benchmark is started again.
        self._start = self._ray.remote(num_cpus=threads, num_gpus=gpus, max_retries=0)(run_on_node)

    def has_room(self) -> bool:
        """Whether fewer tasks were handed in than may be."""
        return len(self._tasks) < self.at_once

    def start(self, job: Job) -> None:
        """Hand a task in; Ray starts it where and when there is room."""
        (job.folder / _STARTED).unlink(missing_ok=True)
        arguments = job.arguments()
        self._tasks[self._start.remote(arguments, str(job.folder), self._threads)] = job

    def ended(self, timeout_s: float) -> list[tuple[Job, int]]:
        """Jobs whose tasks are over; of one that was lost with its node the status is -9."""
        if not self._tasks:
            return []
        ready, _ = self._ray.wait(list(self._tasks), num_returns=1, timeout=timeout_s)
        over = [(task, self._tasks.pop(task)) for task in ready]
        return [(job, self._status(task, job)) for task, job in over]

    def is_running(self, job: Job) -> bool:
        """Whether a node has taken it."""
        return (job.folder / _STARTED).is_file()

    def stop(self) -> None:
        """Cancel all tasks, which interrupts those that wait for their process."""
        for task in self._tasks:
            self._ray.cancel(task, force=False)
        deadline = time.monotonic() + GRACE_S
        while any(map(self.is_running, self._tasks.values())) and time.monotonic() < deadline:
            time.sleep(_POLL_S)

    def kill(self) -> None:
        """End all tasks and their processes."""
        for task in self._tasks:
            self._ray.cancel(task, force=True)

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        self._ray.shutdown()

    def _status(self, task: Any, job: Job) -> int:
        try:
            return int(self._ray.get(task))
        except self._ray.exceptions.RayError as error:
            with (job.folder / OUTPUT).open("a", encoding="utf-8") as log:
                log.write(f"error: its task was lost: {str(error).strip().splitlines()[0]}\n")
            return _LOST


def run_on_node(arguments: list[str], folder: str, threads: int) -> int:
    """Run a command line of this package on the node that this is called on; its exit status.

    Interrupted, as by `ray.cancel`, it lets the process stop where it can go on later.
    """
    place = Path(folder)
    node = importlib.import_module("ray").get_runtime_context().get_node_id()
    command = [sys.executable, "-m", "spar_lightning", *arguments]
    process = start_process(command, place, thread_limits(threads), note=f"on node {node}")
    started = place / _STARTED
    started.touch()
    try:
        while True:
            try:
                return process.wait(1.0)
            except subprocess.TimeoutExpired:
                continue
    except BaseException:  # such as the KeyboardInterrupt of a task that is cancelled
        ask_to_stop(process)
        wait_or_kill(process)
        raise
    finally:
        started.unlink(missing_ok=True)


def _import_ray() -> Any:
    """Ray.

    Raises:
        UserError: if it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise UserError(
            "`engine` is ray, which is not installed: pip install 'spar-lightning[sweep]', or take `--engine local`"
        ) from error
