"""What a command prints: its result alone goes to stdout, as text for people or JSON for programs."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import Any

from spar_lightning.documents import json_ready

_PLAIN = str.maketrans({"█": "#", "±": "+-"})
"""For terminals that cannot print more than ASCII."""


@contextlib.contextmanager
def only_result_on_stdout() -> Iterator[None]:
    """What libraries print on the way goes to stderr."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document; None stands for what is not finite."""
    print(json.dumps(json_ready(document), indent=2, allow_nan=False))


def print_text(text: str) -> None:
    """Print a text, in plainer signs where the terminal lacks some."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:  # names may hold anything that a file's name may
        text = text.translate(_PLAIN).encode(encoding, "backslashreplace").decode(encoding)
    print(text)
