"""Which modules a configuration may have imported: to import is to run code, and a file may come from anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from jsonargparse import set_parsing_settings

from spar_lightning.cli.algorithm import options
from spar_lightning.types import UserError

TRUSTED = ("spar_lightning", "lightning", "torch", "torchmetrics")
_KEPT_OUT = ("torch.hub", "torch.load", "torch.serialization", "torch.package", "torch.utils.cpp_extension")
"""Of those: what fetches code, or makes it of a file."""

_DENIED = re.compile(r"Importing '(?P<path>[^']*)' is not allowed")
_allowed = set[str]()  # in this process, which may run several command lines


def allowed_modules(arguments: Sequence[str]) -> list[str]:
    """The modules of `--allow_module`, which only a command line may have.

    Args:
        arguments: of the command line, without the program's name.

    Raises:
        UserError: if one is no name.
    """
    given = [value for name, value in options(arguments) if name == "--allow_module"]
    for name in given:
        if not all(part.isidentifier() for part in name.split(".")):
            raise UserError(f"--allow_module is {name!r}, expected the name of a module, such as my_package")
    return given


def trust_modules(allowed: Sequence[str]) -> None:
    """Let the parser import classes of `TRUSTED`, and of modules that the user allows, and no others."""
    withdrawn = _allowed - {*allowed}
    set_parsing_settings(import_path_denylist=["*", *_KEPT_OUT, *withdrawn], import_path_allowlist=[*TRUSTED, *allowed])
    _allowed.clear()
    _allowed.update(allowed)


def check_trusted(setting: str, module: str, allowed: Iterable[str]) -> None:
    """See that a module may be imported that a configuration names.

    Args:
        setting: that names it, with its value, for the message.
        module: its name, or that of something in it.
        allowed: modules that the user named.

    Raises:
        UserError: if it may not.
    """
    if not any(module == one or module.startswith(f"{one}.") for one in (*TRUSTED, *allowed)):
        raise UserError(f"{setting} in a configuration, which would import {module}: {_remedy(module)}")


def check_algorithm(name: str, arguments: Sequence[str]) -> None:
    """See that an algorithm that is no part of the package is named by the user, and not by a file alone.

    Args:
        name: of the algorithm, or its class path.
        arguments: of the command line, without the program's name.

    Raises:
        UserError: if it is not.
    """
    if "." in name and ("--algorithm", name) not in options(arguments):
        check_trusted(f"`algorithm` is {name}", name, allowed_modules(arguments))


def denied_import(message: str) -> str | None:
    """What to say in the place of the parser's words, where those are of a class that it may not import."""
    found = _DENIED.search(message)
    if found is None:
        return None
    return f"`{found['path']}` is named, expected a class of {', '.join(TRUSTED)}: {_remedy(found['path'])}"


def _remedy(path: str) -> str:
    top = path.partition(".")[0]
    return f"its code would run. If you trust it, add --allow_module {top}"
