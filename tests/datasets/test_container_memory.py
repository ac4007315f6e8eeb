"""What is left of the memory of a container, whose limit counts the files that the kernel keeps in memory too."""

from __future__ import annotations

from pathlib import Path

import pytest

from spar_lightning.datasets import memory

GB = 10**9


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A control group of this machine, which has 64 GB free."""
    (tmp_path / "memory").mkdir()
    monkeypatch.setattr(memory, "CONTROL_GROUP", tmp_path)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: type("Free", (), {"available": 64 * GB}))
    monkeypatch.setattr("resource.getrlimit", lambda kind: (-1, -1))
    return tmp_path


def write(group: Path, version: int, limit: object, used: int, **cached: int) -> None:
    """As the kernel states a limit."""
    limits, usage = [("max", "current"), ("limit_in_bytes", "usage_in_bytes")][version == 1]
    folder, prefix = [(group, ""), (group / "memory", "total_")][version == 1]
    (folder / f"memory.{limits}").write_text(f"{limit}\n")
    (folder / f"memory.{usage}").write_text(f"{used}\n")
    counts = {"anon": used, "shmem": GB, **cached}
    (folder / "memory.stat").write_text("".join(f"{prefix}{name} {count}\n" for name, count in counts.items()))


@pytest.mark.parametrize("version", [2, 1])
def test_cached_files_are_given_up_for_what_needs_memory(group: Path, version: int) -> None:
    write(group, version, 8 * GB, 8 * GB - 4096, inactive_file=3 * GB, active_file=2 * GB)
    assert memory.available_memory() == 5 * GB + 4096
    write(group, version, 8 * GB, 8 * GB)
    assert memory.available_memory() == 0
    write(group, version, 8 * GB, 2 * GB, inactive_file=7 * GB)  # counted at another moment
    assert memory.available_memory() == 8 * GB
    write(group, version, 100 * GB, 2 * GB)
    assert memory.available_memory() == 64 * GB


def test_without_a_limit_the_machine_s_memory_counts(group: Path) -> None:
    assert memory.available_memory() == 64 * GB
    write(group, 1, 2**63 - 4096, 2 * GB)
    assert memory.available_memory() == 64 * GB
    write(group, 2, "max", 2 * GB)
    assert memory.available_memory() == 64 * GB


def test_a_group_that_does_not_tell_its_cache_has_a_limit_all_the_same(group: Path) -> None:
    write(group, 2, 8 * GB, 5 * GB)
    (group / "memory.stat").unlink()
    assert memory.available_memory() == 3 * GB
