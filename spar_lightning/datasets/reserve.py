"""Room on the disk, taken before it is needed."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path
from typing import IO


def reserve(file: IO[bytes], size: int, folder: Path) -> None:
    """Give a file `size` bytes of the disk, where the system can; elsewhere see that so many are free in its folder.

    macOS and Windows have no such call: there a quota, or others who write meanwhile, are met later.

    Raises:
        OSError: there is no room.
    """
    if sys.platform == "linux":
        os.posix_fallocate(file.fileno(), 0, size)
    elif shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    else:
        file.truncate(size)
