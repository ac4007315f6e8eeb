"""The entries of a document from outside, such as a checkpoint: of which types they must be, before they are used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from spar_lightning.types import CheckpointError


class Each(NamedTuple):
    """A dict of any names, with values of one kind."""

    value: Any


class Entries(NamedTuple):
    """A dict that must have some entries and may have others; what else is in it is not looked at."""

    needed: Mapping[str, Any]
    further: Mapping[str, Any] = {}


class Maybe(NamedTuple):
    """A part of one kind, or none."""

    value: Any


def check_entries(found: Any, expected: Any, key: str = "") -> None:
    """See that a part of a file is of the kind that it should be.

    Args:
        found: the part.
        expected: a type or several, `Each`, `Entries`, `Maybe`, or a list of one such kind; a tuple is as good as a
            list.
        key: where the part is, for the message.

    Raises:
        CheckpointError: naming the first entry that is not.
    """
    if isinstance(expected, Maybe):
        if found is not None:
            check_entries(found, expected.value, key)
    elif isinstance(expected, Each | Entries):
        _check_type(found, dict, key)
        if isinstance(expected, Each):
            for name, value in found.items():
                check_entries(value, expected.value, _joined(key, name))
            return
        for name in expected.needed.keys() - found.keys():
            raise CheckpointError(f"`{_joined(key, name)}` is missing")
        for name, kind in {**expected.needed, **expected.further}.items():
            if name in found:
                check_entries(found[name], kind, _joined(key, name))
    elif isinstance(expected, list):
        _check_type(found, (list, tuple), key)
        for position, item in enumerate(found):
            check_entries(item, expected[0], f"{key}[{position}]")
    else:
        _check_type(found, (list, tuple) if expected is list else expected, key)


def _check_type(found: Any, expected: Any, key: str) -> None:
    kinds = expected if isinstance(expected, tuple) else (expected,)
    if isinstance(found, kinds) and not (isinstance(found, bool) and bool not in kinds and object not in kinds):
        if kinds == (int,) and found < 0:
            raise CheckpointError(f"`{key}` is {found}, expected at least 0")
        if isinstance(found, Tensor) and (found.layout != torch.strided or found.is_quantized or found.is_meta):
            raise CheckpointError(
                f"`{key}` is a {found.layout} of {found.dtype} on {found.device}, expected plain numbers"
            )
        return
    names = " or ".join("none" if kind is type(None) else kind.__name__ for kind in kinds)
    shown = repr(found) if isinstance(found, str | int | float) else f"a {type(found).__name__}"
    raise CheckpointError(f"`{key}` is {shown[:60]}, expected {names}")


def _joined(key: str, name: Any) -> str:
    return f"{key}.{name}" if key else str(name)
