"""The whole command on made-up runs: its files, and what stands in them."""

from __future__ import annotations

import base64
import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_runs import document, write, write_suite

from spar_lightning.report import command, report
from spar_lightning.report.analysis import Analysis, curve
from spar_lightning.report.documents import read_runs
from spar_lightning.report.grouping import collect_results
from spar_lightning.report.published import published_for
from spar_lightning.report.raw_file import write_raw
from spar_lightning.report.short_table import short_table
from spar_lightning.types import UserError

RESULTS = Path(__file__).parents[2] / "results"


def analysis_of(*places: Path) -> Analysis:
    return Analysis(collect_results(read_runs([str(place) for place in places])))


def numbers(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


def test_a_report_is_complete(tmp_path: Path) -> None:
    out = tmp_path / "report"
    report([str(write_suite(tmp_path / "runs"))], str(out), title="Toy & co")
    found = numbers(out)
    assert found["common_tasks"] == ["toy/one-v0", "toy/two-v0"]
    assert found["tasks"]["toy/one-v0"]["SPAR"]["last"]["values"] == [30.0, 34.0]
    assert found["tasks"]["toy/one-v0"]["SPAR"]["best"]["mean"] == 37.0
    assert found["tasks"]["toy/one-v0"]["TD3+BC"]["improvement"] is None
    assert found["probability_of_improvement"]["SPAR"]["TD3+BC"]["value"] == 0.5  # better on one task, worse on one
    assert found["expected_best_of_k"]["SPAR"] == [57.0, 58.0]
    assert found["against_base"]["SPAR"]["below"] == 0.0
    page = (out / "report.html").read_text()
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) == 7
    assert all(base64.b64decode(picture).startswith(b"\x89PNG") for picture in pictures)
    assert "Toy &amp; co" in page
    assert not re.search(r'(src|href)="(?!data:)', page)  # nothing from elsewhere
    text = (out / "report.md").read_text()
    for picture in re.findall(r"!\[.*?\]\((.+?)\)", text):
        assert (out / picture).is_file()
    for title in ("Last scores", "Best scores", "Over all tasks", "Probability of improvement", "Learning curves"):
        assert f"## {title}" in text
    rows = list(csv.DictReader((out / "runs.csv").open()))
    assert len(rows) == 8
    assert {row["unit"] for row in rows} == {"score"}
    assert len(list(csv.DictReader((out / "scores.csv").open()))) == 4


def test_a_report_of_its_own_file_is_the_same(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    report([str(write_suite(tmp_path / "runs"))], str(first), figures=False)
    report([str(first / "runs.json")], str(second), figures=False)
    for name in ("report.json", "report.md", "runs.csv", "runs.json"):
        assert (first / name).read_text() == (second / name).read_text(), name


def test_the_file_of_runs_keeps_equal_parts_once_and_a_line_a_run(tmp_path: Path) -> None:
    report([str(write_suite(tmp_path / "runs", seeds=3))], str(tmp_path / "out"), figures=False)
    text = (tmp_path / "out" / "runs.json").read_text()
    assert text.count('"kappa"') == 1
    assert "last.ckpt" not in text
    assert sum(line.startswith('  {"dataset"') for line in text.splitlines()) == 12


def test_a_history_whose_rows_have_other_entries_is_kept_as_it_is(tmp_path: Path) -> None:
    """As of a run that an earlier version began, and this one went on with."""
    early = {"step": 50, "score": 90.0, "return": 180.0}
    late = {"step": 100, "warmup": True, "score": None, "return": 20.0, "improvement": None, "episodes": 2}
    write_raw(tmp_path / "runs.json", [document(history=[early, late])])
    (found,) = read_runs([str(tmp_path / "runs.json")])
    assert found["history"] == [early, late]


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_the_results_here_are_read_and_written_as_they_are(tmp_path: Path, path: Path) -> None:
    documents = read_runs([str(path)])
    write_raw(tmp_path / "runs.json", documents)
    assert (tmp_path / "runs.json").read_text() == path.read_text()
    assert read_runs([str(tmp_path / "runs.json")]) == documents


def test_without_a_folder_the_short_table_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report([str(write_suite(tmp_path / "runs"))])
    assert "| spar/toy/one-v0 |" in capsys.readouterr().out


def test_matrices_are_as_other_programs_read_them(tmp_path: Path) -> None:
    report([str(write_suite(tmp_path / "runs"))], str(tmp_path / "out"), figures=False)
    matrices = tmp_path / "out" / "matrices"
    with np.load(matrices / "rliable.npz") as arrays:
        assert arrays["SPAR"].tolist() == [[30.0, 80.0], [34.0, 84.0]]  # runs x tasks
        assert arrays["tasks"].tolist() == ["toy/one-v0", "toy/two-v0"]
    files = sorted(path.name for path in (matrices / "unifloral").iterdir())
    assert len(files) == 8
    # the pattern of Unifloral's `parse_and_load_npz`
    pattern = r"([^_]+(?:_[^_]+)?)_(.+)_(\d{4}-\d{2}-\d{2}_\d{2}-\d{2}-\d{2})"
    parsed = [match.groups() for name in files if (match := re.match(pattern, name))]
    assert {algorithm for algorithm, _, _ in parsed} == {"SPAR", "TD3+BC"}
    assert {data for _, data, _ in parsed} == {"toy-one-v0", "toy-two-v0"}
    with np.load(matrices / "unifloral" / files[0]) as arrays:
        assert arrays["final_returns"].tolist() == [56.0, 64.0]
        assert arrays["final_scores"].tolist() == [28.0, 32.0]


def test_a_report_in_the_place_of_another_leaves_nothing_of_it(tmp_path: Path) -> None:
    """But what others have put there."""
    report([str(write_suite(tmp_path / "runs"))], str(tmp_path / "out"))
    mine = (
        tmp_path / "out" / "mine.png",
        tmp_path / "out" / "matrices" / "unifloral" / "theirs_toy_2026-01-01_00-00-00.npz",
    )
    for path in mine:
        path.write_bytes(b"")
    write(tmp_path / "one", document(), method="SPAR")
    report([str(tmp_path / "one")], str(tmp_path / "out"))
    report([str(tmp_path / "one")], str(tmp_path / "new"))
    of = lambda name: {path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*")}  # noqa: E731
    assert of("out") == of("new") | {path.relative_to(tmp_path / "out") for path in mine}
    report([str(tmp_path / "one")], str(tmp_path / "out"), figures=False)
    assert [path.name for path in (tmp_path / "out").glob("*.png")] == ["mine.png"]


def test_compiled_runs_are_seeds_of_the_same_experiment(tmp_path: Path) -> None:
    """Compilation changes the speed; runs of an earlier version do not say whether they were compiled."""
    ways: list[dict[str, Any]] = [
        {"compile": True, "capture": "auto"},
        {"compile": False, "capture": False},
        {"base": {"compile": True}},
        {"base": {}},
    ]
    for seed, way in enumerate(ways):
        settings = {"model": {"kappa": 1.4, "base": {}} | way}
        write(tmp_path / str(seed), document(seed=seed, settings=settings))
    ((_, runs),) = collect_results(read_runs([str(tmp_path)])).runs.items()
    assert [run["settings"]["model"].get("compile") for run in runs] == [True, False, None, None]  # kept as they are


def test_methods_may_have_any_name(tmp_path: Path) -> None:
    for place, method in enumerate(("file", "tasks", "$x^$")):
        write(tmp_path / "runs" / str(place), document(), method=method)
    report([str(tmp_path / "runs"), str(tmp_path / "runs" / "0")], str(tmp_path / "out"))
    with np.load(tmp_path / "out" / "matrices" / "rliable.npz") as arrays:
        assert {name: array.tolist() for name, array in arrays.items()} == {
            "file": [[30.0]],
            "tasks (method)": [[30.0]],
            "$x^$": [[30.0]],
            "tasks": ["toy/one-v0"],
        }
    assert len(collect_results(read_runs([str(tmp_path / "runs"), str(tmp_path / "runs" / "0")])).runs) == 3


def test_a_suites_run_and_another_of_the_same_file_are_of_one_task(tmp_path: Path) -> None:
    write(tmp_path / "0", document(dataset="/data/mine.npz"), method="SPAR", data_set="mine.npz")
    write(tmp_path / "1", document(dataset="/data/mine.npz", module="IQLModule", base=None))
    assert [*collect_results(read_runs([str(tmp_path)])).runs] == [("mine", "SPAR"), ("mine", "IQL")]


def test_two_files_of_one_name_are_two_tasks(tmp_path: Path) -> None:
    for place, path in enumerate(("/one/logs.npz", "/two/logs.npz", "/two/mine.npz")):
        write(tmp_path / str(place), document(dataset=path))
    assert collect_results(read_runs([str(tmp_path)])).tasks == ["mine", "one/logs", "two/logs"]


def test_a_seed_of_a_cell_counts_once_and_another_experiment_of_its_name_is_told_apart(tmp_path: Path) -> None:
    """A suite's method that was run again, longer, or with another setting, under the same name."""
    of_suite = {"method": "TD3+BC"}
    kappa = {"settings": {"model": {"kappa": 9}}}
    for age, changes in enumerate(({}, {"updates": 200}, kappa, {}, {"seed": 1})):
        write(tmp_path / str(age), document(score=10.0 * age, **changes), age=age, **of_suite)
    results = collect_results(read_runs([str(tmp_path)]))
    found = {
        method: [(run["seed"], run["updates"], run["score"]) for run in runs]
        for (_, method), runs in results.runs.items()
    }
    assert found == {
        "TD3+BC, data.batch_size=256, model.kappa=1.4, 100 updates": [(0, 100, 0.0), (1, 100, 40.0)],
        "TD3+BC, data.batch_size=256, model.kappa=1.4, 200 updates": [(0, 200, 10.0)],
        "TD3+BC, model.kappa=9, 100 updates": [(0, 100, 20.0)],
    }
    assert results.repeated == 1


def test_one_file_is_several_tasks_where_it_is_evaluated_elsewhere_or_called_otherwise(tmp_path: Path) -> None:
    of_suite = {"method": "IQL", "suite": "toy"}
    for place, (called, environment) in enumerate(
        [("on v4", "Hopper-v4"), ("on v5", "Hopper-v5"), ("best tenth", "Hopper-v5")]
    ):
        made = document(score=10.0 * place, dataset="/mine.npz", environment_id=environment)
        write(tmp_path / "a" / str(place), made, **of_suite, data_set=called)
    assert collect_results(read_runs([str(tmp_path / "a")])).tasks == ["best tenth", "on v4", "on v5"]
    for place, environment in enumerate(("Hopper-v4", "Hopper-v5")):
        write(tmp_path / "b" / str(place), document(dataset="/mine.npz", environment_id=environment))
    assert collect_results(read_runs([str(tmp_path / "b")])).tasks == ["mine, Hopper-v4", "mine, Hopper-v5"]
    assert sum("Hopper-v" in line for line in short_table(read_runs([str(tmp_path / "b")]))) == 2


def test_scores_and_returns_have_no_mean_in_common(tmp_path: Path) -> None:
    write(tmp_path / "0", document())
    gain = {"mean": 1500.0, "low": 1400.0, "high": 1600.0, "unit": "return"}
    write(tmp_path / "1", document(dataset="mine.npz", improvement=gain))
    found = analysis_of(tmp_path).against_base("SPAR")
    assert found is not None
    assert (found["mean"], found["runs"], found["below"]) == (None, 2, 0)


@pytest.mark.parametrize(("other", "mean"), [("one.npz", 1500.0), ("two.npz", None)])
def test_returns_of_several_tasks_have_no_mean_in_common(tmp_path: Path, other: str, mean: float | None) -> None:
    gain = {"mean": 1500.0, "low": 1400.0, "high": 1600.0, "unit": "return"}
    for seed, dataset in enumerate(("one.npz", other)):
        write(tmp_path / str(seed), document(seed=seed, dataset=dataset, improvement=gain))
    found = analysis_of(tmp_path).against_base("SPAR")
    assert found is not None
    assert (found["mean"], found["runs"]) == (mean, 2)


def test_settings_of_a_suite_stand_side_by_side_or_by_themselves(tmp_path: Path) -> None:
    for name, score in (("30k", 30.0), ("46k", 46.0)):
        write(tmp_path / name, document(score), method="SPAR", settings=name)
    assert analysis_of(tmp_path).results.methods == ["SPAR, 30k", "SPAR, 46k"]
    report([str(tmp_path)], str(tmp_path / "out"), settings="46k", figures=False)
    assert numbers(tmp_path / "out")["tasks"]["toy/one-v0"]["SPAR"]["last"]["mean"] == 46.0
    (kept,) = read_runs([str(tmp_path / "out" / "runs.json")])
    assert kept["benchmark"]["settings"] == "46k"
    with pytest.raises(UserError, match="no run has the settings 50k, expected one of 30k, 46k"):
        report([str(tmp_path / "30k"), str(tmp_path / "46k")], settings="50k")


def test_runs_that_no_suite_made_are_named_after_what_tells_them_apart(tmp_path: Path) -> None:
    write(tmp_path / "a", document())
    write(tmp_path / "b", document(settings={"model": {"kappa": 3.0}, "data": {"batch_size": 256}}))
    write(tmp_path / "c", document(module="IQLModule", dataset="/data/mine.npz"))
    results = analysis_of(tmp_path).results
    assert results.methods == ["IQL", "SPAR, model.kappa=1.4", "SPAR, model.kappa=3.0"]
    assert results.tasks == ["mine", "toy/one-v0"]


def test_methods_are_compared_over_the_tasks_that_they_share(tmp_path: Path) -> None:
    write_suite(tmp_path)
    for task in ("three", "four", "five"):
        for method in ("SPAR", "TD3+BC"):
            made = document(dataset=f"spar/toy/{task}-v0")
            write(tmp_path / task / method, made, method=method)
    write(tmp_path / "odd", document(dataset="spar/toy/three-v0"), method="odd")
    found = analysis_of(tmp_path)
    assert found.compared == ["SPAR", "TD3+BC"]
    assert found.left_out == ["odd"]
    assert len(found.common) == 5
    assert found.matrices["SPAR"].shape == (5, 1)  # as many runs as the task with the fewest


def test_methods_of_other_tasks_are_left_out_until_some_are_shared(tmp_path: Path) -> None:
    for method, tasks in {"A": "1234", "B": "12", "C": "34"}.items():
        for task in tasks:
            write(tmp_path / method / task, document(dataset=f"spar/toy/{task}-v0"), method=method)
    found = analysis_of(tmp_path)
    assert (found.compared, found.left_out) == (["A", "B"], ["C"])
    assert found.common == ["toy/1-v0", "toy/2-v0"]
    report([str(tmp_path)], str(tmp_path / "out"), figures=False)
    assert "Not compared, for want of tasks: C." in (tmp_path / "out" / "report.md").read_text()


def test_runs_with_one_seed_are_no_choice_of_the_best(tmp_path: Path) -> None:
    write(tmp_path / "a", document(), method="SPAR")
    report([str(tmp_path)], str(tmp_path / "out"), figures=False)
    assert "Expected best" not in (tmp_path / "out" / "report.md").read_text()


def test_runs_below_their_base_are_counted(tmp_path: Path) -> None:
    for seed, score in enumerate((10.0, 19.5, 40.0)):
        write(tmp_path / str(seed), document(score, seed=seed), method="SPAR")
    found = analysis_of(tmp_path).against_base("SPAR")
    assert found is not None
    assert found["below"] == pytest.approx(2 / 3)
    assert found["clearly_below"] == pytest.approx(1 / 3)  # -10 [-11, -9]; -0.5 [-1.5, 0.5] is not clear


def test_reliability_is_the_worst_seed_the_noise_and_the_swing(tmp_path: Path) -> None:
    history = [{"score": value, "return": value, "step": step} for step, value in enumerate((90, 40, 41, 44, 39, 42))]
    warmup = {"score": 0.0, "return": 0.0, "step": 9, "warmup": True}
    noisy = {
        "noisy_base": {"score": 10.0, "return": 20.0},
        "noisy_policy": {"score": 12.0, "return": 24.0},
        "noisy_improvement": {"mean": 2.0, "low": 1.0, "high": 3.0},
    }
    write(tmp_path / "a", document(30.0, seed=0, history=[*history, warmup], **noisy), method="SPAR")
    write(tmp_path / "b", document(50.0, seed=1, fitted={"score": 25.0, "return": 50.0}), method="SPAR")
    found = analysis_of(tmp_path).reliability("toy/one-v0", "SPAR")
    assert found == {
        **{"runs": 2, "base": 20.0, "fitted": 25.0, "policy": 40.0, "least": 10.0},
        "noisy": {"runs": 1, "base": 10.0, "fitted": None, "policy": 12.0, "least": 2.0},
        "swings": [5.0],  # of seed 0; seed 1 has but two evaluations
    }
    report([str(tmp_path)], str(tmp_path / "out"), figures=False)
    text = (tmp_path / "out" / "report.md").read_text()
    assert "| toy/one-v0 | 2 | 20.0 | 25.0 | 40.0 | +10.0 | 10.0 | 12.0 | +2.0 | 5.0, 5.0 |" in text
    assert analysis_of(tmp_path).reliability("toy/one-v0", "BC") is None


@pytest.mark.parametrize("name", ["noisy_base", "noisy_policy", "noisy_improvement"])
@pytest.mark.parametrize("value", ["text", 5, None])
def test_an_evaluation_with_noise_that_is_damaged_is_told(tmp_path: Path, name: str, value: Any) -> None:
    folder = write(tmp_path / "run", document() | {name: value})
    with pytest.raises(UserError, match=f"this version writes it: `{name}"):
        report([str(folder)], str(tmp_path / "out"), figures=False)


def test_curves_count_the_time_of_the_base() -> None:
    made = document()
    assert curve(made) == ([50, 100], [(30 + 40) / 60, (30 + 60) / 60], [35.0, 30.0])
    del made["wall_time_s"]["training_at_evaluations"], made["wall_time_s"]["base"]
    assert curve(made)[1] == [5 / 60, 10 / 60]  # in proportion to the updates, without a base
    made["history"] += [{"step": 100, "score": 31.0, "return": 62.0, "episodes": 2}]  # the same policy once more
    assert (curve(made)[0], curve(made)[2]) == ([50, 100], [35.0, 31.0])


def test_published_scores_stand_beside_runs_on_the_same_data_only(tmp_path: Path) -> None:
    d4rl = "d4rl:hopper-medium-replay-v2"
    write(tmp_path / "a", document(95.0, dataset=d4rl))
    write(tmp_path / "b", document(60.0, None, dataset=d4rl, module="TD3BCModule"))
    best_tenth = {"model": {}, "data": {"top_fraction": 0.1}}
    write(tmp_path / "c", document(70.0, None, dataset=d4rl, module="BCModule", settings=best_tenth))
    write(tmp_path / "d", document(95.0, dataset="spar/hopper/medium-replay-v0"))
    report([str(tmp_path)], str(tmp_path / "out"), figures=False)
    text = (tmp_path / "out" / "report.md").read_text()
    beside, _, published = text.partition("## Beside published scores")[2].partition("## All published scores")
    assert "| hopper-medium-replay-v2 | 29.8 | 70.4 | 64.4 | 97.4 | 95.0 | 101.9 |" in published
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in beside.splitlines() if "hopper" in line]
    assert [(row[1], row[2], *row[5:]) for row in rows] == [
        ("BC", "70.0", "70.4", "90.6", "CORL"),
        ("SPAR", "95.0", "101.9", "-", "SPAR's paper"),
        ("TD3BC", "60.0", "64.4", "98.1", "CORL"),
    ]


@pytest.mark.parametrize(
    ("module", "settings", "method"),
    [
        ("SPARModule", None, "SPAR"),
        ("SPARModule", {"model": {"kappa": 3.0, "critic_target": "in_sample", "improvement": "lsi"}}, "SPAR"),
        ("SPARModule", {"model": {"improvement": "none"}}, None),
        ("SPARModule", {"model": {"residual": False}}, None),
        ("SPARModule", {"model": {"manifold": "gaussian"}}, None),
        ("SPARModule", {"model": {"regression": "latent"}}, None),
        ("SPARModule", {"data": {"top_fraction": 0.1, "filter": None}}, None),
        ("BCModule", {"data": {"top_fraction": None, "filter": None}}, "BC"),
        ("BCModule", {"data": {"top_fraction": 0.1, "filter": None}}, "10% BC"),
        ("BCModule", {"data": {"top_fraction": 0.2}}, None),
        ("BCModule", {"data": {"filter": {"min_return": 2000}}}, None),
        ("BCModule", {"data": {"top_fraction": 0.1, "filter": {"episodes": [0]}}}, None),
        ("IQLModule", {"data": {"filter": {"min_return": 2000}}}, None),
        ("BCModule", {"data": "text"}, "BC"),
    ],
)
def test_an_ablation_and_chosen_data_are_no_published_method(
    module: str, settings: dict[str, Any] | None, method: str | None
) -> None:
    found = published_for(document(dataset="d4rl:hopper-medium-replay-v2", module=module, settings=settings))
    assert found is not None
    assert found.method == method
    assert (found.last is None) == (method is None)


def test_returns_are_tabulated_and_not_compared(tmp_path: Path) -> None:
    changes = {"score": None, "return": 7.0, "best": {"score": None, "return": 9.0}, "history": []}
    write(tmp_path / "a", document() | changes)
    report([str(tmp_path)], str(tmp_path / "out"))
    assert "toy/one-v0 (returns)" in (tmp_path / "out" / "report.md").read_text()
    assert numbers(tmp_path / "out")["aggregates"] == {}


def test_small_returns_have_the_digits_that_tell_them_apart(tmp_path: Path) -> None:
    """As of tasks that give 1 for a success; scores keep one."""
    for seed, found in enumerate((0.02, 0.06)):
        history = [{"score": None, "return": found + step / 1000, "step": step} for step in range(5)]
        gain = {"mean": found - 0.012, "low": None, "high": None, "unit": "return"}
        changes = {"score": None, "return": found, "best": {"score": None, "return": 0.85}, "history": history}
        changes |= {"improvement": gain, "base": {"score": None, "return": 0.012}}
        write(tmp_path / f"a{seed}", document(seed=seed, dataset="small.npz") | changes, method="A")
        write(tmp_path / f"b{seed}", document(30.04 + seed, seed=seed), method="B")
    report([str(tmp_path)], str(tmp_path / "out"), figures=False)
    lines = (tmp_path / "out" / "report.md").read_text().splitlines()
    assert "| small (returns) | 0.040 +- 0.028 | - |" in lines
    assert "| small (returns) | 0.85 +- 0.00 | - |" in lines
    assert "| small | +0.03 [-0.23, +0.28] | - |" in lines
    assert "| **mean over runs** | +0.028 | +10.5 |" in lines
    assert "| small | 2 | 0.012 | - | 0.040 | +0.008 | - | - | - | 0.004, 0.004 |" in lines
    assert "| toy/one-v0 | - | 30.5 +- 0.7 |" in lines


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "holds list"),
        ('{"a": 1}', "holds no results of runs"),
        ('{"format": "spar_lightning runs 1", "runs": [{"settings": 3}], "shared": {"settings": []}}', "is damaged"),
    ],
)
def test_a_file_that_is_none_of_results_is_refused(tmp_path: Path, contents: str, message: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(contents)
    with pytest.raises(UserError, match=message):
        report([str(path)], str(tmp_path / "out"))


def test_runs_without_an_evaluation_are_nothing_to_report(tmp_path: Path) -> None:
    made = document()
    write(tmp_path / "a", {name: value for name, value in made.items() if name not in ("score", "return")})
    with pytest.raises(UserError, match="none with an evaluation"):
        report([str(tmp_path)], str(tmp_path / "out"))


def test_without_matplotlib_a_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    write(tmp_path / "a", document())
    with pytest.raises(UserError, match=r"pip install 'spar-lightning\[report\]'"):
        report([str(tmp_path)], str(tmp_path / "out"))


@pytest.mark.parametrize("text", ['{"dataset": ', "[" * 100_000, '{"score": NaN}', '{"score": 1e999}', "[]"])
def test_results_that_are_half_written_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(UserError, match=r"results\.json (is no JSON|holds list)"):
        report([str(tmp_path)])


@pytest.mark.parametrize("name", ["dataset", "updates", "seed", "best", "wall_time_s"])
def test_results_that_lack_an_entry_are_refused(tmp_path: Path, name: str) -> None:
    made = document()
    del made[name]
    with pytest.raises(UserError, match=f"`{name}` is missing"):
        report([str(write(tmp_path / "run", made))])


@pytest.mark.parametrize("value", ["text", 5, [["x"]], {"a": "x"}, True], ids=str)
@pytest.mark.parametrize("name", sorted(document()))
def test_an_entry_of_another_kind_is_told_or_does_no_harm(tmp_path: Path, name: str, value: Any) -> None:
    folder = write(tmp_path / "run", document() | {name: value})
    for out in (None, str(tmp_path / "report")):
        try:
            report([str(folder)], out, figures=False)
        except UserError as error:
            message = str(error)
        else:
            continue
        assert f"results.json is not as this version writes it: `{name}" in message
        assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("record", ["[]", "{}", '{"method": 5}', '{"method": "a", "settings": 3}'])
def test_the_record_of_a_suite_is_looked_at_too(tmp_path: Path, record: str) -> None:
    (write(tmp_path / "run", document()) / "benchmark.json").write_text(record)
    with pytest.raises(UserError, match=r"benchmark\.json (is not as|holds list)"):
        report([str(tmp_path)])


@pytest.mark.parametrize("runs", [[], [{}], 5])
def test_a_file_of_many_runs_is_looked_at_too(tmp_path: Path, runs: Any) -> None:
    path = tmp_path / "runs.json"
    path.write_text(json.dumps({"format": "spar_lightning runs 1", "shared": {}, "runs": runs}))
    with pytest.raises(UserError, match=r"runs\.json"):
        report([str(path)])


def test_a_folder_that_cannot_be_written_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(command, "collect_results", lambda documents: pytest.fail("it is too late"))
    with pytest.raises(NotADirectoryError):
        report([str(write(tmp_path / "run", document()))], str(tmp_path / "file" / "out"))
