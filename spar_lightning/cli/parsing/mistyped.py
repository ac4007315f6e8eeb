"""A parser that says what a mistyped option or setting was meant to be, and what its value may be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import ArgumentParser

from spar_lightning.cli.nearest import did_you_mean
from spar_lightning.cli.parsing.trusted_modules import denied_import
from spar_lightning.cli.parsing.wrong_type import wrong_type

_KEY = re.compile(
    r"(?:Subcommand '\S+' does not accept option|Group '(?P<group>\S+)' does not accept option|Option) '(?P<key>\S+)'"
)
"""How jsonargparse names a setting that a file has and no option sets."""

_NO_KEY = re.compile(
    r"(?:Empty nested key|Spaces not allowed in keys|Key must be a string, got): (?P<name>.*)\.$", re.DOTALL
)
"""How it names one that no option could set."""

_CHOICE = re.compile(r"argument subcommand: invalid choice: '(?P<name>.*)' \(choose from (?P<choices>.*)\)")


class MistypedParser(ArgumentParser):
    """jsonargparse's parser, with shorter and more helpful words about names and values that it does not know.

    A name is written in full: what is short for one option today is short for two when another is added.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As jsonargparse's."""
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})
        self.read_configs: list[Path] = []

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Say what is wrong, and end the process with status 2; in own words for unknown names and wrong types."""
        if not self.exit_on_error:
            super().error(message, ex)
        if (denied := denied_import(message)) is not None:
            self.exit(2, f"error: {denied}\n")
        parser = getattr(ex, "subcommand_parser", None) or self
        see = f"See {parser.prog.replace(' [options]', '')} --help"
        if unknown := " And no ".join(_unknown(message, parser)):
            self.exit(2, f"error: there is no {unknown}{f' {see}' if unknown.endswith('.') else ''}\n")
        if (wrong := wrong_type(message, parser._option_string_actions.values(), parser.read_configs)) is not None:
            self.exit(2, f"error: {wrong}. {see}\n")
        super().error(message, ex)


def _unknown(message: str, parser: ArgumentParser) -> Iterator[str]:
    """What an error of jsonargparse's complains of, each with what may have been meant."""
    options = [name for name in parser._option_string_actions if name.startswith("--")]
    _, _, arguments = message.partition("unrecognized arguments: ")
    for argument in arguments.split():
        name = argument.partition("=")[0]
        if name.startswith("--"):
            yield f"option {name}{did_you_mean(name, options)}"
    if key := _KEY.match(message):
        name = ".".join(filter(None, key.groups()))
        yield f"setting {name}{did_you_mean(name, [option.removeprefix('--') for option in options])}"
    if no_key := _NO_KEY.match(message):
        name = no_key["name"].strip('"')
        near = did_you_mean(name, [option.removeprefix("--") for option in options]) if name else "."
        yield f"setting {name!r}{near}"
    if choice := _CHOICE.match(message):
        known = re.findall(r"[\w-]+", choice["choices"])
        yield f"command {choice['name']}{did_you_mean(choice['name'], known)}"
