"""Counts and times of a suite under way."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from spar_lightning.suite.jobs import Job, State
from spar_lightning.suite.progress import share_done


class Started(NamedTuple):
    """A job under way."""

    job: Job
    began: float
    share_before: float  # of its updates, from an earlier time


@dataclass
class Tally:
    """What runs, what is done, what failed, and how long the rest will take.

    Args:
        waiting: jobs to come.
        kept: runs that were finished before.
        at_once: jobs that run together.
    """

    waiting: list[Job]
    kept: int = 0
    at_once: int = 1
    started: dict[str, Started] = field(default_factory=dict)
    done: list[tuple[Job, float]] = field(default_factory=list)
    failed: list[tuple[Job, str]] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Runs of the suite, those that were finished before included."""
        running = [started.job for started in self.started.values()]
        over = [job for job, _ in self.done] + [job for job, _ in self.failed]
        return self.kept + sum(len(job.runs) for job in (*self.waiting, *running, *over))

    @property
    def finished(self) -> int:
        """Runs that are done, those of before included."""
        return self.kept + sum(len(job.runs) for job, _ in self.done)

    def begin(self, job: Job) -> None:
        """A job was started."""
        self.waiting.remove(job)
        self.started[job.name] = Started(job, time.monotonic(), share_done(job.runs[0]))

    def seconds(self, job: Job) -> float:
        """That a job has been under way."""
        return time.monotonic() - self.started[job.name].began

    def end(self, job: Job, failure: str | None) -> float:
        """A job is over; the seconds it took."""
        seconds = time.monotonic() - self.started.pop(job.name).began
        if failure is None:
            self.done.append((job, seconds))
        else:
            self.failed.append((job, failure))
        return seconds

    def left_s(self) -> float | None:
        """Seconds until the end, None where nothing tells yet.

        A job is expected to take what jobs of its method took, or any, or what its own progress says; one that goes on,
        its part of that.
        """
        took: dict[str, list[float]] = defaultdict(list)
        for job, seconds in self.done:
            if job.state is State.NEW:
                took[job.runs[0].label].append(seconds)
                took[""].append(seconds)
        running = 0.0
        for job, began, before in self.started.values():
            elapsed, gained = time.monotonic() - began, share_done(job.runs[0]) - before
            known = took.get(job.runs[0].label)
            if known:
                running += max(0.0, _mean(known) * (1.0 - before) - elapsed)
            elif gained > 0.05:
                whole = elapsed / gained
                took[""].append(whole)
                running += whole * (1.0 - before) - elapsed
            elif took[""]:
                running += max(0.0, _mean(took[""]) * (1.0 - before) - elapsed)
        if not took[""]:
            return None
        waiting = sum(_mean(took.get(job.runs[0].label) or took[""]) for job in self.waiting)
        return (running + waiting) / max(1, min(self.at_once, len(self.started) + len(self.waiting)))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
