"""The command `benchmark`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from spar_lightning.given_path import given_path
from spar_lightning.suite.board import Board
from spar_lightning.suite.engine import Engine, LocalProcesses
from spar_lightning.suite.jobs import Job, State, jobs_of, state_of, still_running
from spar_lightning.suite.missing import fetch, missing
from spar_lightning.suite.running import run_jobs
from spar_lightning.suite.runs import Refusal, Run, check_imports, check_settings, plan
from spar_lightning.suite.suite_file import find_suite, read_suite
from spar_lightning.suite.tally import Tally
from spar_lightning.types import UserError

FAILED = 1
"""Exit status where some runs failed."""


def benchmark(
    suite: str,
    out: str | None = None,
    at_once: int = 1,
    threads: int | None = None,
    num_seeds: int = 1,
    engine: str = "auto",
    address: str | None = None,
    gpus: float = 0.0,
    data_sets: list[str] | None = None,
    methods: list[str] | None = None,
    settings: list[str] | None = None,
    allow_module: list[str] | None = None,
    dry_run: bool = False,
    *,
    refusal: Refusal | None = None,
) -> None:
    """Run a suite: methods x data sets x settings x seeds, each in a process of its own; `bench` measures speed.

    Each run has a folder of its own, too. The same command goes on where it was stopped: finished runs are kept,
    interrupted and failed ones continue from their last checkpoint. A run that fails is told of and does
    not stop the rest. Scores are those of the last policy over 100 episodes, of which every return is kept. `report`
    shows what it all came to.

    Args:
        suite: path of a YAML, or the name of one of the package's.
        out: folder for the runs; `runs/<name of the suite>` by default.
        at_once: processes that run together.
        threads: that each computes with; by default this machine's cores, shared among them.
        num_seeds: new runs that differ in their seed only share a process, so many of them: for a GPU.
        engine: `local` for processes of this machine, `ray` for a cluster, or Ray on this machine; `auto` is `ray`
            where an address is given.
        address: of a Ray cluster, such as `auto` or `ray://head:10001`; its nodes share the folder of the runs.
        gpus: that Ray reserves for each process, such as 0.5; without any, a process may see none.
        data_sets: run only these of the suite.
        methods: run only these.
        settings: run only these.
        allow_module: modules of your own that the suite may name algorithms or environments of: their code runs. On
            a command line it may be given repeatedly.
        dry_run: run nothing; show the commands, and what is missing here.
        refusal: tells what is wrong with a command line of `fit`, so that no run starts where one has such settings.

    Raises:
        UserError: if the suite is none, a folder holds something else, or nothing can be started.
    """
    if min(at_once, num_seeds) < 1 or (threads is not None and threads < 1) or gpus < 0:
        raise UserError(
            f"at_once is {at_once}, num_seeds {num_seeds}, threads {threads}, gpus {gpus}: expected at least 1 of each,"
            " and of gpus 0"
        )
    _check_engine(engine, address, gpus)
    found = read_suite(find_suite(suite))
    folder = (Path("runs") / found.name if out is None else given_path(out)).absolute()
    only = {"data_sets": data_sets, "methods": methods, "settings": settings}
    runs = plan(found, folder, {part: names for part, names in only.items() if names is not None})
    check_imports(runs, allow_module or ())
    states = [state_of(run) for run in runs]
    jobs = jobs_of(runs, states, num_seeds)
    _check_beginnings(jobs, runs)
    if refusal is not None:
        check_settings([run for job in jobs for run in job.runs], refusal)
    if dry_run:
        _show(found.note, runs, states, jobs)
        return
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            jobs = jobs_of(runs, [state_of(run) for run in runs], num_seeds)  # another may have run until now
            tally = Tally(list(jobs), kept=len(runs) - sum(len(job.runs) for job in jobs), at_once=at_once)
            if jobs:
                _check_alone(jobs)
                _fetch(jobs)
                run_jobs(tally, chosen := _engine(engine, address, at_once, threads, gpus), Board(tally, chosen))
    except Timeout:
        raise UserError(f"another benchmark runs in {folder}: wait for it, or name another `out`") from None
    _tell_end(tally, folder)


def _check_engine(name: str, address: str | None, gpus: float) -> None:
    if name not in ("auto", "local", "ray"):
        raise UserError(f"`engine` is {name}, expected auto, local or ray")
    if name == "local" and address is not None:
        raise UserError("`engine` is local and an `address` is given: leave one of them out")
    if gpus and not _is_ray(name, address):
        raise UserError(f"`gpus` is {gpus}, which only Ray reserves: add --engine ray, or leave it out")


def _is_ray(name: str, address: str | None) -> bool:
    return name == "ray" or address is not None


def _engine(name: str, address: str | None, at_once: int, threads: int | None, gpus: float) -> Engine:
    if _is_ray(name, address):
        from spar_lightning.suite.on_ray import RayTasks  # takes seconds, and is an extra

        return RayTasks(address, at_once, threads or 1, gpus)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return LocalProcesses(at_once, threads or max(1, cores // at_once))


def _check_beginnings(jobs: Sequence[Job], runs: Sequence[Run]) -> None:
    """See that what runs begin with is made, or will be."""
    planned = {run.folder for run in runs}
    for job in jobs:
        for run in job.runs:
            if not job.is_ready and run.beginning is not None and run.beginning.folder not in planned:
                raise UserError(
                    f"{run.name} begins with {run.beginning.method}, which is neither chosen nor done: add it to"
                    " --methods"
                )


def _check_alone(jobs: Sequence[Job]) -> None:
    if processes := still_running(jobs):
        raise UserError(
            f"runs of an earlier benchmark, which was killed, still go on (process {', '.join(map(str, processes))}):"
            " wait for them, or end them"
        )


def _fetch(jobs: Sequence[Job]) -> None:
    for name in dict.fromkeys(str(job.runs[0].settings["data.dataset"]) for job in jobs):
        if (reason := fetch(name)) is not None:
            print(f"warning: {reason}", file=sys.stderr)


def _show(note: str, runs: Sequence[Run], states: Sequence[State], jobs: Sequence[Job]) -> None:
    if note:
        print(f"{note.strip()}\n")
    for job in jobs:
        print(shlex.join(["python", "-m", "spar_lightning", *job.arguments()]))
    counts = ", ".join(f"{states.count(state)} {state.value}" for state in State)
    print(f"\n{len(runs)} runs: {counts}")
    lacks = {
        (run.settings["data.dataset"], run.settings.get("data.environment")): missing(run)
        for run in {str(run.settings["data.dataset"]): run for job in jobs for run in job.runs}.values()
    }
    for (name, _), words in lacks.items():
        print(f"  {name}: {'; '.join(words) or 'nothing is missing'}")


def _tell_end(tally: Tally, folder: Path) -> None:
    """Say what came of it all, and end the process where some failed."""
    print(f"\n  {tally.finished} of {tally.total} runs are done, in {folder}")
    print(f"  report   python -m spar_lightning report {folder} --out {folder / 'report'}")
    if tally.failed:
        print(f"\n  {len(tally.failed)} failed, and go on with the same command:", file=sys.stderr)
        for job, failure in tally.failed:
            print(f"  {job.name}: {failure}", file=sys.stderr)
        sys.exit(FAILED)
