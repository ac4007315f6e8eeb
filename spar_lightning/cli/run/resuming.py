"""`fit --resume RUN_DIR`: what there is of a run, and the command line that does the rest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from spar_lightning.callbacks.checkpoints.random_state import restore_random_state_of
from spar_lightning.callbacks.checkpoints.resumable_checkpoint import EARLIER_NAME, FINISHED_KEY
from spar_lightning.cli.parsing.peeking import options
from spar_lightning.cli.run.several_processes import rank
from spar_lightning.given_path import given_path
from spar_lightning.training.checkpoints import is_there, read_checkpoint
from spar_lightning.training.module import AlgorithmModule
from spar_lightning.types import CheckpointError, UserError

CONFIG = "config.yaml"
LAST = Path("checkpoints") / "last.ckpt"
EARLIER = LAST.with_name(EARLIER_NAME)


def resumed_line(arguments: Sequence[str]) -> list[str]:
    """A command line with what `--resume` stands for: the run's configuration, its folder, its last checkpoint.

    Args:
        arguments: of the command line, without the program's name; one without `--resume` is left as it is.

    Raises:
        UserError: if there is no run, or the line says in another way too where to go on.
    """
    given = [value for name, value in options(arguments) if name == "--resume"]
    if "fit" not in arguments or not given:
        return list(arguments)
    folder = given_path(given[-1])
    for option in ("--run_dir", "--ckpt_path", "--bc.ckpt_path"):
        if any(name == option for name, _ in options(arguments)):
            raise UserError(f"--resume finds out by itself what {option} says: leave {option} out")
    if not (folder / CONFIG).is_file():
        raise UserError(
            f"{folder} holds no {CONFIG}, expected the folder of a run: name one with --resume, such as"
            " runs/walker2d-medium-replay-v0/version_0, or start anew"
        )
    if (folder / CONFIG).stat().st_size == 0:
        raise UserError(f"{folder / CONFIG} is empty, expected the settings of a run: was the disk full? Start anew")
    if "improvement" in (value for name, value in options(arguments) if name == "--stage"):
        _check_is_improvement(folder)
    found = ["--config", str(folder / CONFIG), "--run_dir", str(folder), *checkpoint_option(folder)]
    position = list(arguments).index("fit") + 1  # what the line says itself comes later, and wins
    return [*arguments[:position], *found, *arguments[position:]]


def _check_is_improvement(folder: Path) -> None:
    """Refuse to begin an improvement in the folder of a whole run, which would be replaced by it."""
    if (recorded := _recorded(folder)) and recorded.get("stage") != "improvement":
        raise UserError(
            f"--stage is improvement, but the run in {folder} is none, and would be replaced by it: train one into"
            f" another folder, by --stage improvement --ckpt_path {folder / LAST} without --resume"
        )


def _recorded(folder: Path) -> dict[str, Any]:
    """A run's settings; nothing where they cannot be read, of which whoever reads them for the training says more."""
    try:
        found = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def checkpoint_option(folder: Path) -> list[str]:
    """The option that names a run's last checkpoint, if there is one."""
    return ["--ckpt_path", str(folder / LAST)] if is_there(folder / LAST) else []


def take_finished_base(base: AlgorithmModule, checkpoint: dict[str, Any]) -> None:
    """Take over a base whose stage is over, and the random numbers where it left them.

    Raises:
        CheckpointError: if the checkpoint holds no such base.
    """
    try:
        base.load_state_dict(checkpoint["state_dict"])
        states = checkpoint["callbacks"]["ResumableCheckpoint"]["random_states"]
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"the run's base cannot be gone on from ({reason}): start a new run") from error
    restore_random_state_of(rank(), states)


def align_seeds(folders: Sequence[Path]) -> None:
    """Let runs of several seeds, which train together, go on from the same update, the last that all have saved.

    Each keeps the checkpoint before its last one for that.

    Raises:
        UserError: if they have none in common, or are not the seeds of the run.
    """
    made = {path.parent for path in folders[0].parent.glob(f"seed_*/{CONFIG}")}
    are_trained = any(is_there(folder / stage / LAST) for folder in made for stage in ("base", ""))
    if are_trained and made != {*folders}:
        names = [", ".join(sorted(folder.name for folder in some)) for some in (made, folders)]
        if made < {*folders} and _recorded(folders[0].parent).get("num_seeds") == len(folders):  # some were moved away
            remedy = f"bring the others back, or go on with each by itself, as with --resume {min(made)}"
        else:
            remedy = (
                "go on with the run's own `seed_everything` and `num_seeds`, or train others into another --run_dir"
            )
        raise UserError(f"{folders[0].parent} holds {names[0]}, and {names[1]} are asked for: {remedy}")
    for stage in (Path("base"), Path()):
        reached = [_updates(folder / stage / LAST) for folder in folders]
        common = min(reached)
        for folder, updates in zip(folders, reached, strict=True):
            if updates == common:
                continue
            is_finished = bool(read_checkpoint(folder / stage / LAST).get(FINISHED_KEY))
            is_first = not (is_finished or (folder / stage / EARLIER).exists())  # of all checkpoints
            if common == 0 and is_first:
                (folder / stage / LAST).unlink()
            elif is_there(folder / stage / EARLIER) and _updates(folder / stage / EARLIER) == common:
                (folder / stage / EARLIER).replace(folder / stage / LAST)
            else:
                raise UserError(
                    f"{folder} is at update {updates}, another seed of its run at {common}, and no checkpoint is"
                    f" common to all: go on with each by itself, as with --resume {folder}"
                )


def _updates(path: Path) -> int:
    return int(read_checkpoint(path).get("global_step", 0)) if is_there(path) else 0
