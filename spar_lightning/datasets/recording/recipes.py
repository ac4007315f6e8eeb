"""The bundled data sets by their names."""

from __future__ import annotations

from spar_lightning.datasets.naming import did_you_mean
from spar_lightning.datasets.recording.locomotion import ENVIRONMENTS, KINDS, Locomotion
from spar_lightning.datasets.recording.maze_walks import MazeWalks
from spar_lightning.datasets.recording.recipe import Recipe
from spar_lightning.types import DataError

BUNDLED_PREFIX = "spar/"
STITCH = f"{BUNDLED_PREFIX}pointmaze/stitch-v0"
BUNDLED_DATASETS = (*(f"{BUNDLED_PREFIX}{env}/{kind}-v0" for env in ENVIRONMENTS for kind in KINDS), STITCH)


def parse_bundled_id(dataset_id: str) -> Recipe:
    """Look up a bundled id such as `spar/walker2d/medium-v0`.

    Raises:
        DataError: there is no such bundled data set; the message names the nearest ones.
    """
    if dataset_id not in BUNDLED_DATASETS:
        raise DataError(
            f"There is no bundled data set `{dataset_id}`; {did_you_mean(dataset_id, BUNDLED_DATASETS)} Bundled are"
            f" `{STITCH}` and `spar/<env>/<kind>-v0` with env in {', '.join(ENVIRONMENTS)} and kind in"
            f" {', '.join(KINDS)}."
        )
    if dataset_id == STITCH:
        return MazeWalks(dataset_id)
    _, environment, name = dataset_id.split("/")
    return Locomotion(dataset_id, environment, name.removesuffix("-v0"))
