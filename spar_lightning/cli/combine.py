"""The command `combine`."""

from __future__ import annotations

from pathlib import Path

from spar_lightning import training
from spar_lightning.cli.printing import only_result_on_stdout, print_text
from spar_lightning.given_path import given_path


def combine(checkpoints: list[str], out: str = "mean.ckpt") -> None:
    """Write one checkpoint that acts by the mean of several policies' actions, such as those of three seeds.

    `evaluate`, `ope` and `export` take it as any other; it cannot be trained on.

    Args:
        checkpoints: paths of two or more, or of run folders, whose last ones are taken.
        out: file to write.
    """
    paths = [_checkpoint(given_path(name)) for name in checkpoints]
    with only_result_on_stdout():
        module = training.combine(paths, given_path(out))
    kinds = sorted({type(member).__name__ for member in module.algorithm.members})
    print_text(f"  {out}  the mean of {len(paths)} policies ({', '.join(kinds)})")


def _checkpoint(path: Path) -> Path:
    """The last one of a run's folder, or the file itself."""
    return path / "checkpoints" / "last.ckpt" if path.is_dir() else path
