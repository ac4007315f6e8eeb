"""How much memory this process may still use."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil

CONTROL_GROUP = Path("/sys/fs/cgroup")
_VERSIONS = (
    (".", "memory.max", "memory.current", ""),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
)
"""Folder, files with limit and use, prefix of the names in `memory.stat`: of version 2 and 1."""


def available_memory() -> int:
    """Bytes: the least of what the machine has free, and what the limits of container and process leave."""
    left = [psutil.virtual_memory().available, _left_in_container()]
    if sys.platform == "linux":
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
        if limit != resource.RLIM_INFINITY:
            left.append(limit - int(psutil.Process().memory_info().data))
    return max(0, min(amount for amount in left if amount is not None))


def _left_in_container() -> int | None:
    """What the control group's limit leaves, of either version, None where there is no limit."""
    for place, *files, prefix in _VERSIONS:
        folder = CONTROL_GROUP / place
        try:
            limit, used = ((folder / name).read_text().strip() for name in files)
        except OSError:
            continue
        if limit == "max":
            return None
        return min(int(limit), int(limit) - int(used) + _reclaimable(folder / "memory.stat", prefix))
    return None


def _reclaimable(file: Path, prefix: str) -> int:
    """Cached files, which count as used and make room for whatever needs memory."""
    try:
        counts = dict(line.split() for line in file.read_text().splitlines())
    except OSError:
        return 0
    return sum(int(counts.get(f"{prefix}{state}_file", 0)) for state in ("inactive", "active"))
