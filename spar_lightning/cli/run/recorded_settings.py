"""A run's `config.yaml`, by which it can be gone on with, and made again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from jsonargparse import Namespace

from spar_lightning.cli.parsing.peeking import peek
from spar_lightning.cli.run.resuming import CONFIG
from spar_lightning.training.seeds import current_place
from spar_lightning.types import UserError
from spar_lightning.whole_file import whole_file, write_text


@contextmanager
def recorded_settings(
    settings: Namespace, folder: Path, dump: Callable[[Namespace], str], has_trained: Callable[[], bool]
) -> Generator[None]:
    """Write the file before a block trains; for several seeds one that is common to them, too.

    A run that is gone on with gets its own settings back where the new ones are refused before an update is made.

    Args:
        settings: of the command.
        folder: of the run.
        dump: makes YAML of settings.
        has_trained: tells whether an update was made in the block.
    """
    place = current_place()
    common = [folder.parent / CONFIG] if place is not None and place.is_first else []
    before = {path: path.read_bytes() for path in (folder / CONFIG, *common) if path.is_file()}
    _record(settings, folder, dump)
    try:
        yield
    except UserError:
        if not has_trained():
            for path, content in before.items():
                with contextlib.suppress(OSError), whole_file(path) as file:
                    file.write(content)
        raise


def _record(settings: Namespace, folder: Path, dump: Callable[[Namespace], str]) -> None:
    settings, place = settings.clone(), current_place()
    settings.ckpt_path = started_from(settings.get("ckpt_path"), folder)
    settings.resume = settings.allow_module = None
    write_text(folder / CONFIG, dump(settings))
    if place is not None and place.is_first:
        settings.num_seeds, settings.run_dir = place.count, str(folder.parent)
        write_text(folder.parent / CONFIG, dump(settings))


def started_from(path: str | None, folder: Path) -> str | None:
    """The checkpoint of another run that a run began with; what a run goes on from is no setting of it.

    Args:
        path: `ckpt_path` of the command line.
        folder: of the run, where an earlier configuration may say it.
    """
    recorded = peek(["fit", "--config", str(folder / CONFIG)], ("ckpt_path",)).get("ckpt_path")
    for found in (path, recorded):
        if found is not None and folder.resolve() not in Path(str(found)).resolve().parents:
            return str(found)
    return None
