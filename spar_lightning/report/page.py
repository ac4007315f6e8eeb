"""A report as Markdown, and as one HTML page that needs no other file."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping, Sequence

from spar_lightning.report.sections import Section

_CSS = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.9rem; }
th, td { padding: 0.25rem 0.7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #8884; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid #8888; }
figure { margin: 1.5rem 0; } img { max-width: 100%; background: white; } figcaption { opacity: 0.75; }
"""


def markdown(title: str, parts: Sequence[Section], figures: Mapping[str, bytes]) -> str:
    """Markdown, with figures as files beside it."""
    lines = [f"# {title}"]
    for part in parts:
        lines += ["", f"## {part.title}"]
        if part.text:
            lines += ["", part.text]
        if part.rows:
            lines += ["", _row(part.header), f"|{'---|' * len(part.header)}", *map(_row, part.rows)]
        for name, caption in part.figures.items():
            if name in figures:
                lines += ["", f"![{caption or part.title}]({name}.png)"]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def html_page(title: str, parts: Sequence[Section], figures: Mapping[str, bytes]) -> str:
    """HTML with its figures inside."""
    body = [f"<h1>{html.escape(title)}</h1>"]
    for part in parts:
        body.append(f"<section><h2>{html.escape(part.title)}</h2>")
        body += [f"<p>{html.escape(paragraph)}</p>" for paragraph in part.text.split("\n\n") if paragraph]
        if part.rows:
            head = "".join(f"<th>{html.escape(cell)}</th>" for cell in part.header)
            rows = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in part.rows)
            body.append(f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>')
        body += [
            _figure(figures[name], caption or part.title) for name, caption in part.figures.items() if name in figures
        ]
        body.append("</section>")
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_CSS}</style>'
    viewport = '<meta name="viewport" content="width=device-width">'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}{viewport}</head><body>\n'
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _cell(text: str) -> str:
    escaped = html.escape(text).replace("+-", "&plusmn;")
    bold = re.sub(r"[*]{2}(.+?)[*]{2}", r"<b>\1</b>", escaped)
    return f"<td>{bold}</td>"


def _figure(png: bytes, caption: str) -> str:
    data, text = base64.b64encode(png).decode(), html.escape(caption)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'
