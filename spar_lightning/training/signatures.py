"""Constructors that have the parameters of another one too."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints


def constructor_like(own: Callable[..., None], other: Callable[..., None]) -> Callable[..., None]:
    """A constructor that does what `own` does, and shows the parameters of `other`, then those of `own`."""
    parameters = {**_typed_parameters(other), **_typed_parameters(own)}

    def constructor(self: Any, *arguments: Any, **settings: Any) -> None:
        own(self, *arguments, **settings)

    constructor.__name__ = "__init__"  # by which docstrings are found
    constructor.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD), *parameters.values()]
    )
    return constructor


def _typed_parameters(constructor: Any) -> dict[str, inspect.Parameter]:
    """The named parameters of a constructor, without the object, their types resolved where they were written."""
    types = get_type_hints(constructor)
    parameters = [*inspect.signature(constructor).parameters.values()][1:]
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {p.name: p.replace(annotation=types.get(p.name, Any)) for p in parameters if p.kind not in kinds}
