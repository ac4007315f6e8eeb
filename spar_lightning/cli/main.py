"""The entry point: what can be answered at once is, and the rest is loaded for a command that needs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from spar_lightning.cli.command_list import choose_command, fail


def main(args: Sequence[str] | None = None) -> None:
    """Run a command line; an error that the user can mend is printed without a traceback, with exit status 2.

    A signal that stops it gives the status that a shell gives: 130 for Ctrl-C, 143 for SIGTERM.

    Args:
        args: without the program's name; None takes the process's own.
    """
    _open_standard_streams()
    command = choose_command(sys.argv[1:] if args is None else args)
    try:
        from spar_lightning.cli.dispatch import run  # PyTorch takes seconds
    except KeyboardInterrupt:
        fail("interrupted", status=130)
    run(command, args)


def _open_standard_streams() -> None:
    """Let what is closed lead nowhere: the next file that is opened would take its place, and be printed into."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, this one
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))
