"""The layers: what each part may import, from `types` at the bottom to the command line on top."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import spar_lightning

ROOT = Path(spar_lightning.__file__).parent

# Part -> the parts that it may import. Nothing is allowed that is not named: parts of one layer do not know one
# another, and no layer knows one above it.
ALLOWED = {
    "types": set(),
    "documents": set(),
    "pyplot": {"types"},
    "whole_file": set(),
    "given_path": {"types"},
    "each_key_once": set(),
    "entries": {"types"},
    "stopping": set(),
    "telling": set(),
    "functional": {"types"},
    "networks": {"types"},
    "simulators": {"types"},
    "datasets": {"types", "given_path", "telling", "whole_file", "simulators"},
    "replay": {"types", "telling", "whole_file", "functional", "simulators", "datasets"},
    "inspection": {"types", "documents", "simulators", "datasets", "replay"},
    "evaluation": {"types", "entries", "stopping"},
    "algorithms": {"types", "functional", "networks"},
    "training": {"types", "whole_file", "entries", "telling", "functional", "networks", "replay", "algorithms"},
    "offline_evaluation": {"types", "documents", "networks", "replay", "evaluation", "algorithms", "training"},
    "callbacks": {
        "types",
        "documents",
        "whole_file",
        "stopping",
        "functional",
        "networks",
        "replay",
        "evaluation",
        "training",
        "offline_evaluation",
    },
    "export": {"types", "documents", "whole_file", "algorithms", "networks", "training"},
    "benchmark": {
        "types",
        "given_path",
        "documents",
        "pyplot",
        "whole_file",
        "functional",
        "networks",
        "datasets",
        "replay",
        "evaluation",
        "algorithms",
        "training",
        "callbacks",
    },
    "analysis": {
        "types",
        "given_path",
        "pyplot",
        "whole_file",
        "entries",
        "networks",
        "replay",
        "evaluation",
        "algorithms",
        "training",
        "callbacks",
    },
    "report": {"types", "given_path", "documents", "pyplot", "whole_file", "evaluation", "algorithms"},
    "suite": {
        "types",
        "given_path",
        "documents",
        "whole_file",
        "each_key_once",
        "stopping",
        "simulators",
        "datasets",
        "inspection",
        "report",
    },
    "cli": {
        "types",
        "given_path",
        "documents",
        "whole_file",
        "each_key_once",
        "stopping",
        "telling",
        "simulators",
        "datasets",
        "replay",
        "evaluation",
        "offline_evaluation",
        "training",
        "callbacks",
        "benchmark",
        "inspection",
        "export",
        "analysis",
        "report",
        "suite",
    },
    "__main__": {"cli"},
    "__init__": {"types", "datasets", "replay", "training"},
}
FILES = sorted(ROOT.rglob("*.py"))


def _part(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def _imported_modules(source: str, package: str) -> Iterator[str]:
    """Full names of all that is imported, at the top or inside functions; relative ones resolved against `package`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            origin = ".".join(parents[: len(parents) + 1 - node.level]) if node.level else ""
            module = ".".join(filter(None, (origin, node.module)))
            # `from package import part` names a part too.
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _imported_parts(path: Path) -> set[str]:
    package = ".".join((ROOT.name, *path.relative_to(ROOT).parts[:-1]))
    names = [name.split(".") for name in _imported_modules(path.read_text(), package)]
    return {name[1] for name in names if name[0] == ROOT.name and len(name) > 1 and name[1] in ALLOWED}


def test_every_part_has_its_place() -> None:
    assert {_part(path) for path in FILES} <= ALLOWED.keys()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_downwards_only(path: Path) -> None:
    part = _part(path)
    refused = _imported_parts(path) - ALLOWED[part] - {part}
    assert not refused, f"{part} may import {sorted(ALLOWED[part]) or 'nothing of this package'}, not {sorted(refused)}"


def test_pure_layers_know_no_lightning_no_environments_and_no_files() -> None:
    for part, forbidden in {
        "types": {"lightning", "gymnasium", "minari"},
        "functional": {"lightning", "gymnasium", "minari"},
        "networks": {"lightning", "gymnasium", "minari"},
        "algorithms": {"lightning", "gymnasium", "minari", "h5py", "pathlib", "os"},
        "evaluation": {"lightning"},
    }.items():
        for path in FILES:
            if _part(path) == part:
                packages = {name.split(".")[0] for name in _imported_modules(path.read_text(), ROOT.name)}
                assert not packages & forbidden, path


# Anything that names an algorithm, as a word of an identifier or of a text: `SPARModule`, `spar_loss`, `td3`, "BC".
_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+\d*|[A-Z]+\d*")
_ALGORITHMS = {"spar", "bc", "td3", "iql", "rebrac", "cql", "awac"}
# Not the algorithm but the package, the prefix of the bundled data sets' names, and the name of a published file.
_NAMES = re.compile(r"\bspar[_-]lightning(?![a-z])|\bspar/|-bc-combined\b", re.IGNORECASE)


def _algorithms(path: Path) -> set[str]:
    """Algorithms named in identifiers and texts, docstrings aside: those may give examples."""
    tree = ast.parse(path.read_text())
    words = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = ""
        for name in ("id", "attr", "arg", "name", "value", "module"):
            text = getattr(node, name, None)
            if isinstance(text, str):
                words += _WORDS.findall(_NAMES.sub("", text))
    return {word.lower() for word in words} & _ALGORITHMS


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in FILES
        if _part(path)
        in ("simulators", "datasets", "replay", "inspection", "callbacks", "evaluation", "offline_evaluation")
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_data_callbacks_and_evaluation_name_no_algorithm(path: Path) -> None:
    assert not _algorithms(path)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from spar_lightning.training import SPARModule", {"spar"}),
        ("isinstance(module, BCModule)", {"bc"}),
        ("module.log('bc/loss', td3_loss)", {"bc", "td3"}),
        ("from spar_lightning.datasets import collect\nPREFIX = 'spar/'", set()),
        ("'''The SPAR paper.'''\nsparse, abc, subclass = 1, 2, 3", set()),
    ],
)
def test_algorithms_are_found(tmp_path: Path, source: str, found: set[str]) -> None:
    path = tmp_path / "source.py"
    path.write_text(source)
    assert _algorithms(path) == found


def test_imports_are_found() -> None:
    source = "import spar_lightning.cli\nfrom spar_lightning import training\ndef f():\n    from ..callbacks import X"
    found = set(_imported_modules(source, "spar_lightning.datasets"))
    assert found == {"spar_lightning.cli", "spar_lightning.training", "spar_lightning.callbacks.X"}
