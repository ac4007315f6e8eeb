"""Private parts of Lightning's objects are touched in one file."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import spar_lightning

ROOT = Path(spar_lightning.__file__).parent
INTERNALS = ROOT / "training" / "internals.py"
PUBLIC = {"_asdict", "_fields", "_make", "_replace"}  # a named tuple's, so called that no field can be
ELSEWHERE = {"torch", "argparse", "os"}  # modules
OTHERS = {
    "_get_file_writer": "TensorBoard's writer",
    "_option_string_actions": "argparse's parser",
    "_eval_env_spec": "Minari's data set",
    "_get_obs": "Gymnasium's environments",
    "_linear_pointwise": "torch's operations of oneDNN",
    "_source": "a data module of this package",
}
"""Attributes of objects that are not Lightning's."""


def touched(path: Path) -> set[str]:
    """Private attributes of anything but an object's own."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            owner = node.value
            if isinstance(owner, ast.Name) and owner.id in {"self", "cls", *ELSEWHERE}:
                continue
            if isinstance(owner, ast.Call) and ast.unparse(owner.func) == "super":
                continue
            found.add(node.attr)
    return found


@pytest.mark.parametrize(
    "path", sorted({*ROOT.rglob("*.py")} - {INTERNALS}), ids=lambda path: str(path.relative_to(ROOT))
)
def test_private_parts_of_lightning_are_touched_in_one_file(path: Path) -> None:
    assert touched(path) <= PUBLIC | OTHERS.keys()


def test_that_file_touches_some() -> None:
    assert touched(INTERNALS)
