"""What a command line and its configurations say, looked up before there is a parser."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from spar_lightning.cli.command_list import STAGED
from spar_lightning.cli.parsing.config_files import find_config
from spar_lightning.types import UserError

CONFIG_OPTIONS = ("--config", "-c")
MOST_VALUES = 1_000_000
"""Of a configuration with its aliases written out; a list of a data set's episodes may be long."""
DEEPEST = 100
"""Blocks and lists within one another, which parsers descend into by recursion."""


def staged_command(arguments: Sequence[str]) -> str | None:
    """The command of a training or its checkpoint that a command line has, if it has one."""
    return next((argument for argument in arguments if argument in STAGED), None)


def peek(arguments: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """Settings at the top level, as the command line and its files give them, before there is a parser.

    Args:
        arguments: of the command line, without the program's name.
        names: of the settings; a later value wins, and one that is not given is not there.
    """
    command = staged_command(arguments)
    found: dict[str, Any] = {}
    for name, value in options(arguments):
        if name in CONFIG_OPTIONS:
            of_file = _read(Path(find_config(value)), command)
            found |= {name: of_file[name] for name in names if name in of_file}
        elif name.removeprefix("--") in names and name.startswith("--"):
            found[name.removeprefix("--")] = value
    return found


def overridden(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Settings of a command line that a configuration behind them sets anew, with its name."""
    command = staged_command(arguments)
    before: set[str] = set()
    for name, value in options(arguments):
        if name in CONFIG_OPTIONS:
            of_file = _read(Path(find_config(value)), command)
            yield from ((setting, value) for setting in sorted(before) if _holds(of_file, setting.split(".")))
        elif name.startswith("--"):
            before.add(name.removeprefix("--"))


def _holds(block: Any, names: Sequence[str]) -> bool:
    for name in names:
        if not isinstance(block, dict) or name not in block:
            return False
        block = block[name]
    return True


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
    """The top level of a configuration; nothing of a file that cannot be read, which is the parser's to say.

    Raises:
        UserError: if it holds something else than settings, is nested too deeply or endless.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise _too_deep(path) from None
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    _check_size(document, path)
    if document is None:  # an empty file
        return {}
    if not isinstance(document, dict):
        raise UserError(
            f"{path} holds {reprlib.repr(document)}, expected the settings of a run with their names, such as"
            " `data: {batch_size: 256}`"
        )
    of_command = document.get(command)
    return document | of_command if isinstance(of_command, dict) else document


def _check_size(document: Any, path: Path) -> None:
    """Refuse what a few aliases make endless, or as good as, and what is too deep for a parser."""
    count, depth, level = 0, 0, [document]
    while level and count <= MOST_VALUES:
        count, depth = count + len(level), depth + 1
        level = [part for one in level for part in _parts(one)]
        if depth > DEEPEST:
            raise _too_deep(path)
    if level:
        raise UserError(
            f"{path} holds more than {MOST_VALUES:,} values with its aliases written out, expected the settings of a"
            " run: write out what it means"
        )


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _too_deep(path: Path) -> UserError:
    return UserError(f"{path} is nested too deeply, or holds itself, expected the settings of a run: write them out")
