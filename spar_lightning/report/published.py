"""Published scores on D4RL's data sets, to set beside finished runs on the same data.

Sources: the last and best scores in the README of CORL (Tarasov et al., 2023; means over seeds after 1,000,000
updates), and those of SPAR's authors (arXiv 2605.27877), as a public leaderboard has copied them: it had no others.
"""

from __future__ import annotations

import inspect
import re
from typing import NamedTuple

from spar_lightning.algorithms import SPAR
from spar_lightning.documents import flat_settings
from spar_lightning.report.documents import Document

UPDATES = 1_000_000
"""Of the published runs."""

METHODS = ("BC", "10% BC", "TD3+BC", "IQL", "ReBRAC")
_OF_MODULE = {
    "BCModule": "BC",
    "TD3BCModule": "TD3+BC",
    "IQLModule": "IQL",
    "ReBRACModule": "ReBRAC",
    "SPARModule": "SPAR",
}
_CHOICES = {
    name: inspect.signature(SPAR).parameters[name].default
    for name in ("residual", "manifold", "improvement", "regression")
}
"""Settings of SPAR that make it the published method, as they usually are; others are chosen for the data."""

CORL_LAST: dict[str, tuple[float, ...]] = {
    "halfcheetah-medium-v2": (42.40, 42.46, 48.10, 48.31, 64.04),
    "halfcheetah-medium-replay-v2": (35.66, 23.59, 44.84, 44.46, 51.18),
    "halfcheetah-medium-expert-v2": (55.95, 90.10, 90.78, 94.74, 103.80),
    "hopper-medium-v2": (53.51, 55.48, 60.37, 67.53, 102.29),
    "hopper-medium-replay-v2": (29.81, 70.42, 64.42, 97.43, 94.98),
    "hopper-medium-expert-v2": (52.30, 111.16, 101.17, 107.42, 109.45),
    "walker2d-medium-v2": (63.23, 67.34, 82.71, 80.91, 85.82),
    "walker2d-medium-replay-v2": (21.80, 54.35, 85.62, 82.15, 84.25),
    "walker2d-medium-expert-v2": (98.96, 108.70, 110.03, 111.72, 111.86),
    "antmaze-umaze-diverse-v2": (47.25, 44.00, 44.75, 54.25, 83.50),
    "pen-human-v1": (71.03, 26.99, -3.88, 78.49, 103.16),
    "pen-cloned-v1": (51.92, 46.67, 5.13, 83.42, 102.79),
}
"""By data set, in the order of `METHODS`."""

CORL_BEST: dict[str, tuple[float, ...]] = {
    "halfcheetah-medium-v2": (43.60, 43.90, 48.93, 48.84, 65.62),
    "halfcheetah-medium-replay-v2": (40.52, 42.27, 45.84, 45.35, 52.22),
    "halfcheetah-medium-expert-v2": (79.69, 94.11, 96.59, 95.38, 108.89),
    "hopper-medium-v2": (69.04, 73.84, 70.44, 80.46, 103.19),
    "hopper-medium-replay-v2": (68.88, 90.57, 98.12, 102.69, 102.57),
    "hopper-medium-expert-v2": (90.63, 113.13, 113.22, 113.18, 113.16),
    "walker2d-medium-v2": (80.64, 82.05, 86.91, 87.58, 87.79),
    "walker2d-medium-replay-v2": (48.41, 76.09, 91.17, 89.94, 91.11),
    "walker2d-medium-expert-v2": (109.95, 109.90, 112.21, 113.06, 112.49),
    "antmaze-umaze-diverse-v2": (64.75, 63.50, 71.25, 79.50, 96.75),
    "pen-human-v1": (99.69, 59.89, 9.95, 106.15, 127.28),
    "pen-cloned-v1": (99.14, 83.62, 52.66, 114.05, 128.64),
}

SPAR_PAPER: dict[str, float] = {
    "halfcheetah-medium-expert-v2": 97.0,
    "hopper-medium-replay-v2": 101.9,
    "walker2d-medium-expert-v2": 113.4,
    "antmaze-umaze-diverse-v2": 76.7,
    "pen-human-v1": 62.7,
    "pen-cloned-v1": 76.2,
}


class Published(NamedTuple):
    """What was published for the data set of a run."""

    data_set: str
    method: str | None  # the published method that the run is of, if it is of one
    last: float | None  # of that method
    best: float | None
    source: str


def published_for(document: Document) -> Published | None:
    """The published scores that a run can be set beside; None where its data are not D4RL's.

    Recordings of the same name from other sources are other data: `spar/...` and Minari's have none.
    """
    name = d4rl_data_set(str(document.get("dataset", "")))
    if name is None or name not in CORL_LAST:
        return None
    method = published_method(document)
    if method == "SPAR":
        return Published(name, method, SPAR_PAPER.get(name), None, "SPAR's paper")
    if method is None:
        return Published(name, None, None, None, "CORL")
    place = METHODS.index(method)
    return Published(name, method, CORL_LAST[name][place], CORL_BEST[name][place], "CORL")


def d4rl_data_set(name: str) -> str | None:
    """D4RL's name for a data set: of `d4rl:<name>`, or of the path of a file that D4RL calls so.

    >>> d4rl_data_set("d4rl:pen-human-v1"), d4rl_data_set("/data/hopper_medium-v2.hdf5"), d4rl_data_set("spar/x/y-v0")
    ('pen-human-v1', 'hopper-medium-v2', None)
    """
    if name.startswith("d4rl:"):
        return name.removeprefix("d4rl:")
    file = re.search(r"([\w-]+)\.(hdf5|h5)$", name)
    return file[1].replace("_", "-") if file else None


def published_method(document: Document) -> str | None:
    """Which published method a run is of: of none where it is an ablation of SPAR, or learns from chosen episodes.

    Cloning of the best tenth of the episodes is a method of its own. A choice that was not recorded is the usual one.
    """
    module, settings = str(document.get("module", "")), flat_settings(document.get("settings") or {})
    if any(name.startswith("data.filter") and value is not None for name, value in settings.items()):
        return None
    fraction = settings.get("data.top_fraction")
    if fraction is not None:
        return "10% BC" if (module, fraction) == ("BCModule", 0.1) else None
    is_usual = all(settings.get(f"model.{name}", usual) == usual for name, usual in _CHOICES.items())
    return _OF_MODULE.get(module) if is_usual else None
