"""All figures of a run as one page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from spar_lightning.analysis.drawing import Drawn
from spar_lightning.whole_file import whole_file, write_text

_CSS = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2.5rem 0 0.3rem; }
p { max-width: 50rem; margin: 0.3rem 0 0.8rem; } img { width: 100%; height: auto; }
pre { background: #f6f6f6; padding: 0.8rem; overflow-x: auto; font-size: 0.85rem; white-space: pre-wrap; }
.left-out { color: #777; font-style: italic; } nav a { margin-right: 1em; white-space: nowrap; }
"""


def write_page(folder: Path, heading: str, summary: str, drawn: Sequence[Drawn]) -> Path:
    """Write a PNG for each figure, and `index.html` with all of them in it, which can be sent by itself.

    Args:
        folder: made if need be; files of the same names are replaced.
        heading: of the page.
        summary: the run's result, of fixed width.
        drawn: the figures.

    Returns:
        The page's path.
    """
    for one in drawn:
        if one.png is not None:
            with whole_file(folder / f"{one.name}.png") as file:
                file.write(one.png)
    path = folder / "index.html"
    write_text(path, _html(heading, summary, drawn))
    return path


def _html(heading: str, summary: str, drawn: Sequence[Drawn]) -> str:
    links = "".join(f'<a href="#{one.name}">{escape(one.title)}</a> ' for one in drawn)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(heading)}</title><style>{_CSS}</style></head><body>",
            f"<h1>{escape(heading)}</h1>",
            f"<pre>{escape(summary)}</pre>",
            f"<nav>{links}</nav>",
            *[_section(one) for one in drawn],
            "</body></html>",
            "",
        ]
    )


def _section(one: Drawn) -> str:
    head = f'<section id="{one.name}"><h2>{escape(one.title)}</h2>'
    if one.png is None:
        return f'{head}<p class="left-out">Left out: {escape(one.reason)}</p></section>'
    picture = base64.b64encode(one.png).decode()
    source = f"data:image/png;base64,{picture}"
    return f'{head}<p>{escape(one.reading)}</p><img src="{source}" alt="{escape(one.title)}"></section>'
