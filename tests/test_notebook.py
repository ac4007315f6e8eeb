"""The analysis notebook runs from its first cell to its last, on a given run and on the one that it makes itself."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from spar_lightning.datasets import collect

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "residual_analysis.ipynb"
WALKER, HOPPER = "spar/walker2d/medium-replay-v0", "spar/hopper/medium-replay-v0"


def read() -> NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def draws(cell: NotebookNode) -> bool:
    return "plt.show()" in cell.source


def execute(notebook: NotebookNode) -> None:
    folder = {"metadata": {"path": str(NOTEBOOK.parent)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=folder).execute()


def outputs(cell: NotebookNode, kind: str) -> list[NotebookNode]:
    return [output for output in cell.outputs if kind in output.get("data", {})]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notebook-datasets")
    for dataset in (WALKER, HOPPER):
        collect(dataset, steps=3000, root=folder, progress=False)
    return folder


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, datasets: Path) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(datasets))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    monkeypatch.delenv("SPAR_RUN", raising=False)


def test_it_is_stored_without_outputs() -> None:
    notebook = read()
    nbformat.validate(notebook)
    assert all(not cell.outputs and cell.execution_count is None for cell in code_cells(notebook))


def test_its_first_code_cell_holds_the_parameters() -> None:
    first = code_cells(read())[0]
    assert "parameters" in first.metadata.tags
    assert first.source.startswith("RUN = None")


def test_every_figure_has_its_reading_above_it() -> None:
    cells = read().cells
    figures = [place for place, cell in enumerate(cells) if cell.cell_type == "code" and draws(cell)]
    assert len(figures) >= 5
    assert all(cells[place - 1].cell_type == "markdown" for place in figures)


@pytest.mark.slow
@pytest.mark.parametrize("given", [False, True], ids=["its own run", "a given run"])
def test_every_figure_is_drawn(given: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = read()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    if given:
        monkeypatch.setenv("SPAR_RUN", os.fspath(_short_run(tmp_path / "run")))
    execute(notebook)
    for cell in code_cells(notebook):
        assert not [output for output in cell.outputs if output.output_type == "error"]
        assert len(outputs(cell, "image/png")) == draws(cell), cell.source
    printed = "".join(output.get("text", "") for cell in code_cells(notebook) for output in cell.outputs)
    assert "improvement" in printed
    assert (HOPPER if given else WALKER) in printed


def _short_run(folder: Path) -> Path:
    from spar_lightning.cli import main

    configs = [
        option for name in ("hopper", "debug") for option in ("--config", str(ROOT / "configs" / f"{name}.yaml"))
    ]
    lengths = ["--bc.trainer.max_steps", "50", "--model.warmup_steps", "50"]
    lengths += ["--trainer.max_steps", "100", "--trainer.val_check_interval", "50", "--model.hidden_dims", "[16]"]
    main(["fit", *configs, "--run_dir", str(folder), *lengths])
    return folder
