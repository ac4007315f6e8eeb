"""Where a run keeps what it makes: logs, checkpoints, results and its configuration, all in one folder."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout
from lightning.pytorch.loggers import Logger, TensorBoardLogger

from spar_lightning.cli.run.metrics_file import ContinuedCSVLogger
from spar_lightning.cli.run.resuming import CONFIG
from spar_lightning.documents import short_name, slug
from spar_lightning.given_path import given_path
from spar_lightning.types import UserError
from spar_lightning.whole_file import remove_unfinished

LOCK = ".lock"
KEPT = ("checkpoints", "base/checkpoints", "results.json")
"""What a new run does not write over."""


@dataclass(frozen=True)
class RunFolder:
    """A run's folder; stages below it have folders of the same shape."""

    path: Path
    updates: int = 0
    """Of the checkpoint that the run goes on from: what was logged later is logged anew."""
    goes_on: bool = False
    """Whether there is something of the run already."""

    @staticmethod
    def choose(run_dir: str | None, dataset: str, checkpoint: str | None) -> Path:
        """The folder that was asked for; else the one that a resumed checkpoint lies in; else a new one, made here.

        Whoever does not use it in the end calls `give_up`.

        Args:
            run_dir: what the user asked for, if anything.
            dataset: name of the data set, which names a new folder `runs/<dataset>/version_<n>`.
            checkpoint: path of the checkpoint that is resumed, if any.

        Raises:
            UserError: if a new one cannot be made.
        """
        if run_dir is not None:
            return given_path(run_dir)
        if checkpoint is not None and Path(checkpoint).parent.name == "checkpoints":
            return Path(checkpoint).parent.parent
        return _claimed(Path("runs") / slug(short_name(dataset)))

    @contextmanager
    def created(self) -> Generator[None]:
        """Make the folder, and have it to oneself while a block trains: two trainings would mix what they write.

        Raises:
            UserError: if another training has it, or as `create`.
        """
        self.create()
        lock = FileLock(self.path / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise UserError(
                f"another training goes on in the run folder {self.path}, expected one at a time: wait for it, stop it,"
                " or name another --run_dir"
            ) from error
        try:
            remove_unfinished(self.path)
            yield
        finally:
            lock.release()

    def create(self) -> RunFolder:
        """Make the folder, and see that it can be written to.

        Raises:
            UserError: if it cannot be written to, or holds another run.
        """
        # Without any, such as after a stop before the first checkpoint, there is nothing to lose.
        if not self.goes_on and any((self.path / name).exists() for name in KEPT):
            raise UserError(
                f"the run folder {self.path} holds a run already, expected an empty one: name another --run_dir, or"
                f" go on with that run by `fit --resume {self.path}`"
            )
        if not self.goes_on and not _is_recorded(self.path / CONFIG):
            raise UserError(
                f"{self.path / CONFIG} was not written by a run, and would be replaced: name another --run_dir"
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise _unwritable(self.path, error.strerror) from error
        return self

    def stage(self, name: str, updates: int) -> RunFolder:
        """The folder of an earlier stage of this run, of which so many updates are made."""
        return RunFolder(self.path / name, updates, self.goes_on)

    def loggers(self) -> list[Logger]:
        """TensorBoard in this folder, and CSV in `csv/` below it."""
        later: dict[str, Any] = {"purge_step": self.updates} if self.goes_on else {}
        return [
            TensorBoardLogger(self.path, name="", version="", default_hp_metric=False, **later),
            ContinuedCSVLogger(self.updates, save_dir=self.path, name="", version="csv"),
        ]


def _is_recorded(config: Path) -> bool:
    """Whether a configuration is one that a run has written, or there is none."""
    try:
        found = yaml.safe_load(config.read_text(encoding="utf-8"))
    except OSError:  # such as a folder that cannot be read, of which more is said when it is made
        return True
    except (ValueError, RecursionError, yaml.YAMLError):
        return False
    return isinstance(found, dict) and found.keys() >= {"seed_everything", "run_dir", "data", "trainer"}


def _claimed(parent: Path) -> Path:
    """A new folder `version_<n>`, made at once: of runs that start together each gets its own."""
    while True:
        numbers = (path.name.removeprefix("version_") for path in parent.glob("version_*"))
        taken = [int(number) for number in numbers if number.isdigit()]
        path = parent / f"version_{max(taken, default=-1) + 1}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            if not parent.is_dir():
                raise _unwritable(path, "a file is in its place") from None
            continue
        except OSError as error:
            raise _unwritable(path, error.strerror) from error
        return path


def give_up(path: Path) -> None:
    """Remove a folder that `RunFolder.choose` has made, and those above it, as far as nothing was put there."""
    with contextlib.suppress(OSError):
        for folder in (path, path.parent, path.parent.parent):
            folder.rmdir()


def _unwritable(path: Path, reason: str | None) -> UserError:
    return UserError(
        f"cannot write to the run folder {path} ({reason}), expected a folder that this user may write to: name another"
        " one with --run_dir"
    )
