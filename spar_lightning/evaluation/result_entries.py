"""The entries of results: of which types those must be that are read again, before anything is made of them."""

from __future__ import annotations

from typing import Any

from spar_lightning.entries import Each, Entries, Maybe, check_entries
from spar_lightning.types import CheckpointError, UserError

_NUMBER = (int, float)
_OPTIONAL = (*_NUMBER, type(None))
_TEXT = (str, type(None))
_MAY_HOLD = {"score": _OPTIONAL, "return": _NUMBER, "episodes": int}
_ROW = Entries({"return": _NUMBER}, _MAY_HOLD)
_GAIN = Entries({"mean": _NUMBER}, {"low": _OPTIONAL, "high": _OPTIONAL})
_TIMES = Entries(
    {"total": _NUMBER},
    {
        **dict.fromkeys(("training", "evaluation", "base"), _OPTIONAL),
        "training_at_evaluations": Maybe([_OPTIONAL]),
    },
)

OF_SUITE = Entries({"method": str}, {"suite": str, "data_set": _TEXT, "settings": _TEXT})
"""Of a `benchmark.json`."""

OF_RUN = Entries(
    {"dataset": str, "updates": int, "seed": (int, type(None)), "best": Maybe(_ROW), "wall_time_s": _TIMES},
    {
        **_MAY_HOLD,
        "module": str,
        "updates_per_second": _OPTIONAL,
        "score_note": _TEXT,
        "reference_returns": Maybe([_NUMBER]),
        "history": Maybe([Entries({"step": int}, _MAY_HOLD)]),
        "settings": Maybe(Each(object)),
        "machine": Maybe(Each(object)),
        "versions": Maybe(Each(object)),
        **dict.fromkeys(("base", "fitted", "noisy_policy", "noisy_base", "noisy_fitted"), _ROW),
        **dict.fromkeys(("improvement", "noisy_improvement"), _GAIN),
        **dict.fromkeys(("episode_returns", "noisy_episode_returns"), Maybe(Each([_NUMBER]))),
        "benchmark": OF_SUITE,
    },
)
"""Of a `results.json`, or of a run in a file of many; what else is there is only handed on."""


def checked(document: dict[str, Any], expected: Entries, name: str) -> dict[str, Any]:
    """A document whose entries are of the types that they should be.

    Args:
        document: that was read.
        expected: `OF_RUN`, `OF_SUITE` or the like.
        name: of the file, for the message.

    Raises:
        UserError: naming the first entry that is not.
    """
    try:
        check_entries(document, expected)
    except CheckpointError as error:
        raise UserError(
            f"{name} is not as this version writes it: {error}. Leave it out, or train and evaluate that run anew"
        ) from error
    return document
