"""How much memory this process takes, and how much it took at most."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import psutil


def process_memory(name: str) -> int:
    """Bytes of a kind of memory of this process, named as in Linux's /proc; 0 where the system does not tell."""
    path = Path(f"/proc/{os.getpid()}/status")
    found = re.search(rf"{name}:\s+(\d+) kB", path.read_text(encoding="utf-8")) if path.is_file() else None
    return 0 if found is None else 1024 * int(found[1])


def peak_memory() -> int:
    """Bytes of the largest resident size so far. On Linux `ru_maxrss` would begin with the parent's."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    else:  # noqa: RET505  # a branch of its own, which types are not checked in for another system
        import resource

        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return process_memory("VmHWM") or (largest if sys.platform == "darwin" else 1024 * largest)
