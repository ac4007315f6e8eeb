"""Options that take no value or are given repeatedly, and lists of any length."""

from __future__ import annotations

from typing import Any

from spar_lightning.cli.parsing.mistyped import MistypedParser
from spar_lightning.cli.parsing.plain_help import PlainHelp

FLAGS = ("--json", "--dry_run")
REPEATED = ("--allow_module",)


class FlagParser(MistypedParser):
    """A parser for which the options of `FLAGS` are switches: `--json`, not `--json true`.

    Those of `REPEATED` are lists, to which each adds one. A list without a name takes all that is given,
    as in `report FOLDER FOLDER`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As `MistypedParser`, with a help of its own."""
        super().__init__(*args, **{"formatter_class": PlainHelp, **kwargs})

    def add_argument(self, *args: Any, **kwargs: Any) -> Any:
        """As jsonargparse's, with flags and lists changed."""
        if args[:1] and args[0] in FLAGS and kwargs.get("type") is bool:
            kwargs = {"action": "store_true", "help": kwargs.get("help")}
        if args[:1] and args[0] in REPEATED:
            kwargs = {"type": str, "action": "append", "help": kwargs.get("help")}
        typehint = getattr(kwargs.get("action"), "_typehint", None)
        if args[:1] and not args[0].startswith("-") and typehint == list[str]:
            kwargs = {"type": str, "nargs": "+", "help": kwargs.get("help")}
        return super().add_argument(*args, **kwargs)
