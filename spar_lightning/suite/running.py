"""Running the jobs of a suite: as many at once as the engine has room for, whatever becomes of each."""

from __future__ import annotations

from spar_lightning.callbacks.stopping import STOP, Stopped
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
                while tally.waiting and engine.has_room():
                    _start(tally.waiting[0], tally, engine, board)
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
