"""A run's `metrics.csv`, which a run that goes on continues as if it had never stopped."""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from typing_extensions import override

from spar_lightning.whole_file import write_text

STEP = "step"
_WHOLE = re.compile(r"-?[0-9]{1,18}")


class ContinuedWriter(ExperimentWriter):
    """Goes on with the rows that are there, which Lightning's writer deletes; a row that is logged again counts once.

    Args:
        log_dir: folder of the file.
        updates: of the checkpoint that a run goes on from: rows of later ones are dropped, since they come again.
    """

    def __init__(self, log_dir: str, updates: int) -> None:
        super().__init__(log_dir)
        self._path = Path(self.metrics_file_path)
        rows = [row for row in _read(self._path) if int(row[STEP]) < updates]
        self._earlier = {_kind(row) for row in rows}
        self.metrics_keys = sorted({name for row in rows for name in row})
        if rows:
            self._rewrite(rows)
        else:
            self._path.unlink(missing_ok=True)

    @override
    def log_metrics(self, metrics_dict: dict[str, float], step: int | None = None) -> None:
        """Record a row, in the place of one of the earlier part with the same metrics of the same step."""
        super().log_metrics(metrics_dict, step)
        kind = _kind(self.metrics[-1])
        if kind in self._earlier:
            self._earlier.remove(kind)
            self._rewrite(row for row in _read(self._path) if _kind(row) != kind)

    @override
    def _check_log_dir_exists(self) -> None:
        """Delete nothing."""

    @override
    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        self._rewrite(_read(self._path), fieldnames)

    def _rewrite(self, rows: Iterable[Mapping[str, str]], names: Sequence[str] | None = None) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, fieldnames=self.metrics_keys if names is None else names)
        writer.writeheader()
        writer.writerows(rows)
        write_text(self._path, text.getvalue())


class ContinuedCSVLogger(CSVLogger):
    """A CSVLogger that goes on with its file.

    Args:
        updates: of the checkpoint that a run goes on from, 0 for a new run.
        arguments: of a CSVLogger.
    """

    def __init__(self, updates: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._updates = updates

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """The writer."""
        if self._experiment is None:
            self._experiment = ContinuedWriter(self.log_dir, self._updates)
        return cast(ExperimentWriter, self._experiment)


def _read(path: Path) -> list[dict[str, str]]:
    """The rows of a file, none if there is no file; what a kill has cut short, or is no row, is left out."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    whole, _, _ = text.rpartition("\n")
    rows = csv.DictReader(io.StringIO(whole, newline=""))
    with contextlib.suppress(csv.Error):  # such as a field that is longer than any number
        return [row for row in rows if _is_whole(row) and _WHOLE.fullmatch(row.get(STEP, ""))]
    return []


def _is_whole(row: Mapping[str | None, Any]) -> bool:
    """Whether it has a field for each name, and no more."""
    return None not in row and None not in row.values()


def _kind(row: Mapping[str, Any]) -> tuple[int, frozenset[str]]:
    """Step and names of what a row holds."""
    return int(row[STEP]), frozenset(name for name, value in row.items() if value not in ("", None))
