"""Which algorithm a command line is about: its settings decide which arguments there are at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from spar_lightning.cli.config_files import find_config
from spar_lightning.training import ALGORITHMS
from spar_lightning.training.checkpoints import is_there, module_name, read_checkpoint
from spar_lightning.types import CheckpointError, UserError

COMMANDS = ("fit", "validate", "test")
CONFIG_OPTIONS = ("--config", "-c")


def choose_algorithm(arguments: Sequence[str]) -> str:
    """Find the algorithm before there is a parser.

    It is that of `--algorithm` or of a configuration file, whichever comes last; else, where a checkpoint is
    evaluated, that of the checkpoint; else the first one.

    Args:
        arguments: of the command line, without the program's name.

    Raises:
        UserError: if what is given is no name.
        CheckpointError: if the checkpoint that is named cannot be read, or is another algorithm's.
    """
    command = next((argument for argument in arguments if argument in COMMANDS), None)
    settings = peek(arguments, ("algorithm", "ckpt_path"))
    algorithm, path = settings.get("algorithm"), settings.get("ckpt_path")
    if isinstance(algorithm, str) and "${" in algorithm:
        algorithm = None  # an interpolation, which the parser will resolve: whoever builds it must look again
    if algorithm is not None and not isinstance(algorithm, str):
        raise UserError(f"`algorithm` is {algorithm}, expected one of {', '.join(ALGORITHMS)}, or a class path")
    # What is not there, such as an interpolation, is left to those who will read it.
    of_checkpoint = _algorithm_of(str(path)) if path and is_there(Path(str(path))) else None
    if algorithm is None:
        default = next(iter(ALGORITHMS))
        # A class path is code that would be imported: a checkpoint alone does not name it.
        algorithm = of_checkpoint if command != "fit" and of_checkpoint in ALGORITHMS else default
    if of_checkpoint not in (None, algorithm):
        raise CheckpointError(
            f"{path} was trained with the algorithm {of_checkpoint}, not with {algorithm}: add --algorithm"
            f" {of_checkpoint}, or give the configuration in the run's folder"
        )
    return algorithm


def _algorithm_of(path: str) -> str | None:
    name = module_name(read_checkpoint(path))
    own = name if "." in name else None
    return next((algorithm for algorithm, module in ALGORITHMS.items() if module.__name__ == name), own)


def peek(arguments: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """Settings at the top level, as the command line and its files give them, before there is a parser.

    Args:
        arguments: of the command line, without the program's name.
        names: of the settings; a later value wins, and one that is not given is not there.
    """
    command = next((argument for argument in arguments if argument in COMMANDS), None)
    found: dict[str, Any] = {}
    for name, value in options(arguments):
        if name in CONFIG_OPTIONS:
            of_file = _read(Path(find_config(value)), command)
            found |= {name: of_file[name] for name in names if name in of_file}
        elif name.removeprefix("--") in names and name.startswith("--"):
            found[name.removeprefix("--")] = value
    return found


def options(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Options with their values, of `--name value`, `--name=value` and `-cvalue`."""
    return [*_options(arguments)]


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    for argument, following in zip(arguments, [*arguments, ""][1:], strict=True):
        name, equals, value = argument.partition("=")
        if argument.startswith("-c") and argument != "-c":
            name, equals, value = "-c", "=", argument.removeprefix("-c").removeprefix("=")
        yield name, value if equals else following


def _read(path: Path, command: str | None) -> dict[str, Any]:
    """The top level of a configuration; nothing of a file that cannot be read, which is the parser's to say."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return {}
    if not isinstance(document, dict):
        return {}
    of_command = document.get(command)
    return document | of_command if isinstance(of_command, dict) else document
