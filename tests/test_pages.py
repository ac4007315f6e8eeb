"""What holds for the READMEs as texts: the first one is short, links lead somewhere, what they name is there."""

from __future__ import annotations

import re
import shlex
import tomllib

import pytest
import yaml
from pages import PAGES, ROOT, command_lines, headings, links

MOST_WORDS, MOST_LINES = 1200, 200
"""Of the README, which is read from the first line to the last; the rest has pages of its own."""


def test_the_readme_is_short() -> None:
    assert len(PAGES["README.md"].split()) <= MOST_WORDS
    assert len(PAGES["README.md"].splitlines()) <= MOST_LINES


def test_pages_are_found_once() -> None:
    assert {"README.md", "configs/README.md", "spar_lightning/algorithms/README.md"} <= PAGES.keys()
    assert "spar_lightning/configs/README.md" not in PAGES  # a link to configs/


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    for link in links(page):
        name, _, heading = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), link
        assert target.resolve().is_relative_to(ROOT), link
        if heading:
            assert heading in headings(target.read_text(encoding="utf-8")), link


def test_every_page_is_reached_from_the_readme() -> None:
    reached, ahead = set[str](), ["README.md"]
    while ahead:
        page = ahead.pop()
        reached.add(page)
        targets = [((ROOT / page).parent / link.partition("#")[0]).resolve() for link in links(page)]
        ahead += ({target.relative_to(ROOT).as_posix() for target in targets} & PAGES.keys()) - reached
    assert reached == PAGES.keys()


@pytest.mark.parametrize("page", ["README.md", "spar_lightning/callbacks/README.md"])
def test_there_is_a_picture(page: str) -> None:
    assert re.search(r"!\[[^\]]+\]\([^)]+\.png\)", PAGES[page])


def test_commands_of_other_programs_name_what_there_is() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "make fit" in {line.text for line in command_lines()}
    for line in command_lines():
        words = shlex.split(line.text, comments=True)
        if words[:1] == ["make"]:
            assert re.search(rf"^{words[1]}:", makefile, flags=re.MULTILINE), line
        if "--constraint" in words:
            assert (ROOT / words[words.index("--constraint") + 1]).is_file(), line
    found = [name for text in PAGES.values() for name in re.findall(r"'(?:\.|spar-lightning)\[([\w,]+)\]'", text)]
    extras = {name for names in found for name in names.split(",")}
    assert extras
    assert extras <= project["optional-dependencies"].keys()


def test_there_is_one_way_to_add_an_extra() -> None:
    files = [path for folder in ("configs", "spar_lightning", "examples") for path in (ROOT / folder).rglob("*")]
    texts = [path.read_text(encoding="utf-8") for path in files if path.suffix in (".py", ".yaml")]
    assert not [line for text in (*PAGES.values(), *texts) for line in text.splitlines() if "pip install -e" in line]


def test_the_line_that_continuous_integration_takes() -> None:
    assert "\nmake test\n" in PAGES["README.md"]
    assert "make test.*' README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_citation() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    version = re.search(r'^__version__ = "(.*)"$', (ROOT / "spar_lightning" / "__init__.py").read_text(), re.MULTILINE)
    assert version is not None
    assert citation["version"] == version[1]
    paper = citation["preferred-citation"]
    assert paper["title"] in PAGES["README.md"]
    assert paper["url"] in PAGES["README.md"]
