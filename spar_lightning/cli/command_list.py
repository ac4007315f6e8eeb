"""The commands there are, and what is answered without running one. Imports nothing that takes long."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from spar_lightning import __version__
from spar_lightning.cli.nearest import did_you_mean

STAGED = {
    "fit": "Train a base policy, freeze it, and improve on it; or a baseline in one stage (--algorithm).",
    "validate": "Evaluate a checkpoint as during training.",
    "test": "Evaluate a checkpoint as at the end of training.",
}
"""Commands of a training and its checkpoints."""

COMMANDS = STAGED | {
    "analyze": "Draw what a finished run's residual does: figures and one page.",
    "benchmark": "Run a suite: methods x data sets x seeds from one YAML, several at once; for speed see bench.",
    "bench": "Measure how fast every module trains, beside plain PyTorch; for scores see benchmark.",
    "collect": "Record a bundled data set.",
    "combine": "Make one checkpoint of several, whose policy is the mean of theirs: luck of a seed averages out.",
    "data": "List, describe, check and time data sets.",
    "evaluate": "Score a checkpoint's policy and its base on the same start states, without the data.",
    "export": "Write a checkpoint's policy as one file that needs none of this package (ONNX, pt2, npz).",
    "import": "Make a data set of a file of your own logs.",
    "ope": "Tell what the data alone say of a checkpoint, without a simulator.",
    "report": "Tables, figures and one page of finished runs, with the field's statistics.",
    "summarize": "Tabulate finished runs over their training seeds: a report in short.",
}
HELP = {"-h", "--help"}


def program() -> str:
    """How this program was called."""
    return "spar-lightning" if Path(sys.argv[0]).stem == "spar-lightning" else "python -m spar_lightning"


def choose_command(arguments: Sequence[str]) -> str:
    """The command of a command line. Where there is none, what there is to say is printed, and the process ends.

    Args:
        arguments: of the command line, without the program's name.
    """
    first = arguments[0] if arguments else "-"
    if first == "--version":
        _end(f"spar-lightning {__version__}")
    if not first.startswith("-"):
        return first if first in COMMANDS else _refuse(f"there is no command {first}{did_you_mean(first, COMMANDS)}")
    for argument in arguments:  # options may stand before the command
        if argument in HELP:
            _end(_listing())
        if argument in STAGED:
            return argument
    return _refuse("no command is given")


def _listing() -> str:
    rows = [f"  {name:<10} {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {program()} COMMAND [--SETTING VALUE ...]",
            "",
            "SPAR: offline reinforcement learning from a fixed data set, on PyTorch Lightning.",
            "",
            "commands, each with its own --help:",
            *rows,
            "",
            "options:",
            "  -h, --help Show this list.",
            "  --version  Show the version.",
        ]
    )


def _end(answer: str) -> NoReturn:
    try:
        print(answer, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or what is left is tried again at the end
        if isinstance(error, BrokenPipeError):  # whoever read it has enough
            sys.exit(1)
        fail(f"cannot write to the standard output ({error.strerror}): free space, or write elsewhere")
    sys.exit(0)


def _refuse(what: str) -> NoReturn:
    print(_listing(), file=sys.stderr)
    fail(what)


def fail(message: str, status: int = 2) -> NoReturn:
    """End the process with an error that the user can mend, in one sentence."""
    print(f"\nerror: {message}", file=sys.stderr)
    sys.exit(status)
