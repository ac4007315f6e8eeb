"""What compiled updates need of the machine."""

from __future__ import annotations

import os
import shutil
import subprocess

from spar_lightning.types import UserError


def require_compiler() -> None:
    """See that updates can be compiled here.

    Raises:
        UserError: if there is no C++ compiler, or the one that `CXX` names does not run.
    """
    chosen = os.environ.get("CXX")
    names = [chosen] if chosen else ["g++", "clang++"]
    if not any(_runs(name) for name in names):
        raise UserError(
            f"`compile` is set, but {' and '.join(names)} cannot be run: expected a C++ compiler; install one, name it"
            " with the environment variable CXX, or leave `compile` out"
        )


def _runs(compiler: str) -> bool:
    path = shutil.which(compiler)
    return path is not None and subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0
