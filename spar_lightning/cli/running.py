"""How a command runs: with which classes, and how errors look."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn

from jsonargparse import auto_cli
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf.errors import OmegaConfBaseException

from spar_lightning.benchmark import bench
from spar_lightning.callbacks.stopping import STOP, Stopped
from spar_lightning.cli.algorithm import choose_algorithm
from spar_lightning.cli.command_list import program
from spar_lightning.cli.data import DATA_COMMANDS
from spar_lightning.cli.flags import FlagParser
from spar_lightning.cli.ope import ope
from spar_lightning.cli.several_processes import leave_processes
from spar_lightning.cli.several_seeds import split_seeds
from spar_lightning.cli.staged import StagedCLI
from spar_lightning.cli.summarize import summarize
from spar_lightning.datasets import collect, import_dataset
from spar_lightning.replay import OfflineDataModule
from spar_lightning.training import find_module
from spar_lightning.training.seeds import train_together
from spar_lightning.types import UserError

COMMANDS: dict[str, Any] = {
    "bench": bench,
    "collect": collect,
    "data": DATA_COMMANDS,
    "import": import_dataset,
    "summarize": summarize,
}
"""Commands that train nothing, beside those of `StagedCLI`: a function, or functions by the name of a sub-command."""

PARSING: dict[str, Callable[[Sequence[str], str], None]] = {"ope": ope}
"""The like, which parse what follows the command themselves."""

QUIET = (
    # Lightning 2.6 calls an API that torch 2.13 renamed.
    ".*isinstance\\(treespec, LeafSpec\\).*",
    # The frozen base is in eval mode on purpose.
    ".*module\\(s\\) in eval mode at the start of training.*",
    # Tests and notebooks call `main` with arguments of their own.
    ".*LightningCLI's args parameter is intended.*",
    # Loaders here slice tensors in memory: there is nothing for workers to do.
    ".*does not have many workers.*",
    # An evaluation needs no checkpoint callback.
    ".*Please add the following callbacks.*",
    # A run that is resumed, or has a base stage, writes where files are already.
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*Experiment logs directory .* exists and is not empty.*",
)


def run(command: str, args: Sequence[str] | None) -> None:
    """Run a command, as `main` tells.

    Args:
        command: one that there is.
        args: the whole command line, without the program's name; None takes the process's own.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    for message in QUIET:
        warnings.filterwarnings("ignore", message)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_news)
    try:
        prog = f"{program()} {command}"
        if command in PARSING:
            PARSING[command](arguments[1:], prog)
        elif command in COMMANDS:
            auto_cli(COMMANDS[command], args=arguments[1:], prog=prog, fail_untyped=False, parser_class=FlagParser)
        else:
            name = choose_algorithm(arguments)
            lines = split_seeds(arguments)
            with STOP.listening(is_common=len(lines) > 1):
                _train_or_evaluate(name, lines, args)
                leave_processes()
    except (UserError, MisconfigurationException, OmegaConfBaseException) as error:
        _fail(str(error))
    except UnicodeDecodeError as error:
        _fail(f"a configuration is not text in UTF-8 ({error.reason} at byte {error.start})")
    except BrokenPipeError:  # whoever read the output has enough, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it ends
        sys.exit(1)
    except OSError as error:
        _fail(
            f"cannot read or write {error.filename or 'a file'} ({error.strerror}): free space, or name another folder"
        )
    except Stopped as stopped:
        _fail(str(stopped), status=128 + stopped.number)
    except KeyboardInterrupt:
        _fail("interrupted", status=130)


def _train_or_evaluate(algorithm: str, lines: list[list[str]], args: Sequence[str] | None) -> None:
    module = find_module(algorithm)
    if len(lines) == 1:
        StagedCLI(module, OfflineDataModule, args, algorithm=algorithm)
        return
    trainings = [partial(StagedCLI, module, OfflineDataModule, line, algorithm=algorithm) for line in lines]
    train_together(trainings, at_meetings=STOP.decide)


def _fail(message: str, status: int = 2) -> NoReturn:
    print(f"\nerror: {message}", file=sys.stderr)
    sys.exit(status)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a line of Lightning's tells the user something about this run."""
    return not record.getMessage().startswith(("TPU available", "GPU available: False", "💡"))
