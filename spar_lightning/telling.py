"""What is told to the user, by one process of several; what Lightning prints that tells nothing is hidden."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parent
_FORMATS: list[Callable[..., str]] = []  # the one that formats other warnings

NO_NEWS = (
    # Lightning 2.6 calls APIs that torch 2.13 renamed.
    ".*isinstance\\(treespec, LeafSpec\\).*",
    ".*distributed.nn.functional.all_gather is deprecated.*",
    ".*`broadcast_buffers` is deprecated.*",
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


def tell(message: str) -> None:
    """Print a line, in the process of rank 0 alone. Lightning is imported with the first."""
    from lightning.pytorch.utilities import rank_zero_info

    hide_what_is_no_news()
    rank_zero_info(message)


def warn(message: str) -> None:
    """Warn of something, likewise."""
    from lightning.pytorch.utilities import rank_zero_warn

    hide_what_is_no_news()
    rank_zero_warn(message, stacklevel=5)  # of the caller's line


def hide_what_is_no_news() -> None:
    """Hide these warnings, and lines about accelerators that are not there; whatever else there is to say is said.

    Warnings of this package are sentences to its user, and look so.
    """
    for message in NO_NEWS:
        warnings.filterwarnings("ignore", message)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_news)  # the same one is added once
    if not _FORMATS:  # whatever has come on top of it since, such as Lightning's, falls back on it
        _FORMATS.append(warnings.formatwarning)
    warnings.formatwarning = _formatted


def _formatted(message: Warning | str, category: type[Warning], filename: str, *rest: Any, **more: Any) -> str:
    """A warning of this package's as a sentence, without the place in the code; others as before."""
    if Path(filename).is_relative_to(_PACKAGE):
        return f"warning: {message}\n"
    return _FORMATS[0](message, category, filename, *rest, **more)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a line of Lightning's tells the user something about this run."""
    return not record.getMessage().startswith(("TPU available", "GPU available: False", "💡"))
