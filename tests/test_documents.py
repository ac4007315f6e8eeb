"""Paths as people read them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spar_lightning.documents import from_here


def test_a_path_is_shown_from_where_one_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert from_here(tmp_path / "runs" / "one") == os.path.join("runs", "one")  # noqa: PTH118
    assert from_here(tmp_path / "runs" / "one", tmp_path / "runs") == "one"


def test_on_another_drive_it_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> str:
        raise ValueError("path is on mount 'D:', start on mount 'C:'")  # as Windows' own

    monkeypatch.setattr(os.path, "relpath", refuse)
    assert from_here(Path("/runs/one")) == str(Path("/runs/one"))
