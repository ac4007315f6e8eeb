"""How the help of a training's commands looks: a line for each setting, or some of them in full."""

from __future__ import annotations

import argparse
import json
import re
import textwrap
from collections.abc import Sequence

from jsonargparse import DefaultHelpFormatter

GENERAL = {
    "config": None,
    "print_config": "Print all settings as YAML, and exit.",
    "seed_everything": "Seed of the run; true for a random one.",
    "algorithm": None,
    "num_seeds": "How many, from seed_everything on.",
    "run_dir": None,
    "resume": "Folder of a stopped run, to do what is left of it.",
    "allow_module": None,
    "stage": None,
    "bc.ckpt_path": None,
    "ckpt_path": None,
}
"""Settings of no part, with other words where Lightning's are many."""

TRAINER = {
    "bc.trainer.max_steps": "updates of the base stage",
    "trainer.max_steps": "updates of the main stage",
    "trainer.max_time": "time limit, as DD:HH:MM:SS",
    "trainer.val_check_interval": "updates between two evaluations",
    "trainer.fast_dev_run": "one step of everything, as a check",
}
"""The settings of Lightning's trainer that a person needs, likewise."""

MACHINE = {
    "trainer.accelerator": "cpu, gpu, mps or auto",
    "trainer.devices": "how many, or which",
    "trainer.precision": "32-true, bf16-mixed or 16-mixed",
}
"""Those of them that an evaluation has as well."""


class Selection(DefaultHelpFormatter):
    """jsonargparse's help, of some settings.

    Args:
        prog: name of the command.
        shown: names of settings, and of groups of them, which end in a dot.
    """

    def __init__(self, prog: str, shown: Sequence[str]) -> None:
        super().__init__(prog)  # type: ignore[no-untyped-call]
        self._shown = shown

    def add_argument(self, action: argparse.Action) -> None:
        """Add an option if it is shown."""
        shown = any(action.dest.startswith(name) if name[-1] == "." else action.dest == name for name in self._shown)
        if shown and not isinstance(action, argparse._HelpAction):
            super().add_argument(action)


class Overview(Selection):
    """One line for each setting of a part: its default in the place of a value, and what it is, as far as that fits."""

    def add_argument(self, action: argparse.Action) -> None:
        """Add an option if it is shown, or shows more; not those that explain classes that a setting may name."""
        if isinstance(action, argparse._HelpAction):
            DefaultHelpFormatter.add_argument(self, action)
        elif not action.dest.endswith(".help"):
            super().add_argument(action)

    def _get_help_string(self, action: argparse.Action) -> str:
        if action.dest not in GENERAL:
            return super()._get_help_string(action)
        default = action.default not in (None, argparse.SUPPRESS)
        return f"{GENERAL[action.dest] or action.help}{' (default: %(default)s)' if default else ''}"

    def _format_action(self, action: argparse.Action) -> str:
        if action.dest in GENERAL or isinstance(action, argparse._HelpAction):
            return super()._format_action(action)
        default = action.default
        value = default if isinstance(default, str) else json.dumps(default, default=str, separators=(",", ":"))
        name = f"  {action.option_strings[0]}={value}".ljust(39)
        return f"{name} {_beginning(_brief(action), max(self._width - len(name) - 1, 20))}\n"


def _brief(action: argparse.Action) -> str:
    """What an overview says of a setting: its values, where they are a few words, else what it is."""
    if action.dest in TRAINER | MACHINE:
        return (TRAINER | MACHINE)[action.dest]
    values = str(action.metavar)
    return action.help or "" if values[0] != "{" or "true" in values else values.strip("{}").replace(",", ", ")


def _beginning(text: str, room: int) -> str:
    """As many clauses of a text as there is room for, or words, if it is not enough for one.

    >>> _beginning("updates before the actor moves. Long is right: critics", 40)
    'updates before the actor moves'
    >>> _beginning("rate (of the averaged actor), which is the result.", 40)
    'rate (of the averaged actor), which ...'
    """
    text = " ".join(text.split()).rstrip(".")
    if len(text) <= room:
        return text
    ends = [end.start() for end in re.finditer(r"[;:.] |(?<=[\w`]) \(", text[: room + 2])]
    clauses = [text[:end] for end in ends if text[:end].count("(") == text[:end].count(")")]
    long = [clause for clause in clauses if len(clause) > room // 3]
    return long[-1] if long else textwrap.shorten(text, room, placeholder=" ...", break_on_hyphens=False)
