"""The whole command on tiny windows; what it says about what cannot be run. No test looks at a speed."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from spar_lightning.benchmark import figure
from spar_lightning.benchmark.command import bench
from spar_lightning.benchmark.measuring.rounds import groups
from spar_lightning.benchmark.settings import APPLIES, Setting, canonical, grid, missing_package
from spar_lightning.cli import main
from spar_lightning.training.updates.products import mkl_lacks_avx512
from spar_lightning.types import UserError

TINY: dict[str, Any] = {
    "hidden_dims": 16,
    "batch_sizes": 8,
    "repeats": 2,
    "window": 12,
    "warmup": 4,
    "transitions": 2000,
    "accelerator": "cpu",
}
DEFAULTS: dict[str, list[Any]] = {
    "threads": [1],
    "precision": ["32-true"],
    "batch_size": [256],
    "hidden_dim": [256],
    "num_critics": [2],
    "updates_per_batch": [1],
    "compile": [False],
    "capture": [True],
    "num_seeds": [1],
    "loader": ["packed"],
    "transitions": [1000],
    "accelerator": ["cpu"],
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two contenders and one that crashes in its process, through the command line."""
    folder, package = tmp_path_factory.mktemp("bench"), tmp_path_factory.mktemp("package")
    (package / "d3rlpy.py").write_text("raise RuntimeError('broken on purpose')\n")
    options = TINY | {"modules": "[spar_warmup,d3rlpy_iql,plain,spar,spar_in_sample]", "output": "bench.json"}
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(shown):
        patch.chdir(folder)
        patch.syspath_prepend(package)
        main(["bench", *(part for name, value in options.items() for part in (f"--{name}", str(value)))])
    document: dict[str, Any] = json.loads((folder / "bench.json").read_text())
    assert [path.name for path in folder.iterdir()] == ["bench.json"]
    return document | {"shown": shown.getvalue()}


def test_document_holds_everything(measured: dict[str, Any]) -> None:
    assert {"processor", "cores", "torch", "command", "load_average"} <= measured["machine"].keys()
    assert measured["arguments"]["repeats"] == 2
    spar, _, plain, *improvements = measured["results"]
    for found in (spar, plain, *improvements):
        assert found["error"] is None
        assert len(found["rounds"]) == 2
        assert all(row["updates"] >= 12 and row["seconds"] > 0 for row in found["rounds"])
        assert found["flops_per_update"] > 0
        assert found["memory_mb"] >= found["imports_mb"] > 0
        assert set(found["peak_by_layout"]) - {"one_dnn"} == {"mm", "linear", "weight_gradient", "two_stacked"}
        assert ("one_dnn" in found["peak_by_layout"]) == mkl_lacks_avx512()
        assert found["ratio_to_plain"]["min"] <= found["ratio_to_plain"]["median"] <= found["ratio_to_plain"]["max"]
    assert plain["ratio_to_plain"]["median"] == 1.0


def test_sweeps_are_counted(measured: dict[str, Any]) -> None:
    spar, _, plain, *_ = (found["rounds"] for found in measured["results"])
    assert spar[0]["sweep_seconds"] > 0
    assert spar[0]["sweep_every"] == 2000
    assert spar[0]["updates_per_second"] < spar[0]["updates"] / spar[0]["seconds"]
    assert plain[0]["sweep_seconds"] == 0
    assert "1 in 2,000 updates" in measured["shown"]


def test_splits_name_the_parts_and_add_up(measured: dict[str, Any]) -> None:
    spar, _, plain, *_ = (found["time_split"] for found in measured["results"])
    common = {"data", "critic", "optimizer", "targets", "loop"}
    assert set(spar["microseconds"]) == common | {"manifold", "sweeps", "logging", "step"}
    assert set(plain["microseconds"]) == common | {"actor"}
    for split in (spar, plain):
        assert sum(split["percent"].values()) == pytest.approx(100)
        assert sum(split["microseconds"].values()) == pytest.approx(split["total_microseconds"])


def test_a_crash_is_told_and_the_rest_go_on(measured: dict[str, Any]) -> None:
    _, crashed, plain, *_ = measured["results"]
    assert crashed["error"].startswith("RuntimeError: broken on purpose")
    assert crashed["updates_per_second"] is None
    assert plain["updates_per_second"] is not None
    assert "d3rlpy_iql: RuntimeError: broken on purpose" in measured["shown"]
    assert re.search(r"^  plain +\d", measured["shown"], re.MULTILINE)


def test_figure_is_drawn(measured: dict[str, Any], tmp_path: Path) -> None:
    results = copy.deepcopy(measured["results"])
    for found in measured["results"]:
        results.append(found | {"setting": found["setting"] | {"hidden_dim": 32}})
    assert figure.varied_axes(results) == ["hidden_dim"]
    figure.draw(results, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"modules": "sparr"}, "`modules` holds `sparr`, expected some of spar"),
        ({"modules": "spar,plain"}, "write several as [spar,plain]"),
        ({"modules": []}, "`modules` is empty"),
        ({"precisions": ["16-true"]}, "`precisions` holds `16-true`, expected some of 32-true, bf16-mixed"),
        ({"loader": "fast"}, "`loader` holds `fast`"),
        ({"repeats": 0}, "`repeats` is 0, expected at least 1"),
        ({"window": 0}, "`window` is 0"),
        ({"threads": [1, 0]}, "`threads` is 0"),
        ({"hidden_dims": []}, "`hidden_dims` is empty, expected at least one value"),
        ({"compile": []}, "`compile` is empty"),
        ({"transitions": 0}, "`transitions` is 0"),
        ({"accelerator": "abacus"}, "`accelerator` is `abacus`"),
        ({"loader": "columns", "updates_per_batch": 2}, "gathers one batch at a time"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=re.escape(expected)):
        bench(**arguments)


@pytest.mark.skipif(missing_package("d3rlpy_iql") is None, reason="d3rlpy is installed here")
def test_a_missing_package_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="none of the modules can be run"):
        bench(["d3rlpy_iql", "d3rlpy_td3_bc"])
    shown = capsys.readouterr().out
    assert "d3rlpy_td3_bc is left out: d3rlpy is not installed (pip install d3rlpy)" in shown


def test_missing_matplotlib_is_said_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r"pip install 'spar-lightning\[notebook\]'"):
        bench(figure="bench.png")


def test_every_group_has_its_references() -> None:
    settings = grid(
        ["spar", "td3_bc", "plain"], **{**DEFAULTS, "threads": [1, 2], "precision": ["32-true", "bf16-mixed"]}
    )
    assert len(settings) == 4 + 4 + 2
    cut = list(groups(settings, at_once=3))
    assert set(settings) == {setting for group in cut for setting in group}
    for group in cut:
        assert all(setting.references["plain"] in group for setting in group)
        assert len(group) <= 3 + 2


def test_scales_can_be_varied_one_at_a_time() -> None:
    lists = DEFAULTS | {"batch_size": [256, 64], "hidden_dim": [256, 128], "num_critics": [2, 5]}
    assert len(grid(["spar"], **lists)) == 8
    found = {(s.batch_size, s.hidden_dim, s.num_critics) for s in grid(["spar"], one_at_a_time=True, **lists)}
    assert found == {(256, 256, 2), (64, 256, 2), (256, 128, 2), (256, 256, 5)}
    assert len(grid(["td3_bc"], one_at_a_time=True, **lists)) == 3  # it has two critics, always


def test_without_reference_or_with_nothing_else() -> None:
    alone = grid(["spar"], **DEFAULTS)
    assert list(groups(alone, 12)) == [alone]
    reference = grid(["plain"], **{**DEFAULTS, "threads": [1, 2]})
    assert [setting for group in groups(reference, 1) for setting in group] == reference


def test_settings_name_what_differs() -> None:
    first, second = (canonical(Setting("spar", threads=threads, precision="bf16-mixed")) for threads in (1, 2))
    assert first.name([first, second]) == "spar threads=1"
    assert canonical(Setting("plain", precision="bf16-mixed", num_critics=10)) == Setting("plain")
    assert set(APPLIES) == {setting.contender for setting in grid(list(APPLIES), **DEFAULTS)}
