"""A description as text, for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from spar_lightning.inspection.description.columns import ColumnSummary
from spar_lightning.inspection.description.describe import Description
from spar_lightning.inspection.description.episodes import Distribution
from spar_lightning.inspection.description.layout import INDENT, histogram, labelled, number, percent, table
from spar_lightning.inspection.listing.on_disk import readable_size

_MOST_ROWS = 8  # of a table of action dimensions
_MOST_NAMED = 12  # dimensions in a list


def describe_as_text(description: Description) -> str:
    """What a data set holds, as plain text of at most 100 columns."""
    sections = (_contents(description), _episodes(description), _evaluation(description), _checks(description))
    return "\n\n".join([description.name, *("\n".join(filter(None, section)) for section in sections)])


def _contents(found: Description) -> Iterable[str]:
    disk = "" if found.bytes_on_disk is None else f"{readable_size(found.bytes_on_disk)} on disk, "
    chosen = "" if found.chosen_from is None else f", chosen of {found.chosen_from:,}"
    steps = found.transitions + found.ends.lack_next_observation
    of_steps = "" if steps == found.transitions else f" of {steps:,} steps"
    size = f"{found.transitions:,} transitions{of_steps} in {found.episodes:,} episode{_s(found.episodes)}{chosen}"
    yield labelled("Size", f"{size}; {disk}{readable_size(found.bytes_in_memory)} in memory")
    parts = "" if found.observation_keys is None else f" ({', '.join(found.observation_keys)}, side by side)"
    yield labelled("Observations", f"{_dimensions(found.observation_dim)}{parts}, {_range(found.observations)}")
    rewards = found.rewards
    zeros = f"; {percent(rewards.zeros)} of them are 0" if rewards.zeros else ""
    yield labelled(
        "Rewards", f"{number(float(rewards.mean[0]))} ± {number(float(rewards.std[0]))}, {_range(rewards)}{zeros}"
    )
    yield labelled("Actions", f"{_dimensions(found.action_dim)}, {_range(found.actions)}; {_saturation(found)}")
    yield _action_table(found)


def _episodes(found: Description) -> Iterable[str]:
    yield labelled("Returns", _distribution(found.returns))
    yield histogram(found.returns.histogram)
    yield ""
    yield labelled("Lengths", _distribution(found.lengths))
    yield histogram(found.lengths.histogram)
    yield labelled("Ends", _ends(found))


def _evaluation(found: Description) -> Iterable[str]:
    environment = found.environment
    if environment.id is None:
        yield labelled("Environment", environment.note)
    else:
        limit = "" if environment.time_limit is None else f", at most {environment.time_limit:,} steps"
        state = "it can be made here" if environment.available else "it cannot be made here"
        yield labelled("Environment", f"{environment.id}{limit}: {state}")
        if environment.note and not environment.differs:  # which is a defect
            yield labelled("", environment.note)
    yield labelled("Scores", _scores(found))


def _checks(found: Description) -> Iterable[str]:
    behavior = found.behavior
    verdict = behavior.verdict if behavior.verdict == "cannot tell" else f"looks {behavior.verdict}"
    yield labelled("Behaviour", f"{verdict}: {behavior.reason}")
    for name, column in (("observations", found.observations), ("actions", found.actions)):
        if column.constant:
            yield labelled("Constant", f"{name}: dimension{_s(len(column.constant))} {_named(column.constant)}")
    lacking = found.ends.lack_next_observation
    if lacking:
        verb, episodes = ("lacks", "1 episode") if lacking == 1 else ("lack", f"{lacking:,} episodes")
        yield labelled("Left out", f"the end of {episodes} that {verb} the last next observation: 1 transition of each")
    for position, note in enumerate(found.notes):
        yield labelled("Notes" if position == 0 else "", note)
    if not found.defects:
        yield labelled("Defects", "none found: every value is finite, and the arrays agree")
    for position, defect in enumerate(found.defects):
        yield labelled("Defects" if position == 0 else "", defect)


def _dimensions(count: int) -> str:
    return f"{count} dimension{_s(count)}"


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _range(column: ColumnSummary) -> str:
    """The least and the largest value of all dimensions."""
    if np.isnan(column.minimum).all():
        return "without a finite value"
    return f"from {number(float(np.nanmin(column.minimum)))} to {number(float(np.nanmax(column.maximum)))}"


def _distribution(values: Distribution) -> str:
    middle = f"mean {number(values.mean)} ± {number(values.std)}, median {number(values.median)}"
    return f"{middle}, from {number(values.minimum)} to {number(values.maximum)}"


def _saturation(found: Description) -> str:
    bounds = found.action_bounds
    if np.isnan(bounds.saturation):
        return "no bounds are stated"
    outside = f", {percent(bounds.outside)} beyond" if bounds.outside else ""
    return f"{percent(bounds.saturation)} of the values at a bound{outside}"


def _action_table(found: Description) -> str:
    """One line a dimension; of many, those that are most often at a bound."""
    actions, bounds = found.actions, found.action_bounds
    bounded = not np.isnan(bounds.saturation)
    order = np.argsort(-np.nan_to_num(bounds.at_low + bounds.at_high), kind="stable")
    shown = sorted(order[:_MOST_ROWS].tolist())
    rows = [[str(dimension), *_action_row(found, dimension)] for dimension in shown]
    head = ["dimension", "min", "max", "mean", "std", "bounds", "at low", "at high"]
    if not bounded:
        head, rows = head[:5], [row[:5] for row in rows]
    left = len(actions.mean) - len(shown)
    more = f"\n{' ' * INDENT}... and {left} {'less often at a bound' if bounded else 'more'}" if left else ""
    return table(head, rows) + more


def _action_row(found: Description, dimension: int) -> list[str]:
    actions, bounds = found.actions, found.action_bounds
    low, high = float(bounds.low[dimension]), float(bounds.high[dimension])
    moments = (actions.minimum, actions.maximum, actions.mean, actions.std)
    return [
        *(f"{values[dimension]:.3f}" for values in moments),
        f"[{number(low)}, {number(high)}]",
        percent(float(bounds.at_low[dimension])),
        percent(float(bounds.at_high[dimension])),
    ]


def _ends(found: Description) -> str:
    ends, episodes = found.ends, max(1, found.episodes)
    parts = [f"{percent(ends.terminated / episodes)} terminated"]
    if ends.at_time_limit is not None:
        parts.append(f"{percent(ends.at_time_limit / episodes)} cut off at the time limit or later")
    elsewhere = "cut off" if ends.at_time_limit is None else "cut off before it"
    parts.append(f"{percent(ends.cut / episodes)} {elsewhere}")
    further = [f"{ends.longer:,} episode{_s(ends.longer)} longer than the limit"] if ends.longer else []
    return "; ".join([", ".join(parts), *further])


def _scores(found: Description) -> str:
    scores = found.scores
    if scores.low is None or scores.high is None:
        return scores.note
    own = ", ".join(
        f"{name} {_score(value)}"
        for name, value in (("mean", scores.mean), ("median", scores.median), ("best", scores.maximum))
    )
    ends = f"a return of {number(scores.low)} scores 0, {number(scores.high)} scores 100"
    return f"{scores.note}; {ends}; these episodes: {own}"


def _score(value: float | None) -> str:
    return "-" if value is None or np.isnan(value) else f"{value:.1f}"


def _named(dimensions: Sequence[int]) -> str:
    shown = ", ".join(map(str, dimensions[:_MOST_NAMED]))
    left = len(dimensions) - _MOST_NAMED
    return f"{shown} and {left} more" if left > 0 else shown
