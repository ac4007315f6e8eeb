"""The command `benchmark`, whose runs' settings are all tried before one starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spar_lightning import suite


def benchmark(**arguments: Any) -> None:
    """As `suite.benchmark`, whose arguments, and words for the help, are this one's too."""
    suite.benchmark(**arguments, refusal=_refusal)


benchmark.__doc__ = suite.benchmark.__doc__


def _refusal(arguments: Sequence[str]) -> str | None:
    from spar_lightning.cli.settings_trial import refusal  # which imports Lightning

    return refusal(arguments)
