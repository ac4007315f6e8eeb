"""Files that were once answered badly, and a few that are damaged anew; `fuzz.py` tries more."""

from __future__ import annotations

from pathlib import Path

import fuzz
import fuzz_samples
import pytest

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())
"""`hdf5-0.hdf5` states a billion rows, and holds none; the YAMLs have an interpolation beside a callback with an
enumeration, a seed of null, and a layer of 10**30 units."""


@pytest.mark.parametrize("damaged", CORPUS, ids=lambda path: path.name)
def test_what_once_failed(tmp_path: Path, damaged: Path) -> None:
    wrong, _ = fuzz.case(damaged.name.rpartition("-")[0], 0, tmp_path, damaged)
    assert not wrong


@pytest.mark.parametrize("kind", fuzz_samples.SAMPLES)
def test_a_sample_is_sound(tmp_path: Path, kind: str) -> None:
    wrong, path = fuzz.case(kind, 0, tmp_path, fuzz_samples.SAMPLES[kind](_folder(tmp_path)))
    assert not wrong
    assert "error:" not in (tmp_path / "answer.txt").read_text()
    assert path.exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", fuzz_samples.SAMPLES)
def test_damaged_files_are_answered_in_sentences(tmp_path: Path, kind: str) -> None:
    for seed in range(3):
        folder = tmp_path / str(seed)
        folder.mkdir()
        wrong, _ = fuzz.case(kind, seed, folder)
        assert not wrong, seed


def _folder(path: Path) -> Path:
    (path / "sample").mkdir()
    return path / "sample"
