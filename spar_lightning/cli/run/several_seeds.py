"""`--num_seeds`: a run of several seeds as that many command lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spar_lightning.cli.parsing.peeking import peek
from spar_lightning.cli.run.resuming import CONFIG, LAST, align_seeds, checkpoint_option
from spar_lightning.given_path import given_path
from spar_lightning.training.checkpoints import is_there
from spar_lightning.types import UserError

MOST_SEEDS = 256


def split_seeds(arguments: Sequence[str]) -> list[list[str]]:
    """The command lines of the seeds, from `seed_everything` on; the line itself where there is one seed.

    Each runs in a folder of its own: `seed_<n>` in `--run_dir`, or in one that is chosen as always.

    Args:
        arguments: of a command line, without the program's name.

    Raises:
        UserError: if the number makes no sense, or a checkpoint is gone on from.
    """
    given = peek(arguments, ("num_seeds", "seed_everything", "run_dir", "resume", "ckpt_path", "stage"))
    count, first = _number("num_seeds", given.get("num_seeds", 1)), given.get("seed_everything", 0)
    if "fit" not in arguments or count == 1:
        resumed = None if given.get("resume") in (None, "null") else given.get("run_dir")
        if resumed is not None:
            _check_seed(Path(str(resumed)), given.get("seed_everything"))
        if resumed is not None and any(Path(str(resumed)).glob("seed_*/config.yaml")):
            raise UserError(
                f"{resumed} holds a run of several seeds: leave `num_seeds` out, or resume one of its folders"
            )
        return [list(arguments)]
    if not 1 <= count <= MOST_SEEDS:
        raise UserError(f"`num_seeds` is {count}, expected 1 to {MOST_SEEDS}")
    if given.get("ckpt_path") not in (None, "null") and given.get("stage") != "improvement":
        raise UserError(
            "`num_seeds` and `ckpt_path` are both given: go on with all of them by --resume and their common folder, or"
            " with each by itself, from its own"
        )
    seeds = range(start := _number("seed_everything", first), start + count)
    lines = [[*arguments, "--num_seeds", "1", "--seed_everything", str(seed)] for seed in seeds]
    if given.get("run_dir") is not None:
        folders = [given_path(str(given["run_dir"])) / f"seed_{seed}" for seed in seeds]
        lines = [[*line, "--run_dir", str(folder)] for line, folder in zip(lines, folders, strict=True)]
        if given.get("resume") not in (None, "null"):
            align_seeds(folders)
            lines = [
                [*line, "--resume", str(folder), *checkpoint_option(folder)]
                for line, folder in zip(lines, folders, strict=True)
            ]
    return lines


def _check_seed(folder: Path, seed: object) -> None:
    """See that a run that has begun goes on with its own seed, which its results name."""
    own = peek(["fit", "--config", str(folder / CONFIG)], ("seed_everything",)).get("seed_everything")
    has_begun = any(is_there(folder / stage / LAST) for stage in ("base", ""))
    if has_begun and not isinstance(own, bool) and str(seed) != str(own):
        raise UserError(
            f"`seed_everything` is {seed}, the run in {folder} has {own}: leave it out to go on, or train another run"
            " with it"
        )


def _number(name: str, value: object) -> int:
    if isinstance(value, bool):
        value = None
    try:
        return int(str(value))
    except ValueError:
        raise UserError(f"`{name}` is {value}, expected a whole number beside `num_seeds`") from None
