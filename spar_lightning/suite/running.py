"""Running the jobs of a suite: as many at once as the engine has room for, whatever becomes of each."""

from __future__ import annotations

from spar_lightning.stopping import STOP, Stopped
from spar_lightning.suite.board import Board
from spar_lightning.suite.engine import Engine
from spar_lightning.suite.jobs import Job, prepare
from spar_lightning.suite.progress import last_words, outcome
from spar_lightning.suite.tally import Tally

_REFRESH_S = 1.0


def run_jobs(tally: Tally, engine: Engine, board: Board) -> None:
    """Run all that waits; a job that fails is told of, and the others go on.

    A signal is handed on to the jobs, which stop where they can go on later; a second one ends them at once.

    Raises:
        Stopped: by a signal.
    """
    with STOP.listening(), board.shown():
        try:
            while tally.waiting or tally.started:
                while engine.has_room() and (job := _first_ready(tally)) is not None:
                    _start(job, tally, engine, board)
                if not tally.started:
                    _give_up(tally, board)
                for job, status in engine.ended(_REFRESH_S):
                    failure = _failure(job, status)
                    board.ended(job, tally.end(job, failure), failure)
                board.refresh()
        except Stopped as stopped:
            board.console.print(f"stopping {len(tally.started)} processes, each after its update")
            try:
                engine.stop()
            except Stopped:
                engine.kill()
            raise Stopped(stopped.number, "; the same command goes on") from None
        except BaseException:
            engine.kill()
            raise
        finally:
            engine.close()


def _first_ready(tally: Tally) -> Job | None:
    return next((job for job in tally.waiting if job.is_ready), None)


def _give_up(tally: Tally, board: Board) -> None:
    """Let those fail that wait for a run that has failed, or was not chosen: nothing is under way that could end it."""
    for job in list(tally.waiting):
        others = {run.beginning.folder for run in job.runs if run.beginning is not None}
        tally.begin(job)
        failure = f"begins with another run, which is not done: {', '.join(map(str, others))}"
        board.ended(job, tally.end(job, failure), failure)


def _start(job: Job, tally: Tally, engine: Engine, board: Board) -> None:
    tally.begin(job)
    try:
        prepare(job)
        engine.start(job)
    except OSError as error:
        failure = f"cannot write {error.filename or job.folder} ({error.strerror})"
        board.ended(job, tally.end(job, failure), failure)
        return
    board.began(job)


def _failure(job: Job, status: int) -> str | None:
    """What went wrong, None if nothing did."""
    missing = [run.seed for run in job.runs if outcome(run) is None]
    if status == 0 and not missing:
        return None
    where = f" (exit status {status}, all of it in {job.folder / 'output.log'})"
    if status == 0:
        return f"ended without results of seed {', '.join(map(str, missing))}{where}"
    return last_words(job.folder) + where
