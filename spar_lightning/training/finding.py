"""The module of an algorithm by its name, of one that a user has written, and of a checkpoint."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from spar_lightning.algorithms import Algorithm
from spar_lightning.training.checkpoints import load_module, module_name, read_checkpoint
from spar_lightning.training.module import AlgorithmModule
from spar_lightning.training.modules import ALGORITHMS, KNOWN
from spar_lightning.types import CheckpointError, UserError, failure


class OwnModule(AlgorithmModule):
    """Trains an algorithm of the user's own; `find_module` makes a subclass for each."""

    @property
    def maker(self) -> Callable[..., nn.Module]:
        """What makes such a module, also in another process: by name, since its class is in no file."""
        return partial(make_module, self.checkpoint_name)


def find_module(name: str) -> type[AlgorithmModule]:
    """The module of an algorithm.

    Args:
        name: one of `ALGORITHMS`, or the class path of an algorithm of the user's own, such as `my_package.MyMethod`.

    Raises:
        UserError: if there is none.
    """
    if name in ALGORITHMS:
        return ALGORITHMS[name]
    place, _, class_name = name.rpartition(".")
    if os.getcwd() not in sys.path:  # noqa: PTH109 - as `python -m` has it, and a console script has not
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    try:
        found = getattr(import_module(place), class_name)
    except Exception as error:  # it is the user's code
        reason = error if isinstance(error, ImportError | AttributeError | ValueError) else failure(error)
        raise UserError(
            f"`algorithm` is {name} ({reason}), expected one of {', '.join(ALGORITHMS)}, or the class path of an own"
            " `Algorithm`, such as my_package.MyMethod, that can be imported from here"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Algorithm)):
        raise UserError(f"`algorithm` is {name}, expected a subclass of spar_lightning.algorithms.Algorithm there")
    _check_own(name, found)
    text = f"Trains `{class_name}`."
    members = {"algorithm_class": found, "__doc__": text, "__module__": place, "checkpoint_name": name}
    return type(f"{class_name}Module", (OwnModule,), members)


def _check_own(name: str, algorithm: type[Algorithm]) -> None:
    """Refuse a class that cannot be made of dimensions and settings."""
    if missing := sorted(getattr(algorithm, "__abstractmethods__", ())):
        raise UserError(f"`algorithm` is {name}, which lacks the method(s) {', '.join(missing)}: define them")
    named = {
        parameter.name
        for parameter in inspect.signature(algorithm).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    if not {"observation_dim", "action_dim"} <= named:
        found = ", ".join(inspect.signature(algorithm).parameters) or "none"
        raise UserError(
            f"`algorithm` is {name}, whose constructor has the arguments {found}, expected `observation_dim` and"
            " `action_dim` by these names, and settings"
        )


def make_module(name: str, **settings: Any) -> AlgorithmModule:
    """A module of the algorithm of this name: what another process can be told to call."""
    return find_module(name)(**settings)


def load_trained(path: str | Path, algorithm: str | None = None) -> AlgorithmModule:
    """The module in a checkpoint, of whatever algorithm.

    Args:
        path: of the checkpoint.
        algorithm: its name, where it is the class path of an own one: a checkpoint does not choose what is imported.

    Raises:
        CheckpointError: if the file is no checkpoint, or one of an own algorithm and that is not named.
    """
    name = module_name(read_checkpoint(path))
    known = KNOWN.get(name)
    if algorithm is not None:
        known = find_module(algorithm)
        if (known.checkpoint_name or known.__name__) != name:
            raise CheckpointError(f"{path} holds a {name}, not one of {algorithm}: leave --algorithm out")
    if known is None:
        raise CheckpointError(
            f"{path} was trained with the own algorithm {name}: name it again with --algorithm {name}"
        )
    return load_module(known, path)
