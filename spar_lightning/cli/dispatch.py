"""How a command runs: with which classes, and how errors look."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Generator, Sequence
from functools import partial
from importlib import import_module

import torch
from jsonargparse import auto_cli
from omegaconf.errors import OmegaConfBaseException

from spar_lightning.cli.command_list import STAGED, fail, program
from spar_lightning.cli.parsing.flags import FlagParser
from spar_lightning.cli.parsing.peeking import overridden
from spar_lightning.cli.parsing.trusted_modules import allowed_modules, check_algorithm, trust_modules
from spar_lightning.stopping import STOP, Stopped
from spar_lightning.telling import hide_what_is_no_news, warn
from spar_lightning.types import UserError

FUNCTIONS = {
    "analyze": "analysis.command:analyze",
    "bench": "benchmark.command:bench",
    "benchmark": "cli.suite:benchmark",
    "collect": "datasets:collect",
    "combine": "cli.combine:combine",
    "data": "cli.data:DATA_COMMANDS",
    "evaluate": "cli.evaluate:evaluate",
    "export": "cli.export:export",
    "import": "datasets:import_dataset",
    "report": "report:report",
    "summarize": "report:summarize",
}
"""Where commands are whose arguments are those of a function, or of functions by the name of a sub-command.

Each is imported when it is run: those that train nothing start without Lightning."""


def run(command: str, args: Sequence[str] | None) -> None:
    """Run a command, as `main` tells.

    Args:
        command: one that there is.
        args: the whole command line, without the program's name; None takes the process's own.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    hide_what_is_no_news()
    with _told_errors():
        trust_modules(allowed_modules(arguments))
        prog = f"{program()} {command}"
        if command in STAGED:
            _train_or_evaluate(arguments)
        elif command == "ope":  # which takes settings of data, and so makes its own parser
            from spar_lightning.cli.ope import ope

            ope(arguments[1:], prog)
        else:
            module, _, function = FUNCTIONS[command].partition(":")
            component = getattr(import_module(f"spar_lightning.{module}"), function)
            auto_cli(component, args=arguments[1:], prog=prog, fail_untyped=False, parser_class=FlagParser)
        sys.stdout.flush()


def _train_or_evaluate(arguments: Sequence[str]) -> None:
    from spar_lightning.cli.parsing.chosen_algorithm import choose_algorithm
    from spar_lightning.cli.run.resuming import resumed_line
    from spar_lightning.cli.run.several_processes import leave_processes
    from spar_lightning.cli.run.several_seeds import split_seeds
    from spar_lightning.cli.stages.staged import StagedCLI
    from spar_lightning.replay import OfflineDataModule
    from spar_lightning.training import find_module
    from spar_lightning.training.seeds import train_together

    arguments = resumed_line(arguments)
    algorithm = choose_algorithm(arguments)
    check_algorithm(algorithm, arguments)
    for setting, config in overridden(arguments):
        warn(f"--config {config} sets `{setting}` anew, which stands before it: put --config first")
    lines = split_seeds(arguments)
    with STOP.listening(is_common=len(lines) > 1):
        module = find_module(algorithm)
        trainings = [partial(StagedCLI, module, OfflineDataModule, line, algorithm=algorithm) for line in lines]
        if len(lines) == 1:
            trainings[0]()
        else:
            train_together(trainings, at_meetings=STOP.decide)
        leave_processes()


@contextlib.contextmanager
def _told_errors() -> Generator[None]:
    """End the process where a block fails for what the user can mend, with a sentence and no traceback."""
    try:
        yield
    except OmegaConfBaseException as error:
        fail(_with_notes(error, _unresolved(error)))
    except _users_errors() as error:
        fail(_with_notes(error, str(error)))
    except UnicodeDecodeError as error:
        if hasattr(error, "__notes__"):  # from within a training
            raise
        fail(f"a configuration is not text in UTF-8 ({error.reason} at byte {error.start})")
    except BrokenPipeError as error:  # whoever read the output has enough, such as `head`
        _drop_output()
        if hasattr(error, "__notes__"):  # of a training, which did not end
            with contextlib.suppress(BrokenPipeError):
                fail(_with_notes(error, "nobody reads the standard output any more"), status=1)
        sys.exit(1)
    except OSError as error:
        if error.errno is None or isinstance(error, ConnectionError | TimeoutError):  # of no file
            raise
        place = error.filename or ("a file" if _takes_output() else "the standard output")
        is_taken = error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR)
        remedy = "move away what stands in its place" if is_taken else "free space"
        if error.errno in (errno.ENOENT, errno.EACCES, errno.EPERM):
            remedy = "see that it is there and you have the right to"
        told = f"cannot read or write {place} ({error.strerror or error}): {remedy}, or name another folder"
        fail(_with_notes(error, told))
    except (MemoryError, RuntimeError) as error:
        if not _lacks_memory(error):
            raise
        told = f"there is not enough memory ({' '.join(str(error).split())[:100]}): choose smaller sizes"
        fail(_with_notes(error, told))
    except Stopped as stopped:
        fail(str(stopped), status=128 + stopped.number)
    except KeyboardInterrupt:
        fail("interrupted", status=130)


def _users_errors() -> tuple[type[Exception], ...]:
    """What the user can mend; Lightning's own only where Lightning is at work."""
    lightnings = sys.modules.get("lightning.fabric.utilities.exceptions")
    further = [] if lightnings is None else [lightnings.MisconfigurationException]
    return (UserError, *further)


def _unresolved(error: OmegaConfBaseException) -> str:
    """What is wrong with a `${...}` of a configuration."""
    command, _, name = str(error.full_key or "").partition(".")
    setting = name if command in STAGED else error.full_key
    reason = str(error.msg or error).splitlines()[0].replace(f" (resolved to '{command}.", " (resolved to '")
    return f"`{setting}` cannot be resolved ({reason}): write its value out, or mend the reference"


def _with_notes(error: BaseException, told: str) -> str:
    """What is said of an error, and below it how to go on."""
    return "\n\n".join([told, *getattr(error, "__notes__", ())])


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
