"""Numbers and texts in a form that JSON has."""

from __future__ import annotations

import math
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
