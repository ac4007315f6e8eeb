"""Room on the disk is taken, or seen to be there, before it is needed."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

from spar_lightning.datasets.reserve import reserve


@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_room_is_taken_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    monkeypatch.setattr(sys, "platform", system)
    if system != "linux":
        monkeypatch.delattr(os, "posix_fallocate")
    with tempfile.TemporaryFile(dir=tmp_path) as file:
        reserve(file, 1_000, tmp_path)
        assert os.fstat(file.fileno()).st_size == 1_000
        with pytest.raises(OSError, match=r"No space left|File too large"):
            reserve(file, 10**17, tmp_path)
