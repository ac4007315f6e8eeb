"""Which algorithm a command line is about: its settings decide which arguments there are at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spar_lightning.cli.parsing.peeking import peek, staged_command
from spar_lightning.training import ALGORITHMS
from spar_lightning.training.checkpoints import is_there, module_name, read_checkpoint
from spar_lightning.types import CheckpointError, UserError


def choose_algorithm(arguments: Sequence[str]) -> str:
    """Find the algorithm before there is a parser.

    It is that of `--algorithm` or of a configuration file, whichever comes last; else, where a checkpoint is
    evaluated, that of the checkpoint; else the first one.

    Args:
        arguments: of the command line, without the program's name.

    Raises:
        UserError: if what is given is no name.
        CheckpointError: if the checkpoint that is named cannot be read, or is another algorithm's.
    """
    command = staged_command(arguments)
    settings = peek(arguments, ("algorithm", "ckpt_path"))
    algorithm, path = settings.get("algorithm"), settings.get("ckpt_path")
    if isinstance(algorithm, str) and "${" in algorithm:
        algorithm = None  # an interpolation, which the parser will resolve: whoever builds it must look again
    if algorithm is not None and not isinstance(algorithm, str):
        raise UserError(f"`algorithm` is {algorithm}, expected one of {', '.join(ALGORITHMS)}, or a class path")
    # What is not there, such as an interpolation, is left to those who will read it.
    of_checkpoint = _algorithm_of(str(path)) if path and is_there(Path(str(path))) else None
    if algorithm is None:
        default = next(iter(ALGORITHMS))
        # A class path is code that would be imported: a checkpoint alone does not name it.
        algorithm = of_checkpoint if command != "fit" and of_checkpoint in ALGORITHMS else default
    if of_checkpoint not in (None, algorithm):
        raise CheckpointError(
            f"{path} was trained with the algorithm {of_checkpoint}, not with {algorithm}: add --algorithm"
            f" {of_checkpoint}, or give the configuration in the run's folder"
        )
    return algorithm


def _algorithm_of(path: str) -> str | None:
    name = module_name(read_checkpoint(path))
    own = name if "." in name else None
    return next((algorithm for algorithm, module in ALGORITHMS.items() if module.__name__ == name), own)
