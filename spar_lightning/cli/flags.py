"""Options that take no value."""

from __future__ import annotations

from typing import Any

from spar_lightning.cli.mistyped import MistypedParser

FLAGS = ("--json",)


class FlagParser(MistypedParser):
    """A parser for which the options of `FLAGS` are switches: `--json`, not `--json true`."""

    def add_argument(self, *args: Any, **kwargs: Any) -> Any:
        """As jsonargparse's, with the flags among the options changed."""
        if args[:1] and args[0] in FLAGS and kwargs.get("type") is bool:
            kwargs = {"action": "store_true", "help": kwargs.get("help")}
        return super().add_argument(*args, **kwargs)
