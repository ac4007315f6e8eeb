"""YAML in which no name stands twice in one mapping: YAML itself would let the last one win, without a word."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Of the parsers of configurations, which take tabs in JSON."""


class RepeatedKeyError(yaml.YAMLError):  # type: ignore[misc]
    """A name that stands twice."""


class EachKeyOnce(_Loader):  # type: ignore[misc]
    """A loader that refuses repetitions."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """As YAML's, without repetitions.

        Raises:
            RepeatedKeyError: with the name and its line.
        """
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if repeated := [name for name in names if names.count(name) > 1]:
            raise RepeatedKeyError(
                f"{repeated[0]} stands twice, the first time in line {node.start_mark.line + 1} or after"
            )
        found: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return found
