"""A figure by its name, as a notebook shows it and a page holds it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spar_lightning.analysis.study import LeftOutError, Study
from spar_lightning.analysis.style import STYLE
from spar_lightning.pyplot import require_matplotlib
from spar_lightning.types import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Drawn:
    """A figure, or why there is none; a notebook shows it where it is the last line of a cell."""

    name: str
    title: str
    reading: str  # how to read it
    figure: Figure | None
    png: bytes | None  # the picture
    reason: str = ""  # why it was left out

    def _repr_png_(self) -> bytes | None:
        return self.png

    def __repr__(self) -> str:
        return self.title if self.figure is not None else f"left out: {self.reason}"


def figure_names() -> list[str]:
    """All figures, in the order of a page."""
    require_matplotlib("a figure", "notebook")
    from spar_lightning.analysis.figures import FIGURES

    return list(FIGURES)


def draw(study: Study, name: str) -> Drawn:
    """Draw one figure of a run.

    Args:
        study: of the run.
        name: one of `figure_names`.

    Raises:
        UserError: if there is no such figure, or matplotlib is not installed.
    """
    names = figure_names()
    if name not in names:
        raise UserError(f"there is no figure {name!r}, expected one of {', '.join(names)}")
    from matplotlib import rc_context

    from spar_lightning.analysis.figures import FIGURES, reading, title

    with rc_context(STYLE):
        try:
            figure = FIGURES[name](study)
        except LeftOutError as error:
            return Drawn(name, title(name), reading(name), None, None, str(error))
        contents = io.BytesIO()
        figure.savefig(contents, format="png", metadata={"Software": None})
        return Drawn(name, title(name), reading(name), figure, contents.getvalue())
