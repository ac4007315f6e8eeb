"""The READMEs of the project, and what in them can be run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
NOT_OURS = {"build", "dist", "runs"}
"""Folders that are made here, beside those whose names begin with a dot."""


class Piece(NamedTuple):
    """Something in a page that can be run."""

    page: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text.splitlines()[0]}"


def find_pages() -> dict[str, str]:
    """The text of each README by its path; links to folders, such as the package's `configs`, are not followed."""
    folders = [path for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "." and path.name not in NOT_OURS]
    below = [path.relative_to(ROOT) for folder in folders for path in folder.rglob("README.md")]
    found = [Path("README.md"), *(path for path in below if not any(part[0] == "." for part in path.parts))]
    return {path.as_posix(): (ROOT / path).read_text(encoding="utf-8") for path in sorted(found)}


PAGES = find_pages()


def blocks(language: str) -> list[Piece]:
    pattern = re.compile(rf"^```{language}\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
    return [Piece(page, block) for page, text in PAGES.items() for block in pattern.findall(text)]


def command_lines() -> list[Piece]:
    return [Piece(block.page, line) for block in blocks("bash") for line in block.text.splitlines()]


def prose(text: str) -> str:
    """A page without what is fenced."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def links(page: str) -> list[str]:
    """Those that lead to files of the project, pictures included, as they are written."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(PAGES[page]))
    return [link for link in found if not link.startswith(("https://", "http://", "mailto:"))]


def headings(text: str) -> set[str]:
    """The names under which GitHub links the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", prose(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
