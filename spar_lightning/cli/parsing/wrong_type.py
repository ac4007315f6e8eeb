"""What a setting of another type than it has to be was expected to be, in words."""

from __future__ import annotations

import re
import types
from argparse import Action
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, is_typeddict

import yaml

_KEY = re.compile(r'(?:.*: )?Parser key "(?P<key>[\w.]+)"', re.DOTALL)
"""How jsonargparse begins such an error; it ends with the value."""

_VALUE = re.compile(r".*(?:Got value|Given value): (?P<value>.*?)\s*$", re.DOTALL)

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", type(None): "null"}
_PLURAL = {"a whole number": "whole numbers", "a number": "numbers", "a text": "texts"}


def wrong_type(message: str, actions: Iterable[Action], configs: Sequence[Path] = ()) -> str | None:
    """A sentence in the place of jsonargparse's words; None where those say more, or something else is wrong.

    Args:
        message: jsonargparse's.
        actions: of the parser.
        configs: that it has read, in order.
    """
    key, value = _KEY.match(message), _VALUE.match(message)
    if key is None or value is None:
        return None
    name, found = key["key"], value["value"]
    action = next((action for action in actions if action.dest == name), None)
    expected = type_in_words(getattr(action, "_typehint", None) or getattr(action, "type", None))
    if expected is None:
        return None
    places = [path for path in configs if str(_value(path, name.split("."))) == found]
    verb = "holds" if "{" in expected or "[" in expected else "is"  # of a list it may be but one part that is wrong
    return f"`{name}` {verb} {found or 'nothing'}{f' in {places[-1]}' if places else ''}, expected {expected}"


def type_in_words(hint: Any) -> str | None:
    """What a value of a type looks like; None for types that are no plain ones.

    >>> type_in_words(float | None)
    'a number or null'
    >>> type_in_words(Sequence[int])
    'a list [..] of whole numbers'
    """
    words = _alternatives(hint)
    return None if words is None else " or ".join(dict.fromkeys(words))


def _alternatives(hint: Any) -> list[str] | None:
    origin, parts = get_origin(hint), get_args(hint)
    if hint in _WORDS:
        return [_WORDS[hint]]
    if is_typeddict(hint):
        return [f"a mapping {{..}} with {', '.join(hint.__annotations__)}"]
    if origin is Literal:
        return [str(part) for part in parts]
    found = [_alternatives(part) for part in parts]
    words = [one for one in found if one is not None]
    if not words or len(words) < len(found):
        return None
    if origin in (Union, types.UnionType):
        return [word for one in words for word in one]
    if origin in (list, Sequence):
        return [f"a list [..] of {' or '.join(_PLURAL.get(word, word) for word in words[0])}"]
    if origin in (dict, Mapping):
        return [f"a mapping {{..}} of {' or '.join(words[0])} to {' or '.join(words[1])}"]
    return None


def _value(path: Path, names: Sequence[str]) -> Any:
    """What a configuration says; a name of its own where it says nothing."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        for name in names:
            found = found[name]
    except (OSError, ValueError, LookupError, TypeError, RecursionError, yaml.YAMLError):
        return object()
    return found
