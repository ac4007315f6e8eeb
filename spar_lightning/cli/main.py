"""The entry point: what can be answered at once is, and the rest is loaded for a command that needs it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from spar_lightning.cli.command_list import choose_command


def main(args: Sequence[str] | None = None) -> None:
    """Run a command line; an error that the user can mend is printed without a traceback, with exit status 2.

    A signal that stops it gives the status that a shell gives: 130 for Ctrl-C, 143 for SIGTERM.

    Args:
        args: without the program's name; None takes the process's own.
    """
    command = choose_command(sys.argv[1:] if args is None else args)
    from spar_lightning.cli.running import run  # PyTorch and Lightning take seconds

    run(command, args)
