"""What a mistyped word was meant to be."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches


def nearest(name: str, known: Collection[str]) -> str | None:
    """The known name that is most like another one, if any is; a last part alone stands for the shortest that ends so.

    >>> nearest("model.kapa", ["model.kappa", "model.sigma"]), nearest("--tau", ["--bc.model.tau", "--model.tau"])
    ('model.kappa', '--model.tau')
    """
    ends = sorted((one for one in known if one.endswith(f".{name.removeprefix('--')}")), key=len)
    return next(iter(ends or get_close_matches(name, known, n=1)), None)


def did_you_mean(name: str, known: Collection[str]) -> str:
    """The end of a sentence about a word that is not known.

    >>> did_you_mean("fti", ["fit", "test"]), did_you_mean("sum", ["fit", "test"])
    (', did you mean fit?', '.')
    """
    meant = nearest(name, known)
    return "." if meant is None else f", did you mean {meant}?"
