"""Where data come from: a name alone says which source it belongs to.

| name | source |
|---|---|
| `spar/walker2d/medium-v0` | bundled: collected on first use |
| `d4rl:walker2d-medium-v2` | D4RL, by its own name: downloaded on first use |
| `https://host/x.hdf5` (`.h5`, `.npz`) | a file by its URL: downloaded on first use |
| `x.hdf5`, `~/x.h5`, `/data/x.npz` | a file by its path, in the layout of `flat_columns` |
| `x.csv`, `/data/x.parquet` | a table by its path, with one row a step |
| `x.hdf5` with demonstrations in it | robomimic's layout |
| `x.npz` with `masks`, `valids` or no `rewards` | OGBench's layout |
| `folder` | what LeRobot recorded, by its path |
| `mujoco/walker2d/medium-v0` | Minari, by its id: every other name |

A source is an entry of `SOURCES`. A new one needs a function that maps a name, and some of the `ReadingSettings`, to an
`OfflineDataset`, and a test of which names are its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from typing_extensions import Unpack

from spar_lightning.datasets.dataset import OfflineDataset
from spar_lightning.datasets.recording.recipes import BUNDLED_PREFIX
from spar_lightning.datasets.sources.arrays.array_source import open_file
from spar_lightning.datasets.sources.bundled import open_bundled
from spar_lightning.datasets.sources.d4rl_names import PREFIX as D4RL_PREFIX
from spar_lightning.datasets.sources.lerobot.lerobot_source import open_lerobot
from spar_lightning.datasets.sources.minari.minari_source import open_minari
from spar_lightning.datasets.sources.ogbench.layout import is_ogbench
from spar_lightning.datasets.sources.ogbench.ogbench_source import open_ogbench
from spar_lightning.datasets.sources.paths import is_lerobot, is_path, is_table, path_of
from spar_lightning.datasets.sources.reading_settings import ReadingSettings
from spar_lightning.datasets.sources.remote.remote_files import open_d4rl, open_url
from spar_lightning.datasets.sources.robomimic.robomimic_source import is_robomimic, open_robomimic
from spar_lightning.datasets.sources.tables.table_source import FRAME_PREFIX, open_frame_by_name, open_table
from spar_lightning.types import DataError


class Source(NamedTuple):
    """One kind of data set."""

    kind: str  # in words, such as "a table"
    owns: Callable[[str], bool]  # whether a name is of this kind
    open: Callable[..., OfflineDataset]  # by its name, and the settings that it takes
    takes: tuple[str, ...] = ("observation_keys",)  # of the reading settings


SOURCES: list[Source] = [
    Source("a bundled data set", owns=lambda name: name.startswith(BUNDLED_PREFIX), open=open_bundled),
    Source("a data set of D4RL's", owns=lambda name: name.startswith(D4RL_PREFIX), open=open_d4rl),
    Source("a file of arrays", owns=lambda name: "://" in name, open=open_url),
    Source(
        "a data frame", lambda name: name.startswith(FRAME_PREFIX), open_frame_by_name, ("columns", "success_reward")
    ),
    Source("a LeRobot folder", is_lerobot, open_lerobot, takes=("observation_keys", "columns", "success_reward")),
    Source("a robomimic file", is_robomimic, open_robomimic, ("observation_keys", "success_reward", "dones", "mask")),
    Source("an OGBench file", is_ogbench, open_ogbench, takes=("observation_keys", "task")),
    Source("a table", owns=is_table, open=open_table, takes=("columns", "success_reward")),
    Source("a file of arrays", owns=is_path, open=open_file, takes=("observation_keys", "success_reward")),
    Source("a Minari data set", owns=lambda _: True, open=open_minari),
]
"""The first that owns a name opens it."""


def path_named(name: str) -> Path | None:
    """The absolute path of the file or folder that a name stands for; None where it is no path on this machine."""
    source = next(source for source in SOURCES if source.owns(name))
    return path_of(name) if source.owns in (is_lerobot, is_robomimic, is_ogbench, is_table, is_path) else None


def open_dataset(
    name: str, observation_keys: Sequence[str] | None = None, **settings: Unpack[ReadingSettings]
) -> OfflineDataset:
    """Open a data set by its name, reading metadata only; fetch or collect it first if it is not on this machine.

    Args:
        name: as in the table above.
        observation_keys: which parts of dict observations to put side by side, in this order; by default those that
            the environment's family needs.
        settings: how it is read, where that is not clear by itself; None, as all are by default, leaves it to the
            source.

    Raises:
        DataError: the name is unknown (the message names near ones), of a kind that is not supported, or stands for
            data that cannot be fetched or used here; or a setting is none of its source's.
    """
    source = next(source for source in SOURCES if source.owns(name))
    stated: dict[str, object] = {"observation_keys": observation_keys, **settings}
    given = {setting: value for setting, value in stated.items() if value is not None}
    for setting in given:
        if setting not in source.takes:
            raise DataError(
                f"`{setting}` is set, but `{name}` is taken for {source.kind}, which has no use for it: leave it out."
            )
    return source.open(name, **given)
