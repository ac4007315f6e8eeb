"""The configs of published benchmarks, run for a moment on made-up data in the published layout."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from commands import CONFIGS, TINY, options, results
from published_data import place

from spar_lightning.cli import main
from spar_lightning.datasets.sources.d4rl_names import KNOWN_D4RL, PREFIX
from spar_lightning.datasets.sources.minari.names import PUBLISHED_DATASETS

JOBS = sorted(str(path.relative_to(CONFIGS)) for path in CONFIGS.glob("*/*.yaml") if path.parent.name != "suites")


def dataset_of(job: str) -> str:
    name: str = yaml.safe_load((CONFIGS / job).read_text())["data"]["dataset"]
    return name


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS)
def test_every_benchmark_runs(job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    monkeypatch.setenv("SPAR_LIGHTNING_CACHE", str(tmp_path / "cache"))
    name = dataset_of(job)
    place(name)
    folder = tmp_path / "run"
    tiny = options(trainer__val_check_interval=40, data__max_episode_steps=30) if "kitchen" not in job else []
    main(["fit", "--config", str(CONFIGS / job), "--run_dir", str(folder), *TINY, *tiny])
    document = results(folder)
    assert (document["dataset"], document["updates"]) == (name, 40)
    if "kitchen" in job:
        assert "return" not in document
    else:
        assert document["episodes"] == 1
        assert document["score"] is None  # since episodes are shorter than the benchmark's
        assert "no normalized score" in document["score_note"]


@pytest.mark.parametrize("job", JOBS)
def test_every_data_set_named_is_known(job: str) -> None:
    """The one in the settings, and all that the comment spells with braces."""
    text = (CONFIGS / job).read_text()
    known = {*PUBLISHED_DATASETS, *(PREFIX + name for name in KNOWN_D4RL)}
    assert dataset_of(job) in known
    for example in re.findall(r"--data\.dataset (\S+?)`", text):
        assert example in known | {"door/human-v0"}  # the README's own
