"""What a person sees of a suite under way: a table that is drawn anew at a terminal, else a line for each event."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from spar_lightning.documents import duration
from spar_lightning.suite.engine import Engine
from spar_lightning.suite.jobs import Job
from spar_lightning.suite.progress import in_words, outcome, share_done
from spar_lightning.suite.tally import Tally

_SHOWN = 8
"""Jobs that are over, at most, in the table."""


class Board:
    """Shows a tally.

    Args:
        tally: of the suite.
        engine: that runs it.
        console: where to; standard output by default.
    """

    def __init__(self, tally: Tally, engine: Engine, console: Console | None = None) -> None:
        self.tally, self.engine = tally, engine
        self.console = console or Console(highlight=False, soft_wrap=not sys.stdout.isatty())
        self._live: Live | None = None

    @contextmanager
    def shown(self) -> Generator[None]:
        """Keep the table on the screen while a block runs."""
        if not self.console.is_terminal:
            yield
            return
        with Live(self._table(), console=self.console, auto_refresh=False) as self._live:
            yield
            self.refresh()
        self._live = None

    def refresh(self) -> None:
        """Draw the table anew, where there is one."""
        if self._live is not None:
            self._live.update(self._table(), refresh=True)

    def began(self, job: Job) -> None:
        """Tell that a job was started."""
        if self._live is None:
            self._print(f"{job.state.value:<9}{job.name}")

    def ended(self, job: Job, seconds: float, failure: str | None) -> None:
        """Tell what became of a job."""
        what = self._result(job) if failure is None else failure
        if self._live is None or failure is not None:
            word = "done" if failure is None else "failed"
            self._print(f"{word:<9}{job.name}: {what} in {duration(seconds)} ({self._counts()})")

    def _print(self, line: str) -> None:
        self.console.print(Text(line))

    def _result(self, job: Job) -> str:
        return "; ".join(in_words(outcome(run)) for run in job.runs)

    def _counts(self) -> str:
        tally, left = self.tally, self.tally.left_s()
        parts = [f"{tally.finished} of {tally.total} done"]
        parts += [f"{len(tally.failed)} failed"] if tally.failed else []
        parts += [f"{duration(left)} left"] if left is not None and (tally.started or tally.waiting) else []
        return ", ".join(parts)

    def _table(self) -> Group:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column in ("", "run", "updates", "time", ""):
            table.add_column(column, overflow="fold")
        for job, seconds in self.tally.done[-_SHOWN:]:
            table.add_row(Text("done", "green"), Text(job.name), "", duration(seconds), Text(self._result(job)))
        for job, failure in self.tally.failed[-_SHOWN:]:
            table.add_row(Text("failed", "red"), Text(job.name), "", "", Text(failure))
        for job, *_ in self.tally.started.values():
            word = "runs" if self.engine.is_running(job) else "queued"
            bar = ProgressBar(total=1.0, completed=share_done(job.runs[0]), width=20)
            table.add_row(Text(word, "cyan"), Text(job.name), bar, duration(self.tally.seconds(job)), "")
        waiting = f", {len(self.tally.waiting)} wait" if self.tally.waiting else ""
        return Group(table, Text(f"{self._counts()}{waiting}", "bold"))
