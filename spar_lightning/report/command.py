"""The command `report`."""

from __future__ import annotations

import json

from spar_lightning.given_path import given_path
from spar_lightning.report.analysis import Analysis, as_json
from spar_lightning.report.documents import read_runs, unfinished
from spar_lightning.report.figures import NAMES, draw_figures
from spar_lightning.report.grouping import collect_results, of_settings
from spar_lightning.report.matrices import write_matrices
from spar_lightning.report.page import html_page, markdown
from spar_lightning.report.raw_file import write_raw
from spar_lightning.report.sections import sections
from spar_lightning.report.short_table import short_table
from spar_lightning.report.spreadsheet import cells_csv, runs_csv
from spar_lightning.types import UserError
from spar_lightning.whole_file import check_folder, whole_file, write_text

RAW = "runs.json"
"""What `report` itself reads: enough to make the whole report anew."""


def report(
    runs: list[str],
    out: str | None = None,
    title: str = "Results",
    settings: str | None = None,
    figures: bool = True,
) -> None:
    """Make a report of finished runs: Markdown, one HTML page, figures, JSON and CSV, with the field's statistics.

    It holds last and best scores by task over seeds, interquartile means with bootstrap intervals, probabilities of
    improvement, performance profiles, learning curves against updates and time, improvement over the base, the
    expected best of k policies, speeds, and published scores where the data are D4RL's. Without `out` it prints a
    short table, as `summarize` does.

    Args:
        runs: run folders, folders that hold some at any depth, or files that `report` has written.
        out: folder for it all. `runs.json` in it holds what `report` needs of the runs, to be kept and shared.
        title: of the report.
        settings: take only the runs that a suite made under this name of its settings.
        figures: draw figures, which needs matplotlib.

    Raises:
        UserError: if there are no runs, or none was evaluated.
    """
    documents = read_runs(runs) if settings is None else of_settings(read_runs(runs), settings)
    if out is None:
        print("\n".join([*short_table(documents), *unfinished(runs)]))
        return
    folder = given_path(out)
    check_folder(folder)
    results = collect_results(documents)
    if not results.runs:
        raise UserError(
            f"{len(documents)} run(s) were found, and none with an evaluation: there is nothing to report. Without a"
            " simulator `ope` judges a checkpoint, and `analyze` draws its residual"
        )
    analysis = Analysis(results)
    drawn = draw_figures(analysis) if figures else {}
    parts = sections(analysis)
    for name, png in drawn.items():
        with whole_file(folder / f"{name}.png") as file:
            file.write(png)
    for name in set(NAMES) - set(drawn):  # of an earlier report there
        (folder / f"{name}.png").unlink(missing_ok=True)
    write_raw(folder / RAW, [run for of_cell in results.runs.values() for run in of_cell])
    write_text(folder / "report.md", markdown(title, parts, drawn))
    write_text(folder / "report.html", html_page(title, parts, drawn))
    write_text(folder / "report.json", json.dumps(as_json(analysis), indent=2, allow_nan=False) + "\n")
    write_text(folder / "runs.csv", runs_csv(analysis))
    write_text(folder / "scores.csv", cells_csv(analysis))
    write_matrices(analysis, folder / "matrices")
    print(f"  {sum(map(len, results.runs.values()))} runs")
    for what, name in {"page": "report.html", "text": "report.md", "numbers": "report.json", "runs": RAW}.items():
        print(f"  {what:<8} {folder / name}")
    for line in unfinished(runs):
        print(line)
