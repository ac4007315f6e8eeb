"""How much memory this process may still use."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")


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
    """What the control group's limit leaves (version 2), None where there is no limit."""
    try:
        limit, used = ((_CGROUP / f"memory.{name}").read_text().strip() for name in ("max", "current"))
    except OSError:
        return None
    return None if limit == "max" else int(limit) - int(used)
