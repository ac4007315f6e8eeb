"""Where a run keeps what it makes: logs, checkpoints, results and its configuration, all in one folder."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from spar_lightning.types import UserError


class ContinuedCSVLogger(CSVLogger):
    """A CSVLogger that keeps the rows of the run that it goes on with, which Lightning's deletes."""

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """The writer, which starts with what is in the file."""
        if self._experiment is None:
            path = Path(self.log_dir) / ExperimentWriter.NAME_METRICS_FILE
            earlier = _read_rows(path)
            writer = super().experiment
            writer.metrics.extend(earlier)
            writer.save()
        return cast(ExperimentWriter, super().experiment)


def _read_rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@dataclass(frozen=True)
class RunFolder:
    """A run's folder; stages below it have folders of the same shape."""

    path: Path

    @classmethod
    def choose(cls, run_dir: str | None, dataset: str, checkpoint: str | None) -> RunFolder:
        """The folder that was asked for; else the one that a resumed checkpoint lies in; else a new one.

        Args:
            run_dir: what the user asked for, if anything.
            dataset: name of the data set, which names a new folder `runs/<dataset>/version_<n>`.
            checkpoint: path of the checkpoint that is resumed, if any.
        """
        if run_dir is not None:
            return cls(Path(run_dir))
        if checkpoint is not None and Path(checkpoint).parent.name == "checkpoints":
            return cls(Path(checkpoint).parent.parent)
        name = re.sub(r"[^\w.-]+", "-", dataset.removeprefix("spar/")).strip("-")
        parent = Path("runs") / name
        numbers = (path.name.removeprefix("version_") for path in parent.glob("version_*"))
        taken = [int(number) for number in numbers if number.isdigit()]
        return cls(parent / f"version_{max(taken, default=-1) + 1}")

    def create(self, goes_on: bool) -> RunFolder:
        """Make the folder, and see that it can be written to.

        Args:
            goes_on: whether a run that is there already is to be continued.

        Raises:
            UserError: if it cannot be written to, or holds another run.
        """
        if not goes_on and any((self.path / name).exists() for name in ("checkpoints", "results.json", "config.yaml")):
            raise UserError(
                f"the run folder {self.path} holds a run already, expected an empty one: name another --run_dir, or"
                f" resume with --ckpt_path {self.path / 'checkpoints' / 'last.ckpt'}"
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise UserError(
                f"cannot write to the run folder {self.path} ({error.strerror}), expected a folder that this user may "
                "write to: name another one with --run_dir"
            ) from error
        return self

    def stage(self, name: str) -> RunFolder:
        """The folder of an earlier stage of this run."""
        return RunFolder(self.path / name)

    def loggers(self) -> list[Logger]:
        """TensorBoard in this folder, and CSV in `csv/` below it."""
        return [
            TensorBoardLogger(self.path, name="", version=""),
            ContinuedCSVLogger(self.path, name="", version="csv"),
        ]
