"""A difference in words, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

BETTER, WORSE, NEITHER = "clearly better", "worse", "not distinguishable"

LEAST_EXPLAINED = 0.5
"""Share of the variance of unseen targets that critics must explain to be believed."""

MOST_AWAY = 1.5
"""How many times as far from the data as new data are a policy may act, for critics to be believed about it."""


class Verdict(NamedTuple):
    """What is said of a policy over what it is compared with."""

    words: str
    reason: str


def verdict(low: float | None, high: float | None) -> str:
    """An interval of a difference in words; a bound that is None or NaN distinguishes nothing.

    >>> verdict(0.1, 0.3), verdict(-0.1, 0.3), verdict(-0.3, -0.1), verdict(None, None)
    ('clearly better', 'not distinguishable', 'worse', 'not distinguishable')
    """
    if low is None or high is None:
        return NEITHER
    return BETTER if low > 0 else WORSE if high < 0 else NEITHER


def judged(
    gains: Mapping[str, Mapping[str, Any]], support: Mapping[str, Any] | None, explained: float | None = None
) -> Verdict:
    """What intervals of a policy's gain say together: what one alone says is not enough.

    Args:
        gains: by what they are about, in words; each with `low` and `high`.
        support: of the policy, with its `ratio`; None where nothing is held out.
        explained: share of the variance of unseen targets that the critics explain.

    >>> judged({"the gain at the start": {"low": 0.1, "high": 0.3}}, None).reason
    'the gain at the start is above 0'
    """
    said = {name: verdict(gain["low"], gain["high"]) for name, gain in gains.items()}
    if explained is not None and explained < LEAST_EXPLAINED:
        return Verdict(
            NEITHER, f"the critics explain {max(explained, 0):.0%} of what they did not learn from, too little"
        )
    words = {BETTER: "is above 0", WORSE: "is below 0", NEITHER: "has 0 in its interval"}
    reason = " and ".join(f"{name} {words[one]}" for name, one in said.items())
    agreed = next(iter(said.values())) if len(set(said.values())) == 1 else NEITHER
    if agreed == BETTER and support is not None and support["ratio"] > MOST_AWAY:
        away = f"the policy acts {support['ratio']:.1f} times as far from the data as new data lie, where critics guess"
        return Verdict(NEITHER, f"{reason}, but {away}")
    return Verdict(agreed, reason)
