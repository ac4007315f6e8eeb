"""A listing as text, for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from spar_lightning.inspection.description.layout import WIDTH, table
from spar_lightning.inspection.listing.listing import ListedDataset, Listing
from spar_lightning.inspection.listing.on_disk import readable_size

_LEGEND = (
    "* marks what is on this machine. Of the published ones a name is a beginning and one of the endings to its right. "
    "What a data set holds tells `python -m spar_lightning data info NAME`."
)
_FILES = (
    (".hdf5 .h5 .npz", "arrays in D4RL's layout, also by URL"),
    (".csv .tsv .parquet .pq", "a table with one row a step; `columns` names its columns (needs pyarrow)"),
    (".npz", "OGBench's, with `masks`, `valids` or, given a `task`, without rewards"),
    (".hdf5 .h5", "robomimic's, with `data/demo_0` and so on"),
    ("folder", "LeRobot's, v2.0, v2.1 and v3.0, without its images (needs pyarrow)"),
)
"""What can be opened by its path."""


def listing_as_text(listing: Listing) -> str:
    """Which data sets there are, as plain text of at most 100 columns (longer names aside)."""
    others = [*listing.local, *(dataset for dataset in (*listing.minari, *listing.d4rl) if dataset.here)]
    sections = [
        _section("Bundled, collected on first use", _table(listing.bundled)),
        _section(f"Others on this machine, in {listing.folder} or the cache", _table(others) if others else "  none"),
        _section("Minari's, downloaded on first use", _families(listing.minari, "/")),
        _section("D4RL's, downloaded on first use", _families(listing.d4rl, "-")),
    ]
    width = max(len(suffixes) for suffixes, _ in _FILES)
    files = "\n".join(f"  {suffixes:<{width}}  {what}" for suffixes, what in _FILES)
    sections.append(_section("Your own, by their paths", files))
    if listing.unreadable:
        sections.append(_section("Cannot be read", "\n".join(map(_wrapped, listing.unreadable))))
    return "\n\n".join([*sections, _wrapped(_LEGEND, indent="")])


def _section(title: str, body: str) -> str:
    return f"{title}\n{body}"


def _table(datasets: Sequence[ListedDataset]) -> str:
    rows = [[f"{_mark(dataset)}{dataset.name}", *_numbers(dataset)] for dataset in datasets]
    return table(["  name", "episodes", "transitions", "size"], rows, indent=0)


def _numbers(dataset: ListedDataset) -> Iterable[str]:
    for count in (dataset.episodes, dataset.transitions):
        yield "" if count is None else f"{count:,}"
    yield "" if dataset.bytes_on_disk is None else readable_size(dataset.bytes_on_disk)


def _mark(dataset: ListedDataset) -> str:
    return "* " if dataset.here else "  "


def _families(datasets: Sequence[ListedDataset], separator: str) -> str:
    """One paragraph for names with the same beginning: that beginning, then the endings.

    Args:
        datasets: whose names begin alike up to their last `/`, or up to the first `-`.
        separator: which of the two ends the beginning.
    """
    families: dict[str, list[str]] = {}
    for dataset in datasets:
        cut = dataset.name.rindex(separator) if separator == "/" else dataset.name.index(separator)
        beginning, ending = dataset.name[: cut + 1], dataset.name[cut + 1 :]
        families.setdefault(beginning, []).append(f"{'*' if dataset.here else ''}{ending}")
    width = max(map(len, families), default=0)
    return "\n".join(_paragraph(beginning, endings, width) for beginning, endings in families.items())


def _paragraph(beginning: str, endings: Sequence[str], width: int) -> str:
    return textwrap.fill(
        "  ".join(endings),
        WIDTH,
        initial_indent=f"  {beginning:<{width}}  ",
        subsequent_indent=" " * (width + 4),
        break_on_hyphens=False,
        break_long_words=False,
    )


def _wrapped(text: str, indent: str = "  ") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
