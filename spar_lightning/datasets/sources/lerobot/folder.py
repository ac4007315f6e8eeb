"""What a LeRobot folder holds, without its rows.

| file | |
|---|---|
| `meta/info.json` | `codebase_version`, and `features`: name -> `dtype`, `shape` |
| `data/chunk-000/file-000.parquet` | v3.0: the steps of many episodes |
| `data/chunk-000/episode_000000.parquet` | v2.0, v2.1: the steps of one |
| `videos/`, `images/` | left alone |

Source: `src/lerobot/datasets/utils.py` of huggingface/lerobot.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from spar_lightning.types import DataError

INFO = Path("meta", "info.json")
_FILES = {"v3.": "file-*.parquet", "v2.": "episode_*.parquet"}  # how a version begins -> its files
_PICTURES = ("image", "video")


class LeRobotFolder(NamedTuple):
    """The files of a folder, and what their columns are."""

    files: list[Path]  # in the order of the recording
    pictures: list[str]  # features that are images or videos


def read_folder(folder: Path) -> LeRobotFolder:
    """Look at a folder; what its metadata say of numbers of episodes and steps is not needed.

    Raises:
        DataError: it is of another version, damaged, or has no steps.
    """
    info = _info(folder / INFO)
    version, features = str(info.get("codebase_version")), info.get("features")
    pattern = next((files for start, files in _FILES.items() if version.startswith(start)), None)
    if pattern is None:
        raise DataError(
            f"{folder} has the `codebase_version` {version}, expected v2.0, v2.1 or v3.0: convert it with LeRobot."
        )
    files = sorted((folder / "data").glob(f"*/{pattern}"), key=_number)
    if not files:
        raise DataError(f"{folder} has no `data/*/{pattern}`, expected at least one file: is its download complete?")
    kinds = {name: feature.get("dtype") for name, feature in _mapping(features).items() if isinstance(feature, dict)}
    return LeRobotFolder(files, [name for name, kind in kinds.items() if kind in _PICTURES])


def _info(path: Path) -> dict[str, Any]:
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}. Fetch it again.") from error
    return _mapping(info)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(path: Path) -> tuple[list[int], str]:
    return [int(digits) for digits in re.findall(r"\d+", f"{path.parent.name}/{path.name}")], path.name
