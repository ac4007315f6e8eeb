"""The parser of a training's commands: what their help shows, and what is behind `--<part>.help`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from enum import Enum
from typing import Any

from jsonargparse import ActionConfigFile, Namespace  # type: ignore[attr-defined]
from lightning.pytorch.cli import LightningArgumentParser

from spar_lightning.cli.parsing.config_files import ConfigFile, names
from spar_lightning.cli.parsing.mistyped import MistypedParser
from spar_lightning.cli.parsing.overview import GENERAL, MACHINE, TRAINER, Overview, Selection

_EVALUATION = (
    *("config", "seed_everything", "algorithm", "ckpt_path", "callbacks.rollout.", *MACHINE),
    *("data.dataset", "data.observation_keys", "data.environment", "data.max_episode_steps"),
)
SHOWN = {
    "fit": (
        *GENERAL,
        "data.",
        "model.",
        "bc.model.",
        "callbacks.rollout.",
        "callbacks.offline_check.",
        *TRAINER,
        *MACHINE,
    ),
    "validate": _EVALUATION,
    "test": _EVALUATION,
}
"""What the overview of each command holds: names of settings, and of groups of them, which end in a dot."""

PARTS = {
    "data": "the data",
    "model": "what is trained",
    "bc": "the base stage: its model and its trainer",
    "trainer": "Lightning's trainer",
    "callbacks": "evaluation and monitors",
}
"""What is shown in full, behind an option each."""


class CommandParser(MistypedParser, LightningArgumentParser):
    """The parser of a command: its help shows what is chosen for it, its configurations have names."""

    shown: Sequence[str] = ()
    """Settings that the help is limited to, and groups of them, which end in a dot; empty for all."""

    in_full = True
    """Whether it shows them with all that there is to say."""

    def add_argument(self, *args: Any, **kwargs: Any) -> Any:
        """As jsonargparse's, with names for configurations."""
        if kwargs.get("action") is ActionConfigFile:
            kwargs["action"] = ConfigFile
            kwargs["help"] = f"Settings: path of a YAML, or name of one of the package's: {', '.join(names())}."
        return super().add_argument(*args, **kwargs)

    def dump(self, namespace: Namespace, *args: Any, **kwargs: Any) -> str:
        """As jsonargparse's, which does so to resolve `${...}` too, and has no text for an enumeration."""
        text: str = super().dump(_in_text(namespace), *args, **kwargs)
        return text

    def make_overview(self, command: str) -> None:
        """Limit the help to what a person needs, and add options that show the parts in full."""
        self.shown, self.in_full = SHOWN[command], False
        resumed = "Checkpoint to go on from, or whose parts to keep."
        self._option_string_actions["--ckpt_path"].help = resumed if command == "fit" else "Checkpoint to evaluate."
        titles = {
            "trainer": "Lightning's trainer",
            "bc.trainer": "Lightning's trainer, base stage",
            command: "checkpoint",
        }
        groups = self.groups or {}
        for name, group in groups.items():
            group.title = titles.get(name, group.title)
        in_full = self.add_argument_group("every setting in full")
        for part, text in PARTS.items():
            if any(name.split(".")[0] == part for name in groups) and any(name.startswith(part) for name in self.shown):
                in_full.add_argument(f"--{part}.help", action=PartHelp, help=text)

    def _get_formatter(self) -> argparse.HelpFormatter:
        if not self.shown:
            return super()._get_formatter()
        return (Selection if self.in_full else Overview)(self.prog, self.shown)


def _in_text(value: Any) -> Any:
    """With the values of enumerations in their place, which a class may have as defaults of what are texts."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list):
        return [_in_text(item) for item in value]
    if isinstance(value, Namespace):
        return Namespace(**{name: _in_text(item) for name, item in vars(value).items()})  # type: ignore[no-untyped-call]
    return value


class PartHelp(argparse._HelpAction):
    """Shows one part's settings in full."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        """Print the help of the part that the option names, and end the process."""
        parser.shown, parser.in_full = (self.dest.removesuffix("help"),), True
        super().__call__(parser, namespace, values, option_string)
