"""What JSON documents hold: numbers and texts in a form that it has, and data sets by the name that people use."""

from __future__ import annotations

import math
from pathlib import PurePath
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


def people_call(dataset: str) -> str:
    """A data set's name; of a path on this machine the last part, which is what others can make something of.

    >>> people_call("spar/hopper/medium-v0"), people_call("/home/me/logs.npz")
    ('spar/hopper/medium-v0', 'logs.npz')
    """
    return PurePath(dataset).name if dataset.startswith(("/", "~", ".")) else dataset
