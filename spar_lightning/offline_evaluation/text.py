"""An offline evaluation as a person reads it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from spar_lightning.documents import decimals
from spar_lightning.offline_evaluation.evaluate import POLICY
from spar_lightning.offline_evaluation.fitted_q import BEHAVIOUR

_WIDTH = 110

_TRUST = (
    "A second opinion, not a decision: where a simulator could be asked, no policy that was worse was called worse,"
    " and one was called better."
)
"""As the folder's page tells."""


def evaluation_as_text(document: Mapping[str, Any]) -> str:
    """A table of values and gains, one of distances, and the verdict with its reason."""
    parts = [_values(document["fqe"]), _check(document["check"]), _distances(document["support"])]
    lines = [line for part in parts for line in part]
    return "\n".join([*lines, *_verdict(document)])


def summary_lines(document: Mapping[str, Any]) -> list[str]:
    """For a table of a run: the policy's gain alone, then what it means, the verdict, and the distance to the data."""
    fqe, check, near = (document[name] for name in ("fqe", "check", "support"))
    base, gain = _named(document["compared_with"]), check if fqe is None else fqe["gains"][POLICY]
    lines = [""]
    if gain is not None:
        digits = decimals(_bounded(gain), 2)
        interval = ""
        if gain["low"] is not None:
            interval = f"[{gain['low']:+.{digits}f}, {gain['high']:+.{digits}f}] at 95%, "
        what = "of one step" if fqe is None else "from the start, by fitted Q evaluation"
        words = document["verdict"] or "no verdict"
        lines = [f"{gain['mean']:+.{digits}f}", f"{interval}in discounted return over {base}, {what}: {words}"]
        lines.append(f"({document['reason']})")
    if near is not None:
        own, data = near["policies"][POLICY], near["data"]
        lines.append(
            f"distance to the data {own['ratio']:.2f} times that of held-out data, {own['beyond']:.0%} beyond 95% of"
            f" theirs; clipped {own['clipped']:.0%}, of theirs {data['clipped']:.0%}"
        )
    return lines


def ranking_as_text(truth: Mapping[str, Any]) -> str:
    """What policies earned in the simulator, and how well the offline values had ordered them."""
    digits = decimals((one["return"] for one in truth["scores"].values()), 0)
    rows = {
        name: [f"{one['return']:.{digits}f}", "-" if one["score"] is None else f"{one['score']:.1f}"]
        for name, one in truth["scores"].items()
    }
    order = truth["rank_correlation"]
    note = (
        f"rank correlation of the offline values with these returns {'-' if order is None else f'{order:+.2f}'};"
        f" highest value: {truth['chosen']}, highest return: {truth['best']}; choosing by value loses"
        f" {truth['regret']:.{digits}f}, {truth['regret_share']:.0%} of the range"
    )
    return "\n".join([*_table("in the simulator", ["return", "score"], rows, 16), *_wrapped(note)])


def _values(fqe: Mapping[str, Any] | None) -> list[str]:
    if fqe is None:
        return []
    rows = {
        name: [_interval(value, ""), *(_interval(fqe[kind].get(name), "+") for kind in ("gains", "state_gains"))]
        for name, value in fqe["values"].items()
    }
    heads = ["of a start", f"over {_named(fqe['compared_with'])}", "over all states"]
    note = (
        f"fitted Q evaluation, discount {fqe['discount']:g}: {2 * fqe['splits']} critics a policy, each of half of the"
        f" {fqe['episodes']:,} episodes of the training, asked about the other half; over all states of"
        f" {fqe['held_out_episodes']:,} episodes; {fqe['updates']:,} updates, {fqe['seconds']:.0f} s; they explain"
        f" {_share(min(fqe['explained'].values()))} of what they did not learn from"
    )
    return [*_table("discounted return", heads, rows, 26), *_wrapped(note), ""]


def _check(check: Mapping[str, Any] | None) -> list[str]:
    if check is None:
        return []
    text = (
        f"one step of the policy, then the behaviour: {_interval(check, '+')} over the base, on {check['episodes']}"
        " held-out episodes, say critics of the run that did not guide the policy"
    )
    if (check["low"] or 0) > 0:
        text += ", which say so of nearly every one"
    return [*_wrapped(text), ""]


def _distances(near: Mapping[str, Any] | None) -> list[str]:
    if near is None:
        return [*_wrapped("distance to the data: not known, no episode is held out"), ""]
    data = {**near["data"], "ratio": 1.0, "beyond": 0.05}
    rows = {
        name: [f"{one['distance']:.3f}", f"{one['ratio']:.2f}", f"{one['beyond']:.0%}", f"{one['clipped']:.1%}"]
        for name, one in {"the data": data, **near["policies"]}.items()
    }
    heads = ["distance to data", "times theirs", "beyond 95%", "clipped"]
    note = (
        f"to the nearest of {near['references']:,} transitions, standardized, from {near['states']:,} held-out states;"
        " clipped are action values at a bound"
    )
    return [*_table("at held-out states", heads, rows, 16), *_wrapped(note), ""]


def _table(title: str, heads: Sequence[str], rows: Mapping[str, Sequence[str]], width: int) -> list[str]:
    first = max(len(name) for name in (title, *rows))
    header = f"  {title:<{first}}" + "".join(f"  {head:>{width}}" for head in heads)
    rule = "  " + "-" * (len(header) - 2)
    lines = [f"  {name:<{first}}" + "".join(f"  {cell:>{width}}" for cell in cells) for name, cells in rows.items()]
    return [header, rule, *lines, rule]


def _verdict(document: Mapping[str, Any]) -> list[str]:
    if document["verdict"] is None:
        return _wrapped(f"no verdict: {document['reason']}")
    text = f"the policy over {_named(document['compared_with'])}: {document['verdict']}, since {document['reason']}"
    return [*_wrapped(text), *_wrapped(_TRUST)]


def _named(name: str) -> str:
    return "the behaviour" if name == BEHAVIOUR else f"the {name}"


def _share(least: float) -> str:
    return "nothing" if least <= 0 else f"at least {least:.1%}"


def _interval(one: Mapping[str, Any] | None, sign: str) -> str:
    if one is None or one["mean"] is None:
        return "-"
    kind = f"{sign}.{decimals(_bounded(one), 1)}f"
    bounds = "" if one["low"] is None else f" [{one['low']:{kind}}, {one['high']:{kind}}]"
    return f"{one['mean']:{kind}}{bounds}"


def _bounded(one: Mapping[str, Any]) -> list[float | None]:
    return [one.get(name) for name in ("mean", "low", "high")]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="  ")
