"""Files that others see whole or not at all, however many write them and whatever stops the writing."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import pytest

from spar_lightning import whole_file as whole_file_module
from spar_lightning.whole_file import check_folder, remove_unfinished, whole_file, write_text

NO_SPACE = OSError(errno.ENOSPC, "No space left on device")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_in_a_folder_that_is_made(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    with whole_file(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize("error", [RuntimeError("stopped"), KeyboardInterrupt(), NO_SPACE])
def test_what_was_there_stays_when_the_writing_fails(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail() -> None:
        with whole_file(path) as file:
            file.write(b"new")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.json"
    write_text(path, '{"updates": 1}')

    def full(descriptor: int) -> None:
        raise NO_SPACE

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as info:
        write_text(path, '{"updates": 2}')
    assert info.value.filename == str(path)
    assert '"updates": 1' in path.read_text()
    assert names(tmp_path) == ["results.json"]


def test_a_folder_is_tried_before_there_is_anything_to_write(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(NotADirectoryError, match=str(tmp_path / "file")):
            check_folder(folder)
    check_folder(tmp_path / "new" / "below")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_two_that_write_one_file_at_once_each_write_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with whole_file(path) as first:
        first.write(b"first" * 100_000)
        first.flush()
        with whole_file(path) as second:
            second.write(b"second")
        assert path.read_bytes() == b"second"
        first.write(b"end")
    assert path.read_bytes() == b"first" * 100_000 + b"end"
    assert names(tmp_path) == ["file"]


def test_processes_that_write_one_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    code = (
        "from pathlib import Path; from spar_lightning.whole_file import write_text\n"
        f"for _ in range(40): write_text(Path({str(path)!r}), LETTER * SIZE)"
    )
    lines = [
        code.replace("LETTER", repr(letter)).replace("SIZE", str(size)) for letter, size in (("a", 9), ("b", 9999))
    ]
    processes = [subprocess.Popen([sys.executable, "-c", line]) for line in lines]
    while any(process.poll() is None for process in processes):
        assert not path.exists() or path.read_text() in ("a" * 9, "b" * 9999)
    assert [process.returncode for process in processes] == [0, 0]
    assert names(tmp_path) == ["file"]


def test_what_a_kill_has_left_goes_with_the_next_writing_and_what_is_being_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "a [file] with a name of more than forty characters.json"
    code = (
        "import os, signal; from pathlib import Path; from spar_lightning.whole_file import whole_file\n"
        f"with whole_file(Path({str(path)!r})) as file:\n"
        "    file.write(b'half'); file.flush(); print('writes', flush=True); input(); file.write(b'whole')"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    killed, alive = (subprocess.Popen([sys.executable, "-c", code], **pipes) for _ in range(2))  # type: ignore[call-overload]
    for process in (killed, alive):
        assert process.stdout.readline() == "writes\n"
    assert len(names(tmp_path)) == 2
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert len(names(tmp_path)) == 2
    write_text(path, "new")
    remove_unfinished(tmp_path.parent)
    assert len(names(tmp_path)) == 2, "the one that is being written, and the new one"
    alive.communicate("\n")
    assert alive.returncode == 0
    assert path.read_text() == "halfwhole"
    assert names(tmp_path) == [path.name]


def test_who_may_read_a_new_file_is_the_users_choice(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "file", "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_name_as_long_as_can_be(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 120 + ".json")
    write_text(path, "new")
    assert path.read_text() == "new"


def test_what_is_no_file_is_written_into(tmp_path: Path) -> None:
    write_text(Path(os.devnull), "new")
    assert Path(os.devnull).is_char_device()
    with pytest.raises(IsADirectoryError):
        write_text(tmp_path, "new")
    assert names(tmp_path) == []


def test_files_of_others_are_not_taken_for_unfinished_ones(tmp_path: Path) -> None:
    for name in ("thesis.tmp", "notes.2026abcd-old.tmp", "last.ckpt.0123abcd.tmp"):
        (tmp_path / name).write_text("mine")
    remove_unfinished(tmp_path)
    assert names(tmp_path) == ["notes.2026abcd-old.tmp", "thesis.tmp"]


@pytest.mark.skipif(sys.platform == "win32", reason="a file that is open cannot be removed there")
def test_what_a_kill_has_left_empty_is_removed_and_a_writer_that_was_taken_for_one_writes_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "last.ckpt.01234567.tmp").touch()
    locked = whole_file_module._locked

    def late(file: BinaryIO) -> AbstractContextManager[None]:
        monkeypatch.setattr(whole_file_module, "_locked", locked)
        remove_unfinished(tmp_path)  # another process, between opening and locking
        return locked(file)

    monkeypatch.setattr(whole_file_module, "_locked", late)
    with whole_file(tmp_path / "last.ckpt") as file:
        file.write(b"all of it")
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
    assert (tmp_path / "last.ckpt").read_bytes() == b"all of it"
