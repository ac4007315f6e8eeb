"""Which source a name belongs to."""

from __future__ import annotations

import pytest

from spar_lightning.data.sources.array_source import open_file
from spar_lightning.data.sources.bundled import open_bundled
from spar_lightning.data.sources.minari_source import open_minari
from spar_lightning.data.sources.registry import SOURCES
from spar_lightning.data.sources.remote_files import open_d4rl, open_url


@pytest.mark.parametrize(
    ("name", "opened_by"),
    [
        ("spar/walker2d/medium-v0", open_bundled),
        ("spar/typo", open_bundled),
        ("d4rl:walker2d-medium-v2", open_d4rl),
        ("D4RL/pen/human-v2", open_minari),
        ("mujoco/walker2d/medium-v0", open_minari),
        ("https://host/x.hdf5", open_url),
        ("ftp://host/x", open_url),
        ("walker2d_medium-v2.hdf5", open_file),
        ("data/X.NPZ", open_file),
        ("./folder", open_file),
        ("../folder", open_file),
        ("~/folder", open_file),
        ("/data/x.h5", open_file),
        ("recording.pkl", open_file),
    ],
)
def test_a_name_says_where_the_data_are(name: str, opened_by: object) -> None:
    assert next(source for source in SOURCES if source.owns(name)).open is opened_by
