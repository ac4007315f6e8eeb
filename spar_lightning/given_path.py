"""A path, as a user gives it."""

from __future__ import annotations

import os
from pathlib import Path

from spar_lightning.types import UserError


def given_path(text: str) -> Path:
    """The path, with `~` as the user's home, as a shell has it where it sees one; as it is where there is no such user.

    Raises:
        UserError: if nothing is given, which would be the current folder, or a name that logs and results cannot hold.
    """
    if not text:
        raise UserError("an empty path was given, expected the name of a file or folder; the current folder is `.`")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(
            f"the path {os.fsencode(text)!r} is not in UTF-8, in which configurations and results are written: take"
            " another one, or rename it"
        ) from None
    return Path(os.path.expanduser(text))  # noqa: PTH111 - pathlib's fails for a user who is not there
