"""The notebooks run from their first cell to their last, with short settings, and hold no outputs of another run."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from spar_lightning.analysis import figure_names
from spar_lightning.analysis.figures import reading, title
from spar_lightning.cli.command_list import COMMANDS
from spar_lightning.datasets import collect

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
ANALYSIS, RING, QUICKSTART = "residual_analysis", "manifold_drift", "quickstart"
WALKER, HOPPER = "spar/walker2d/medium-replay-v0", "spar/hopper/medium-replay-v0"


def read(name: str) -> NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def draws(cell: NotebookNode) -> bool:
    return "plt.show()" in cell.source or "draw(study" in cell.source


def execute(notebook: NotebookNode, **parameters: object) -> str:
    """Run a notebook with other values of its parameters; returns what it has printed."""
    cell = code_cells(notebook)[0]
    cell.source += "".join(f"\n{name} = {value!r}" for name, value in parameters.items())
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    ).execute()
    for cell in code_cells(notebook):
        assert not [output for output in cell.outputs if output.output_type == "error"]
    return "".join(output.get("text", "") for cell in code_cells(notebook) for output in cell.outputs)


def pictures(cell: NotebookNode) -> list[NotebookNode]:
    return [output for output in cell.outputs if "image/png" in output.get("data", {})]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notebook-datasets")
    for dataset in (WALKER, HOPPER):
        collect(dataset, steps=3000, root=folder, progress=False)
    return folder


@pytest.fixture
def isolated(monkeypatch: pytest.MonkeyPatch, datasets: Path, tmp_path: Path) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(datasets))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("SPAR_RUN", raising=False)


def test_there_are_three() -> None:
    assert sorted([ANALYSIS, RING, QUICKSTART]) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_it_is_stored_without_outputs(name: str) -> None:
    notebook = read(name)
    nbformat.validate(notebook)
    assert all(not cell.outputs and cell.execution_count is None for cell in code_cells(notebook))


@pytest.mark.parametrize("name", NAMES)
def test_its_first_code_cell_holds_the_parameters(name: str) -> None:
    assert "parameters" in code_cells(read(name))[0].metadata.tags


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_its_reading_above_it(name: str) -> None:
    cells = read(name).cells
    figures = [place for place, cell in enumerate(cells) if cell.cell_type == "code" and draws(cell)]
    assert figures
    assert all(cells[place - 1].cell_type == "markdown" for place in figures)


@pytest.mark.parametrize("name", NAMES)
def test_it_holds_no_algorithm(name: str) -> None:
    source = "\n".join(cell.source for cell in code_cells(read(name)))
    for word in ("import torch", ".backward(", "optim", "nn.Module", "loss"):
        assert word not in source


def test_the_analysis_shows_every_figure_in_the_words_of_the_page() -> None:
    cells = read(ANALYSIS).cells
    for name in figure_names():
        (place,) = [place for place, cell in enumerate(cells) if cell.source == f'draw(study, "{name}")']
        assert cells[place - 1].source == f"## {title(name)}\n\n{reading(name)}"


def test_the_quickstart_has_ten_cells() -> None:
    assert len(code_cells(read(QUICKSTART))) <= 10


@pytest.mark.slow
@pytest.mark.usefixtures("isolated")
@pytest.mark.parametrize("given", [False, True], ids=["its own run", "a given run"])
def test_the_analysis_draws_every_figure(given: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = read(ANALYSIS)
    if given:
        monkeypatch.setenv("SPAR_RUN", os.fspath(_short_run(tmp_path / "run")))
    printed = execute(notebook, EPISODES=2, STATES=200)
    missing = {"several_seeds"} if given else set()
    for name in figure_names():
        (cell,) = [cell for cell in code_cells(notebook) if f'"{name}"' in cell.source]
        assert len(pictures(cell)) == (name not in missing), cell.source
    assert "improvement" in printed
    assert (HOPPER if given else WALKER) in printed
    assert ("left out: the value-gradient ablation" in printed) == given


@pytest.mark.slow
def test_the_ring_is_explained() -> None:
    notebook = read(RING)
    assert "distance from the ring" in execute(notebook, SCALE=0.02)
    for cell in code_cells(notebook):
        assert len(pictures(cell)) == draws(cell), cell.source


@pytest.mark.slow
@pytest.mark.usefixtures("isolated")
@pytest.mark.parametrize("environment", ["InvertedPendulum-v5", None])
def test_own_data_become_a_policy(environment: str | None, tmp_path: Path) -> None:
    notebook = read(QUICKSTART)
    if "export" not in COMMANDS:
        (export,) = [cell for cell in code_cells(notebook) if '"export"' in cell.source]
        export.source = ""
    short = ["--bc.trainer.max_steps", "20", "--bc.trainer.val_check_interval", "20", "--model.warmup_steps", "20"]
    short += ["--trainer.max_steps", "40", "--trainer.val_check_interval", "20", "--model.hidden_dims", "[16]"]
    short += ["--callbacks.rollout.num_episodes", "1", "--callbacks.rollout.final_episodes", "2"]
    short += ["--callbacks.residual.every_n_updates", "10"]
    paths = {
        name: str(tmp_path / place) for name, place in (("DATA", "logs.npz"), ("RUN", "run"), ("POLICY", "policy"))
    }
    printed = execute(notebook, SHORT=short, ENVIRONMENT=environment, **paths)
    if environment:
        assert "holds the pole up" in printed
        assert "improvement" in printed
    else:
        assert "fitted Q evaluation" in printed
    if "export" in COMMANDS:
        assert (tmp_path / "policy" / "policy.npz").is_file()


def _short_run(folder: Path) -> Path:
    from spar_lightning.cli import main

    configs = [
        option for name in ("hopper", "debug") for option in ("--config", str(ROOT / "configs" / f"{name}.yaml"))
    ]
    lengths = ["--bc.trainer.max_steps", "50", "--model.warmup_steps", "50"]
    lengths += ["--trainer.max_steps", "100", "--trainer.val_check_interval", "50", "--model.hidden_dims", "[16]"]
    main(["fit", *configs, "--run_dir", str(folder), *lengths])
    return folder
