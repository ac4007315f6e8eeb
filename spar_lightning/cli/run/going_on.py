"""What to do after a training that did not end by itself: the command that goes on from what it has left."""

from __future__ import annotations

import contextlib
import errno
import json
import shlex
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from spar_lightning.cli.run.resuming import CONFIG, LAST
from spar_lightning.cli.run.several_processes import is_first_process, leave_processes, lost_process
from spar_lightning.stopping import STOP, Stopped
from spar_lightning.types import EnvironmentFailedError, UserError

DISK_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


class GoingOn:
    """Knows the command that goes on, at any moment of a training.

    Args:
        folder: of the run, or of several seeds.
        arguments: the command line that started the training, without the program's name.
        modules: that the configuration has imported, beside the trusted ones.
    """

    def __init__(self, folder: Path, arguments: Sequence[str], modules: Sequence[str] = ()) -> None:
        self.folder = folder
        self._allowed = [part for module in modules for part in ("--allow_module", module)]
        self._arguments = list(arguments)
        self._is_finished = False

    def command(self) -> str:
        """The command."""
        if (self.folder / CONFIG).is_file():
            return _line("fit", "--resume", str(self.folder), *self._allowed)
        return _line(*self._arguments)  # such as a dry run, which records nothing

    @contextmanager
    def told(self) -> Generator[None]:
        """Tell how to go on if a block is stopped by a signal, by a disk that takes no more, or by the user's own code.

        Raises:
            Stopped: with the advice.
            UserError: for a full disk, or a quota; or where another process of the training has died.
        """
        try:
            with _threads_leave_full_disks_to_the_main_one():
                yield
            self._is_finished = True
            if STOP.asked:  # too late to stop anything
                STOP.stop()
        except Stopped as stopped:
            self._stop(stopped.number)
        except RuntimeError as error:
            if not lost_process(error):
                self._note(error)
                raise
            if STOP.number is not None:  # a second signal has ended the other one before they could meet
                self._stop(STOP.number)
            with contextlib.suppress(RuntimeError):
                leave_processes()
            raise UserError(
                f"another process of this training has died ({_first_words(error)}), expected all of them to go on:"
                f" see what it says, then {self._advice()}"
            ) from error
        except OSError as error:
            if error.errno not in DISK_FULL:
                self._note(error)
                raise
            where = f" {error.filename}" if error.filename else ""
            raise UserError(
                f"cannot write{where} ({error.strerror}) in the run {self.folder}: free space, then {self._advice()}"
            ) from error
        except Exception as error:
            self._note(error)
            raise

    def _stop(self, number: int) -> NoReturn:
        """End by a signal, as the first process tells."""
        with contextlib.suppress(RuntimeError):
            leave_processes()
        if not is_first_process():
            sys.exit(0)  # the first process, which may have started this one, tells; any other status is a failure
        raise Stopped(number, f"; {self._advice()}") from None

    def _note(self, error: Exception) -> None:
        """Let an error of the user's own code end in how to go on; what to do after others is in their message."""
        is_ours = isinstance(error, UserError) and not isinstance(error, EnvironmentFailedError)
        if isinstance(error, BrokenPipeError) or (not is_ours and self._has_checkpoint()):
            error.add_note(f"when that is mended, {self._advice()}")

    def _has_checkpoint(self) -> bool:
        return any(self.folder.glob(f"**/{LAST}"))

    def _advice(self) -> str:
        if self._is_finished:
            return f"the run in {self.folder} is finished"
        return f"{'go on' if self._has_checkpoint() else 'start again'} with\n\n    {self.command()}\n"


@contextmanager
def _threads_leave_full_disks_to_the_main_one() -> Generator[None]:
    """A thread that writes logs prints no traceback of a full disk: the logger raises its error where it is used."""
    before = threading.excepthook

    def hook(raised: threading.ExceptHookArgs) -> None:
        if not (isinstance(raised.exc_value, OSError) and raised.exc_value.errno in DISK_FULL):
            before(raised)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


def is_complete(folder: Path, updates: int) -> bool:
    """Whether a run's results are there, of so many updates."""
    try:
        document = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        return bool(document["updates"] == updates)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _first_words(error: BaseException) -> str:
    return " ".join(str(error).split())[:100].rstrip()


def _line(*arguments: str) -> str:
    return shlex.join(["python", "-m", "spar_lightning", *arguments])
