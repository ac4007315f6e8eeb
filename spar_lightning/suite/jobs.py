"""What is left to do of a run, and the processes that do it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import psutil

from spar_lightning.report.documents import RECORD
from spar_lightning.suite.runs import Run, fit_arguments
from spar_lightning.types import UserError
from spar_lightning.whole_file import write_text

OUTPUT = "output.log"
"""What a run has printed."""


class State(Enum):
    """How far a run is."""

    NEW = "to do"
    INTERRUPTED = "to go on"
    FINISHED = "done"


@dataclass(frozen=True)
class Job:
    """One process: a run, or several seeds of one experiment."""

    runs: tuple[Run, ...]
    state: State

    @property
    def folder(self) -> Path:
        """Where its output goes: its first run's, since several jobs may share the folder above."""
        return self.runs[0].folder

    @property
    def name(self) -> str:
        """In a line."""
        first = self.runs[0]
        return first.name if len(self.runs) == 1 else f"{first.name} to {self.runs[-1].seed}"

    @property
    def is_ready(self) -> bool:
        """Whether what it begins with is there, or it goes on from a checkpoint of its own."""
        if self.state is State.INTERRUPTED and (self.folder / "checkpoints" / "last.ckpt").is_file():
            return True
        return all(run.beginning is None or run.beginning.is_there for run in self.runs)

    def arguments(self) -> list[str]:
        """Of `python -m spar_lightning`."""
        run = self.runs[0]
        if self.state is State.INTERRUPTED:
            allowed = [part for module in run.modules for part in ("--allow_module", module)]
            return ["fit", "--resume", str(run.folder), *allowed]
        together = len(self.runs) > 1  # in folders seed_<n> of the one that is named
        several = ["--num_seeds", str(len(self.runs))] if together else []
        quiet = ["--trainer.enable_progress_bar", "false"]
        own = ["--seed_everything", str(run.seed), "--run_dir", str(run.folder.parent if together else run.folder)]
        beginning = [] if run.beginning is None else run.beginning.arguments()
        return ["fit", *fit_arguments(run.settings), *beginning, *quiet, *several, *own]

    def command(self) -> list[str]:
        """The process."""
        return [sys.executable, "-m", "spar_lightning", *self.arguments()]


def state_of(run: Run) -> State:
    """How far a run is, from its folder.

    Raises:
        UserError: if the folder holds another run.
    """
    if not run.folder.is_dir() or not any(run.folder.iterdir()):
        return State.NEW
    _check_record(run)
    if (run.folder / "results.json").is_file():
        return State.FINISHED
    return State.INTERRUPTED if (run.folder / "config.yaml").is_file() else State.NEW


def _check_record(run: Run) -> None:
    path = run.folder / RECORD
    try:
        found = _options(json.loads(path.read_text(encoding="utf-8"))["arguments"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"{run.folder} holds files, and no {RECORD} that says of which run: name another `out`, or remove them"
        ) from None
    expected = _options(run.record()["arguments"])
    if found != expected:
        old, new = (_differing(one, other) for one, other in ((found, expected), (expected, found)))
        raise UserError(
            f"{run.folder} was run with other settings ({old or 'without'}, now {new or 'without'}): name another"
            " `out`, or remove it"
        )


def _options(arguments: Sequence[str]) -> dict[str, list[str]]:
    """Values by name: the order of names says nothing, that of several `--config` does."""
    options: dict[str, list[str]] = {}
    for name, value in zip(arguments[::2], arguments[1::2], strict=True):
        options.setdefault(name, []).append(value)
    return options


def _differing(options: Mapping[str, list[str]], others: Mapping[str, list[str]]) -> str:
    pairs = [(name, value) for name, values in options.items() if values != others.get(name) for value in values]
    return " ".join(f"{name} {value}" for name, value in pairs)


def jobs_of(runs: Sequence[Run], states: Sequence[State], num_seeds: int = 1) -> list[Job]:
    """The jobs of what is not finished: interrupted runs first, each by itself, then new ones.

    Args:
        runs: of a suite.
        states: of each.
        num_seeds: new runs that differ in nothing but consecutive seeds share a process, so many of them, unless they
            begin with what others have made.
    """
    by_run = list(zip(runs, states, strict=True))
    jobs = [Job((run,), State.INTERRUPTED) for run, state in by_run if state is State.INTERRUPTED]
    new = [run for run, state in by_run if state is State.NEW]
    if num_seeds == 1:
        return jobs + [Job((run,), State.NEW) for run in new]
    groups: dict[Path, list[Run]] = {}
    for run in new:
        groups.setdefault(run.folder.parent if run.beginning is None else run.folder, []).append(run)
    return jobs + [Job(chunk, State.NEW) for group in groups.values() for chunk in _chunks(group, num_seeds)]


def _chunks(group: list[Run], size: int) -> Iterator[tuple[Run, ...]]:
    """Runs of consecutive seeds, at most `size` of them together."""
    chunk: list[Run] = []
    for run in sorted(group, key=lambda run: run.seed):
        if chunk and (len(chunk) == size or run.seed != chunk[-1].seed + 1):
            yield tuple(chunk)
            chunk = []
        chunk.append(run)
    yield tuple(chunk)


def still_running(jobs: Sequence[Job]) -> list[int]:
    """Processes of this machine that train in the folders of these jobs, as their command lines say.

    A benchmark that is killed leaves them behind.
    """
    folders = {place for job in jobs for run in job.runs for place in (run.folder, run.folder.parent)}
    named = {str(place) for place in folders}
    processes = psutil.process_iter(["cmdline"])
    lines = [(process.pid, process.info["cmdline"] or []) for process in processes]
    return [number for number, line in lines if named.intersection(line) and "fit" in line]


def prepare(job: Job) -> None:
    """Make a job's folders, with what they are of; of a run that starts anew, nothing else stays.

    Raises:
        OSError: if they cannot be written.
    """
    for run in job.runs:
        if job.state is State.NEW and run.folder.is_dir():
            shutil.rmtree(run.folder)  # it was the same run, and ended before it had a configuration
        run.folder.mkdir(parents=True, exist_ok=True)
        write_text(run.folder / RECORD, json.dumps(run.record(), indent=2) + "\n")
