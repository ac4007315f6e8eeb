"""Results as documents: in a form that JSON has, and numbers and names as people read them."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np


def json_ready(value: Any) -> Any:
    """Nested dicts, lists, tuples and arrays as dicts and lists; None in the place of NaN and infinity.

    >>> json_ready({"bounds": np.array([-np.inf, 1.0]), "names": ("a", "b")})
    {'bounds': [None, 1.0], 'names': ['a', 'b']}
    """
    if isinstance(value, dict):
        return {name: json_ready(item) for name, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return json_ready(value.tolist())
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def flat_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names.

    >>> flat_settings({"model": {"kappa": 2.0, "base": {"dropout": 0.1}}})
    {'model.kappa': 2.0, 'model.base.dropout': 0.1}
    """
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= flat_settings(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


def people_call(dataset: str) -> str:
    """A data set's name; of a path on this machine the last part, which is what others can make something of.

    >>> people_call("spar/hopper/medium-v0"), people_call("/home/me/logs.npz")
    ('spar/hopper/medium-v0', 'logs.npz')
    """
    return PurePath(dataset).name if dataset.startswith(("/", "~", ".")) else dataset


def short_name(data_set: str) -> str:
    """What to call a data set: a file or folder without its path.

    >>> short_name("spar/hopper/medium-v0"), short_name("D4RL/door/human-v2"), short_name("../data/logs.npz")
    ('hopper/medium-v0', 'D4RL/door/human-v2', 'logs')
    >>> short_name("logs.npz"), short_name("/data/lift/v1.5"), short_name("https://example.org/mine.hdf5")
    ('logs', 'v1.5', 'mine')
    """
    path, is_file = PurePath(data_set), re.search(r"\.[A-Za-z]\w*$", data_set) is not None
    is_place = is_file or data_set.startswith(("/", "~", "."))
    return (path.stem if is_file else path.name) if is_place else data_set.removeprefix("spar/")


def slug(name: str) -> str:
    """A name as that of a folder.

    >>> slug("spar/hopper/medium-v0"), slug("TD3+BC"), slug("10% BC")
    ('hopper-medium-v0', 'TD3+BC', '10%-BC')
    """
    return re.sub(r"[^\w.+%=-]+", "-", name.removeprefix("spar/")).strip("-.")


def from_here(path: Path, start: Path | None = None) -> str:
    """A path relative to a folder, by default the working one; as it is where none leads there, as on Windows."""
    try:
        return os.path.relpath(path, start)
    except ValueError:  # on another drive
        return str(path)


def decimals(values: Iterable[float | None], least: int) -> int:
    """How many show two digits of the largest of some values, and one of the smallest that is not 0 if six are enough.

    So two values that differ are told apart, and a bound beside a verdict is not shown as 0 where it is not.

    >>> decimals([-0.00088, -0.00157, -0.00024], 2), decimals([12.0, None], 1), decimals([44.8, 0.04], 1)
    (4, 1, 2)
    >>> decimals([0.8, 0.73], 0), decimals([math.nan, 0.0, math.inf], 2)
    (2, 2)
    """
    sizes = [abs(value) for value in values if value is not None and 0 < abs(value) < math.inf]  # it may have diverged
    if not sizes:
        return least
    of_largest, of_smallest = (-math.floor(math.log10(size)) for size in (max(sizes), min(sizes)))
    return max(least, 1 + of_largest, of_smallest if of_smallest <= 6 else 0)


def duration(seconds: float) -> str:
    """In words.

    >>> duration(7.4), duration(75), duration(7500), duration(200_000)
    ('7 s', '1 min 15 s', '2 h 5 min', '2 d 7 h')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def right_aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """All columns to the right, two spaces between them.

    >>> right_aligned([("a", "b"), ("long", "1")])
    ['   a  b', 'long  1']
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
