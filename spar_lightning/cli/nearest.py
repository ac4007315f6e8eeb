"""What a mistyped word was meant to be."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches


def nearest(name: str, known: Collection[str]) -> str | None:
    """The known name that is most like another one, if any is.

    A last part alone stands for the shortest name that ends so, and what is like none for the shortest that begins so.

    >>> nearest("model.kapa", ["model.kappa", "model.sigma"]), nearest("--tau", ["--bc.model.tau", "--model.tau"])
    ('model.kappa', '--model.tau')
    >>> nearest("--env", ["--environment", "--max_episode_steps"])
    '--environment'
    """
    by_length = sorted(known, key=len)
    ends = [one for one in by_length if one.endswith(f".{name.removeprefix('--')}")]
    begin = [one for one in by_length if one.startswith(name)]
    return next(iter(ends or get_close_matches(name, known, n=1) or begin), None)


def did_you_mean(name: str, known: Collection[str]) -> str:
    """The end of a sentence about a word that is not known.

    >>> did_you_mean("fti", ["fit", "test"]), did_you_mean("sum", ["fit", "test"])
    (', did you mean fit?', '.')
    """
    meant = nearest(name, known)
    return "." if meant is None else f", did you mean {meant}?"
