"""How far the offline values were right, where there is a simulator after all: their order, and what it would cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scipy import stats


def ranking(values: Mapping[str, float], returns: Mapping[str, float]) -> dict[str, Any]:
    """How well values order policies whose true returns are known.

    Args:
        values: by name of the policy.
        returns: likewise; policies without either are left out.

    Returns:
        `policies`, their number; `rank_correlation` (Spearman's, None for fewer than two, or where all are alike),
        `chosen`, the one of the highest value, `best` that of the highest return, and `regret`, the return that
        choosing by value loses, absolute and as `regret_share` of the range of returns.

    >>> ranking({"base": 1.0, "policy": 2.0}, {"base": 10.0, "policy": 30.0})["rank_correlation"]
    1.0
    >>> ranking({"base": 2.0, "policy": 1.0}, {"base": 10.0, "policy": 30.0})["regret"]
    20.0
    """
    names = [name for name in values if name in returns]
    own, true = [values[name] for name in names], [returns[name] for name in names]
    differ = len(set(own)) > 1 and len(set(true)) > 1
    chosen, best = max(names, key=lambda name: values[name]), max(names, key=lambda name: returns[name])
    regret, extent = returns[best] - returns[chosen], max(true) - min(true)
    return {
        "policies": len(names),
        "rank_correlation": round(float(stats.spearmanr(own, true).statistic), 6) if differ else None,
        "chosen": chosen,
        "best": best,
        "regret": regret,
        "regret_share": regret / extent if extent > 0 else 0.0,
    }
