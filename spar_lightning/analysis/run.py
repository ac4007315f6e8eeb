"""A finished run's folder: its configuration, results and curves."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spar_lightning.entries import Each, Entries
from spar_lightning.evaluation.result_entries import OF_RUN, checked
from spar_lightning.given_path import given_path
from spar_lightning.types import UserError

FILES = ("config.yaml", "results.json", "csv/metrics.csv", "checkpoints/last.ckpt")
"""What is read of a run."""

_CONFIG = Entries(
    {
        "data": Each(object),
        "model": Entries({}, {"warmup_steps": (int, type(None))}),
        "callbacks": Entries({"rollout": Entries({"first_seed": int})}),
    }
)
_RESULTS = Entries({"module": str, "updates": int}, {**OF_RUN.needed, **OF_RUN.further})

Curve = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Updates (N,) and values (N,)."""


@dataclass(frozen=True)
class FinishedRun:
    """What a training with `fit` has left in its folder.

    Args:
        folder: of the run, with its files in it.
    """

    folder: Path

    @classmethod
    def open(cls, folder: str | Path) -> FinishedRun:
        """See that the folder of a run is whole.

        Raises:
            UserError: if a file is missing.
        """
        folder = given_path(str(folder))
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing == ["csv/metrics.csv"]:
            raise UserError(
                f"{folder} has no csv/metrics.csv, expected the curves that a run logs every"
                " `trainer.log_every_n_steps` updates: log more often, or train longer"
            )
        if missing:
            raise UserError(
                f"{folder} has no {missing[0]}, expected the folder of a finished run of `fit`, such as"
                " runs/walker2d-medium-replay-v0/version_0"
            )
        return cls(folder)

    @cached_property
    def config(self) -> dict[str, Any]:
        """All settings, resolved."""
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException
        from yaml import YAMLError

        try:
            found = OmegaConf.to_container(OmegaConf.load(self.folder / "config.yaml"), resolve=True)
        except (OmegaConfBaseException, YAMLError, ValueError) as error:
            raise self._refused("config.yaml", error) from error
        return checked(self._mapping("config.yaml", found), _CONFIG, str(self.folder / "config.yaml"))

    @cached_property
    def results(self) -> dict[str, Any]:
        """The document of results."""
        try:
            found = json.loads((self.folder / "results.json").read_text(encoding="utf-8"))
        except (RecursionError, ValueError) as error:
            raise self._refused("results.json", error) from error
        return checked(self._mapping("results.json", found), _RESULTS, str(self.folder / "results.json"))

    @property
    def updates(self) -> int:
        """Of the main stage."""
        return int(self.results["updates"])

    @property
    def warmup(self) -> int:
        """Updates before the policy began to improve."""
        left_out = self.config.get("stage") == "improvement"
        return 0 if left_out else min(int(self.config["model"].get("warmup_steps") or 0), self.updates)

    @property
    def warmup_taken_over(self) -> list[str]:
        """Options of `fit` with which another improvement begins where this run's began."""
        begun = self.config.get("ckpt_path") if self.config.get("stage") == "improvement" else None
        start = str(begun or self.folder / "checkpoints" / "last.ckpt")
        base = self.config.get("bc")
        own_base = not isinstance(base, Mapping) or base.get("ckpt_path") is None
        options = ["--config", str(self.folder / "config.yaml"), "--stage", "improvement", "--ckpt_path", start]
        return options if own_base else [*options, "--bc.ckpt_path", "null"]

    @property
    def label(self) -> str:
        """Data set and seed."""
        seed = self.results.get("seed")
        return str(self.results.get("dataset")) + ("" if seed is None else f", seed {seed}")

    @property
    def has_scores(self) -> bool:
        """Whether the run was evaluated on a normalized scale, rather than by returns or not at all."""
        return self.results.get("score") is not None

    @cached_property
    def _rows(self) -> list[dict[str, str]]:
        try:
            with (self.folder / "csv" / "metrics.csv").open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            for row in rows:
                for name, value in row.items():
                    float(value or 0) if name != "step" else int(value)
        except (csv.Error, TypeError, ValueError) as error:
            raise self._refused("csv/metrics.csv", error) from error
        if rows and "step" not in rows[0]:
            raise self._refused("csv/metrics.csv", "it has no column `step`")
        return rows

    @property
    def metrics(self) -> list[str]:
        """Names of all that was logged."""
        return list(self._rows[0]) if self._rows else []

    def curve(self, name: str) -> Curve:
        """Updates and values of a metric; the steps of the file count from 0."""
        points = [(int(row["step"]) + 1.0, float(row[name])) for row in self._rows if row.get(name)]
        updates, values = np.array(points, dtype=np.float64).reshape(-1, 2).T
        return updates, values

    def _mapping(self, name: str, found: Any) -> dict[str, Any]:
        if not isinstance(found, Mapping):
            raise self._refused(name, f"found {type(found).__name__}, expected settings by name")
        return {str(key): value for key, value in found.items()}

    def _refused(self, name: str, why: object) -> UserError:
        return UserError(f"{self.folder / name} cannot be read ({why}), expected it as `fit` has written it")
