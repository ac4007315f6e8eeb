"""The command `data`: what data sets there are, what one holds, and whether it fits the simulator."""

from __future__ import annotations

from collections.abc import Callable

from typing_extensions import Unpack

from spar_lightning.benchmark.data.reading import bench_reading
from spar_lightning.benchmark.data.storage import bench_storage
from spar_lightning.cli.printing import only_result_on_stdout, print_json, print_text
from spar_lightning.datasets import open_dataset
from spar_lightning.datasets.selection import EpisodeFilter, Selection, select_episodes
from spar_lightning.datasets.sources.reading_settings import ReadingSettings
from spar_lightning.inspection import (
    check_dataset,
    describe,
    describe_as_text,
    list_datasets,
    listing_as_text,
)


def info(
    name: str,
    environment: str | None = None,
    observation_keys: list[str] | None = None,
    top_fraction: float | None = None,
    filter: EpisodeFilter | None = None,
    json: bool = False,
    **reading: Unpack[ReadingSettings],
) -> None:
    """Tell what a data set holds: sizes, returns, lengths, ends, actions, environment, scores, defects.

    It is read once, and fetched or collected first if it is not on this machine. Defects are told, not refused.

    Args:
        name: bundled, Minari's, `d4rl:` and D4RL's name, or the path or URL of a file.
        environment: id of the environment that policies would be evaluated in; by default what the data name.
        observation_keys: which parts of dict observations to put side by side, as in `[observation,desired_goal]`.
        top_fraction: tell what is left of the data when this share of the episodes is kept, the best by return.
        filter: tell what is left of episodes of at least the return `min_return`, or of the numbers in `episodes`.
        json: print one JSON document instead of text.
        reading: how it is read, where its layout leaves that open.
    """
    with only_result_on_stdout():
        dataset = open_dataset(name, observation_keys, **reading).evaluated_in(environment, None)
        description = describe(select_episodes(dataset, Selection(top_fraction, filter)))
    if json:
        print_json(description.as_dict())
    else:
        print_text(describe_as_text(description))


def check(
    name: str,
    environment: str | None = None,
    steps: int = 1000,
    seed: int = 0,
    observation_keys: list[str] | None = None,
    json: bool = False,
    **reading: Unpack[ReadingSettings],
) -> None:
    """Replay logged actions in the installed simulator: do they lead where the data say?

    Args:
        name: bundled, Minari's, `d4rl:` and D4RL's name, or the path or URL of a file.
        environment: id of the environment to compare with; by default the one that the data name.
        steps: transitions to replay.
        seed: of the choice of transitions.
        observation_keys: which parts of dict observations to put side by side, as in `[observation,desired_goal]`.
        json: print one JSON document instead of text.
        reading: how it is read, where its layout leaves that open.
    """
    with only_result_on_stdout():
        report = check_dataset(name, environment, steps, seed, observation_keys, **reading)
    if json:
        print_json(report.as_dict())
    else:
        print_text(str(report))


def list_known(json: bool = False) -> None:
    """List the data sets that are bundled, on this machine, or known to be published.

    Args:
        json: print one JSON document instead of text.
    """
    with only_result_on_stdout():
        listing = list_datasets()
    if json:
        print_json(listing.as_dict())
    else:
        print_text(listing_as_text(listing))


DATA_COMMANDS: dict[str, Callable[..., None]] = {
    "info": info,
    "list": list_known,
    "check": check,
    "bench": bench_storage,
    "bench_reading": bench_reading,
}
"""Sub-commands of `data`."""
