"""Suites as they are written, and the runs that they make."""

from __future__ import annotations

import datetime
import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml

from spar_lightning import SPARModule
from spar_lightning.suite.jobs import Job, State
from spar_lightning.suite.runs import OF_IMPROVEMENT, Run, check_imports, fit_arguments, plan
from spar_lightning.suite.suite_file import FOLDER, find_suite, read_suite
from spar_lightning.types import UserError

PARTS: dict[str, Any] = {"data_sets": ["spar/hopper/medium-v0"], "methods": {"BC": {"algorithm": "bc"}}}


def runs_of(tmp_path: Path, **parts: Any) -> list[Run]:
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump({**PARTS, **parts}, sort_keys=False))
    return plan(read_suite(path), tmp_path / "runs")


def test_every_combination_is_a_run_seed_by_seed(tmp_path: Path) -> None:
    runs = runs_of(
        tmp_path,
        seeds=[3, 4],
        data_sets=["spar/hopper/medium-v0", "mine.npz"],
        methods={"BC": {"algorithm": "bc"}, "SPAR": None},
        settings={"short": {"all": {"trainer.max_steps": 10}}, "long": {"SPAR": {"model.warmup_steps": 5}}},
    )
    assert len(runs) == 16
    assert [run.seed for run in runs] == [3] * 8 + [4] * 8
    assert runs[0].name == "BC, short, spar/hopper/medium-v0, seed 3"
    assert len({run.folder for run in runs}) == 16
    settings = {(run.method, run.variant): run.settings for run in runs}
    assert settings["SPAR", "short"]["trainer.max_steps"] == 10
    assert settings["SPAR", "long"]["model.warmup_steps"] == 5
    assert "model.warmup_steps" not in settings["BC", "long"]


def test_a_run_of_one_setting_has_a_short_folder(tmp_path: Path) -> None:
    (run,) = runs_of(tmp_path)
    assert run.folder == tmp_path / "runs" / "hopper-medium-v0" / "BC" / "seed_0"


def test_a_method_may_begin_with_what_another_has_made(tmp_path: Path) -> None:
    methods = {
        "SPAR": None,
        "kappa 2": {"same_warmup_as": "SPAR", "model.kappa": 2.0},
        "2 critics": {"same_base_as": "SPAR", "model.num_critics": 2},
    }
    runs = {run.name: run for run in runs_of(tmp_path, methods=methods, seeds=[7], settings={"short": {}})}
    spar = runs["SPAR, short, spar/hopper/medium-v0, seed 7"].folder
    improved = Job((runs["kappa 2, short, spar/hopper/medium-v0, seed 7"],), State.NEW).arguments()
    assert " ".join(improved).count(f"--stage improvement --ckpt_path {spar}/checkpoints/last.ckpt") == 1
    fitted = Job((runs["2 critics, short, spar/hopper/medium-v0, seed 7"],), State.NEW).arguments()
    assert " ".join(fitted).count(f"--bc.ckpt_path {spar}/base/checkpoints/last.ckpt") == 1
    assert "--stage" not in fitted


@pytest.mark.parametrize(
    ("of", "name"),
    [
        ({"same_base_as": "SPAR", "bc.model.hidden_dims": [64]}, "bc.model.hidden_dims"),
        ({"same_base_as": "SPAR", "data.top_fraction": 0.1}, "data.top_fraction"),
        ({"same_base_as": "SPAR", "bc.ckpt_path": "base.ckpt"}, "bc.ckpt_path"),
        ({"same_warmup_as": "SPAR", "model.fit_temperature": 0.5}, "model.fit_temperature"),
        ({"same_warmup_as": "SPAR", "model.gradient_clip_norm": 1.0}, "model.gradient_clip_norm"),
        ({"same_warmup_as": "SPAR", "algorithm": "iql"}, "algorithm"),
    ],
)
def test_what_is_taken_over_was_made_with_the_same_settings(tmp_path: Path, of: dict[str, Any], name: str) -> None:
    with pytest.raises(UserError, match=rf"`{name}` of odd is .*, of SPAR .*, expected the same"):
        runs_of(tmp_path, methods={"SPAR": None, "odd": of})


def test_settings_of_the_improvement_are_settings_of_spar() -> None:
    assert {*inspect.signature(SPARModule).parameters} >= OF_IMPROVEMENT


def test_a_method_may_be_called_by_a_number(tmp_path: Path) -> None:
    _, run = runs_of(tmp_path, methods={1: None, 2: {"same_base_as": 1}})
    assert run.beginning is not None
    assert run.beginning.method == "1"


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        ({"same_base_as": "SPARR"}, "expected a method that begins by itself: SPAR$"),
        ({"same_base_as": "kappa"}, "expected a method that begins by itself: SPAR$"),
        ({"same_warmup_as": ["SPAR"]}, "expected a method that begins by itself: SPAR$"),
        ({"same_base_as": "SPAR", "same_warmup_as": "SPAR"}, "expected one: a warm-up has its base"),
    ],
)
def test_a_beginning_that_cannot_be(tmp_path: Path, of: dict[str, Any], expected: str) -> None:
    methods = {"SPAR": None, "kappa": {"same_warmup_as": "SPAR"}, "odd": of}
    with pytest.raises(UserError, match=expected):
        runs_of(tmp_path, methods=methods)


def test_later_layers_win_and_configurations_come_first(tmp_path: Path) -> None:
    (run,) = runs_of(
        tmp_path,
        common={"model.kappa": 1.0, "config": "walker", "callbacks.rollout.final_episodes": 7},
        data_sets=[{"mine.npz": {"model.kappa": 2.0, "config": "debug"}}],
        methods={"SPAR": {"model.kappa": 3.0, "model.compile": True, "data.filter": {"min_return": 5}}},
    )
    arguments = fit_arguments(run.settings)
    assert arguments[:4] == ["--config", "walker", "--config", "debug"]
    pairs = dict(zip(arguments[4::2], arguments[5::2], strict=True))
    assert pairs == {
        "--callbacks.rollout.final_episodes": "7",
        "--model.kappa": "3.0",
        "--data.dataset": "mine.npz",
        "--model.compile": "true",
        "--data.filter": '{"min_return": 5}',
    }


def test_a_hundred_final_episodes_unless_a_suite_says_otherwise(tmp_path: Path) -> None:
    (run,) = runs_of(tmp_path)
    assert run.settings["callbacks.rollout.final_episodes"] == 100


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"data_sets": []}, "`data_sets` is \\[\\] in .*, expected a list of names"),
        ({"methods": ["BC"]}, "`methods` is \\['BC'\\]"),
        ({"methods": {"BC": {"model": {"kappa": 3}}}}, "write them with dots, as in `model.kappa: ...`"),
        ({"seeds": "three"}, "`seeds` is 'three'"),
        ({"seeds": [1, 1]}, "expected each once"),
        ({"seeds": True}, "`seeds` is True"),
        ({"method": {}}, "has method, expected only common"),
        ({"settings": {"long": {"SPAR": {}}}}, "expected `all` or names of `methods`"),
        ({"common": {"run_dir": "x"}}, "`run_dir` is set in toy, which the benchmark gives itself"),
        ({"common": {"resume": "x"}}, "`resume` is set"),
        ({"common": {"allow_module": "os"}}, "`allow_module` is set"),
        ({"seeds": 10**9}, "how many: 1 to 10,000"),
        ({"seeds": 10**23}, "how many: 1 to 10,000"),
        ({"seeds": [2**32]}, "from 0 to 4,294,967,295"),
        ({"data_sets": ["a", "a"]}, "`data_sets` has 'a' in .*, expected names, each once"),
        ({"data_sets": [None]}, "`data_sets` has None"),
        ({"methods": {"///": {}}}, "a name is '///'"),
        ({"methods": {"..": {}}}, "a name is '..'"),
        ({"methods": {"a" * 300: {}}}, "of at most 150"),
        (
            {"common": {"model.learning_rate": datetime.date(2020, 1, 1)}},
            "`common.model.learning_rate` in .* is no value",
        ),
        ({"common": {"model.learning_rate": float("nan")}}, "`common.model.learning_rate` in .* is no value"),
        ({"methods": {"a b": {}, "a/b": {}}}, "two runs of toy have one folder"),
    ],
)
def test_what_is_no_suite_is_refused(tmp_path: Path, parts: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        runs_of(tmp_path, **parts)


def test_a_suite_by_name_or_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_suite("locomotion") == find_suite("locomotion.yaml") == FOLDER / "locomotion.yaml"
    Path("locomotion.yaml").write_text("mine")
    assert find_suite("locomotion.yaml") == Path("locomotion.yaml")
    with pytest.raises(UserError, match=r"there is no suite locomotive, expected .* ablations"):
        find_suite("locomotive")


def test_the_suites_of_the_package_are_as_large_as_they_say(tmp_path: Path) -> None:
    sizes = {path.stem: len(plan(read_suite(path), tmp_path)) for path in FOLDER.glob("*.yaml")}
    published = {"published": 24, "published_baselines": 240}
    assert sizes == {"ablations": 342, "debug": 4, "locomotion": 486, "maze": 24} | published


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("methods: {BC: {}, BC: {}}", "is no YAML: BC stands twice"),
        ("a: " + "[" * 5000, "is no YAML"),
        (
            "methods: {BC: {model.hidden_dims: &own [*own]}}\ndata_sets: [a]",
            "`methods.BC.model.hidden_dims` in .* is no",
        ),
    ],
)
def test_what_only_yaml_can_say_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "toy.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        read_suite(tmp_path / "toy.yaml")


@pytest.mark.parametrize(
    "setting", [{"algorithm": "theirs.methods.Own"}, {"data.environment": "theirs.plants:Plant-v0"}]
)
def test_a_suite_alone_has_nothing_imported(tmp_path: Path, setting: dict[str, str]) -> None:
    runs = runs_of(tmp_path, methods={"Theirs": setting})
    with pytest.raises(UserError, match=r"would import theirs\.\w+, .* add --allow_module theirs"):
        check_imports(runs, [])
    with pytest.raises(UserError, match="would import"):
        check_imports(runs, ["their"])
    check_imports(runs, ["theirs"])
    check_imports(runs_of(tmp_path, common={"algorithm": "td3_bc"}), [])


def test_who_goes_on_may_import_what_the_suite_named(tmp_path: Path) -> None:
    names = {"algorithm": "theirs.Own", "data.environment": "plants:Plant-v0"}
    (run,) = runs_of(tmp_path, seeds=1, methods={"Theirs": names})
    arguments = Job((run,), State.INTERRUPTED).arguments()
    assert arguments == ["fit", "--resume", str(run.folder), *["--allow_module", "theirs", "--allow_module", "plants"]]
