"""How a data set is read, where its layout leaves that open."""

from __future__ import annotations

from typing import TypedDict


class ReadingSettings(TypedDict, total=False):
    """What may be said of a data set beside its name; what is left out, or None, is up to its source."""
