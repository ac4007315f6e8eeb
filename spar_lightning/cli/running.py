"""How a command runs: with which classes, and how errors look."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn

import torch
from jsonargparse import auto_cli
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf.errors import OmegaConfBaseException

from spar_lightning.analysis.command import analyze
from spar_lightning.benchmark import bench
from spar_lightning.callbacks.stopping import STOP, Stopped
from spar_lightning.cli.algorithm import choose_algorithm
from spar_lightning.cli.command_list import program
from spar_lightning.cli.data import DATA_COMMANDS
from spar_lightning.cli.evaluate import evaluate
from spar_lightning.cli.export import export
from spar_lightning.cli.flags import FlagParser
from spar_lightning.cli.ope import ope
from spar_lightning.cli.resuming import resumed_line
from spar_lightning.cli.several_processes import leave_processes
from spar_lightning.cli.several_seeds import split_seeds
from spar_lightning.cli.staged import StagedCLI
from spar_lightning.cli.suite import benchmark
from spar_lightning.cli.trusted_modules import allowed_modules, check_algorithm, trust_modules
from spar_lightning.datasets import collect, import_dataset
from spar_lightning.replay import OfflineDataModule
from spar_lightning.report import report, summarize
from spar_lightning.training import find_module
from spar_lightning.training.news import hide_what_is_no_news
from spar_lightning.training.seeds import train_together
from spar_lightning.types import UserError

COMMANDS: dict[str, Any] = {
    "analyze": analyze,
    "bench": bench,
    "benchmark": benchmark,
    "collect": collect,
    "data": DATA_COMMANDS,
    "evaluate": evaluate,
    "export": export,
    "import": import_dataset,
    "report": report,
    "summarize": summarize,
}
"""Commands that train nothing, beside those of `StagedCLI`: a function, or functions by the name of a sub-command."""

PARSING: dict[str, Callable[[Sequence[str], str], None]] = {"ope": ope}
"""The like, which parse what follows the command themselves."""


def run(command: str, args: Sequence[str] | None) -> None:
    """Run a command, as `main` tells.

    Args:
        command: one that there is.
        args: the whole command line, without the program's name; None takes the process's own.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    hide_what_is_no_news()
    try:
        trust_modules(allowed_modules(arguments))
        prog = f"{program()} {command}"
        if command in PARSING:
            PARSING[command](arguments[1:], prog)
        elif command in COMMANDS:
            auto_cli(COMMANDS[command], args=arguments[1:], prog=prog, fail_untyped=False, parser_class=FlagParser)
        else:
            arguments = resumed_line(arguments)
            name = choose_algorithm(arguments)
            check_algorithm(name, arguments)
            lines = split_seeds(arguments)
            with STOP.listening(is_common=len(lines) > 1):
                _train_or_evaluate(name, lines)
                leave_processes()
        sys.stdout.flush()
    except (UserError, MisconfigurationException, OmegaConfBaseException) as error:
        _fail(str(error))
    except UnicodeDecodeError as error:
        _fail(f"a configuration is not text in UTF-8 ({error.reason} at byte {error.start})")
    except BrokenPipeError:  # whoever read the output has enough, such as `head`
        _drop_output()
        sys.exit(1)
    except OSError as error:
        place = error.filename or ("a file" if _takes_output() else "the standard output")
        _fail(f"cannot read or write {place} ({error.strerror or error}): free space, or name another folder")
    except (MemoryError, RuntimeError) as error:
        if not _lacks_memory(error):
            raise
        _fail(f"there is not enough memory ({' '.join(str(error).split())[:100]}): choose smaller sizes")
    except Stopped as stopped:
        _fail(str(stopped), status=128 + stopped.number)
    except KeyboardInterrupt:
        _fail("interrupted", status=130)


def _train_or_evaluate(algorithm: str, lines: list[list[str]]) -> None:
    module = find_module(algorithm)
    if len(lines) == 1:
        StagedCLI(module, OfflineDataModule, lines[0], algorithm=algorithm)
        return
    trainings = [partial(StagedCLI, module, OfflineDataModule, line, algorithm=algorithm) for line in lines]
    train_together(trainings, at_meetings=STOP.decide)


def _takes_output() -> bool:
    """Whether more can be printed; if not, no more is tried."""
    try:
        print(flush=True)  # what failed before is not kept to be flushed
    except OSError:
        _drop_output()
        return False
    return True


def _drop_output() -> None:
    """Let what is still to be printed go nowhere, or Python complains when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _lacks_memory(error: BaseException) -> bool:
    """Whether more was asked for than there is, of whatever memory: PyTorch has no class for the machine's own."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _fail(message: str, status: int = 2) -> NoReturn:
    print(f"\nerror: {message}", file=sys.stderr)
    sys.exit(status)
