"""How the help of all other commands looks: what a person types, and what that is."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from typing import Any

from jsonargparse import DefaultHelpFormatter

_SETTINGS = "[--SETTING VALUE ...]"

_OF_FILES = ("config", "print_config")
"""Options that jsonargparse adds to every command, for settings from a file: they work, and help nobody here."""


class PlainHelp(DefaultHelpFormatter):
    """jsonargparse's help without types, and with a usage in one line."""

    def add_usage(
        self, usage: str | None, actions: Iterable[argparse.Action], groups: Iterable[Any], prefix: str | None = None
    ) -> None:
        """Name what must be given; the rest is listed below."""
        if usage is None:
            needed = [name for action in actions if (name := _needed(action))]
            program = re.sub(r" \[[^]]*]", "", self._prog)  # a sub-command's has its parent's options
            usage = " ".join([program, *needed, _SETTINGS])
        super().add_usage(usage, actions, groups, prefix)

    def add_argument(self, action: argparse.Action) -> None:
        """Add an option, unless it is of no use here."""
        if action.dest not in _OF_FILES:
            super().add_argument(action)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        return f"{action.option_strings[0]} {self._format_args(action, action.dest.rpartition('.')[2].upper())}"

    def _get_help_string(self, action: argparse.Action) -> str:
        default = action.default
        is_told = default is None or default is False or default == [] or default is argparse.SUPPRESS
        text = (action.help or "").rstrip(".")
        return text if is_told else f"{text} (default: %(default)s)"


def _needed(action: argparse.Action) -> str:
    """What must be typed for an action, if anything."""
    name = action.dest.upper()
    if isinstance(action, argparse._SubParsersAction):
        return "COMMAND"
    if action.option_strings:
        return f"{action.option_strings[0]} {name}" if action.required else ""
    return f"{name} ..." if action.nargs == "+" else name
