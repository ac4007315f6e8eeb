"""The command `analyze`."""

from __future__ import annotations

from spar_lightning.given_path import given_path


def analyze(
    run: str,
    out: str = "analysis",
    ablation: str | None = None,
    others: list[str] | None = None,
    episodes: int = 10,
    states: int = 10_000,
) -> None:
    """Draw what a finished run's residual does, and what that was worth: PNG files and one HTML page.

    What cannot be drawn, such as rollouts where there is no simulator, is left out, and the page says why.

    Args:
        run: folder of the run.
        out: folder of the figures and of `index.html`.
        ablation: folder of a run with `--stage improvement --model.improvement value_gradient` from the same run.
        others: folders of runs with other training seeds, as in `[runs/a/version_1, runs/a/version_2]`.
        episodes: of base and policy in the simulator.
        states: of the data, at most.
    """
    from spar_lightning.analysis.drawing import draw, figure_names
    from spar_lightning.analysis.page import write_page
    from spar_lightning.analysis.study import Study
    from spar_lightning.whole_file import check_folder

    folder = given_path(out)
    check_folder(folder)
    names = figure_names()  # before anything that takes long: matplotlib may be missing
    study = Study(run, ablation, others or (), episodes, states)
    summary = study.summary()
    print(summary)
    drawn = [draw(study, name) for name in names]
    for one in drawn:
        if one.figure is None:
            print(f"left out: {one.title.lower()}: {one.reason}")
    path = write_page(folder, study.run.label, summary, drawn)
    print(f"\n{sum(one.figure is not None for one in drawn)} figures in {path}")
