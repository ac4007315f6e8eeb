"""Suites whose runs are real trainings, and every command of the rooms' own texts."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import HOPPER, TINY, fit, last, refused, results, same, weights
from torch import Tensor

import spar_lightning
from spar_lightning.cli import main
from spar_lightning.cli.settings_trial import refusal
from spar_lightning.suite.runs import check_settings, plan
from spar_lightning.suite.suite_file import FOLDER, read_suite

ROOMS = Path(spar_lightning.__file__).parent
LONGER = """
common:
  algorithm: td3_bc
  trainer.accelerator: cpu
  trainer.max_steps: 800
  trainer.val_check_interval: 100
  model.hidden_dims: [16]
  callbacks.rollout.num_episodes: 1
  callbacks.rollout.final_episodes: 2
data_sets: [spar/hopper/medium-replay-v0]
methods: {TD3+BC: {}}
"""


MISTYPED = """
seeds: 2
data_sets: [spar/hopper/medium-replay-v0]
common: {trainer.max_steps: 100}
methods: {BC: {algorithm: bc}, SPAR: {}}
settings: {short: {}, long: {all: {}, SPAR: {}}}
"""


@pytest.mark.parametrize(
    ("right", "wrong", "run", "reason"),
    [
        (
            "SPAR: {}}\nset",
            "SPAR: {model.kapa: 1}}\nset",
            "SPAR, short",
            "no option --model.kapa, did you mean --model.kappa?",
        ),
        ("SPAR: {}}}", "SPAR: {model.kapa: 1}}}", "SPAR, long", "no option --model.kapa, did you mean --model.kappa?"),
        ("all: {}", "all: {model.kappa: 1}", "BC, long", "there is no option --model.kappa"),
        ("max_steps: 100", "max_stepz: 100", "BC, short", "did you mean --trainer.max_steps?"),
        ("max_steps: 100", "max_steps: many", "BC, short", "`trainer.max_steps` is many, expected a whole number"),
        ("max_steps: 100", "max_steps: 0", "BC, short", "`trainer.max_steps` is 0, expected a positive number"),
        ("max_steps: 100", "max_steps: null", "BC, short", "`trainer.max_steps` is None, expected a whole number"),
        ("algorithm: bc", "algorithm: bcc", "BC, short", "bcc"),
        ("algorithm: bc", "config: wolker", "BC, short", "there is no file wolker, did you mean walker?"),
        ("algorithm: bc", "help: true", "BC, short", "`fit` would print something"),
    ],
)
def test_a_setting_that_no_run_takes_is_told_before_any_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], right: str, wrong: str, run: str, reason: str
) -> None:
    suite = tmp_path / "toy.yaml"
    suite.write_text(MISTYPED.replace(right, wrong))
    for option in ([], ["--dry_run"]):
        said = refused(capsys, "benchmark", str(suite), *option)
        assert f"the run {run}, spar/hopper/medium-replay-v0, seed 0 of toy cannot be, and none is started: " in said
        assert reason in said
        assert not (tmp_path / "runs").exists()


def test_modules_of_two_may_be_allowed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {"algorithm": "theirs.Own", "data.environment": "plants:Plant-v0"}
    suite = {"data_sets": [HOPPER], "methods": {"Theirs": names}}
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(suite))
    line = ["benchmark", str(tmp_path / "toy.yaml"), "--dry_run", "--allow_module", "theirs"]
    assert "would import plants, " in refused(capsys, *line)
    assert "No module named 'theirs'" in refused(capsys, *line, "--allow_module", "plants")


def test_the_suites_of_the_package_are_ones_that_fit_takes(tmp_path: Path) -> None:
    for path in FOLDER.glob("*.yaml"):
        check_settings(plan(read_suite(path), tmp_path), refusal)


def test_settings_are_tried_once_for_all_seeds_and_data_sets(tmp_path: Path) -> None:
    tried: list[list[str]] = []
    runs = plan(read_suite(FOLDER / "locomotion.yaml"), tmp_path)
    check_settings(runs, lambda line: tried.append(list(line)))
    assert (len(runs), len(tried)) == (486, 18)


@pytest.mark.slow
def test_runs_that_begin_with_anothers_have_its_parts(tmp_path: Path) -> None:
    methods = {
        "SPAR": {},
        "kappa 2": {"same_warmup_as": "SPAR", "model.kappa": 2.0},
        "2 critics": {"same_base_as": "SPAR", "model.num_critics": 2},
    }
    settings = {name[2:]: yaml.safe_load(value) for name, value in zip(TINY[::2], TINY[1::2], strict=True)}
    suite = {"data_sets": [HOPPER], "methods": methods, "common": settings}
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(suite, sort_keys=False))
    main(["benchmark", str(tmp_path / "toy.yaml"), "--out", str(tmp_path / "out"), "--at_once", "2"])
    folders = [
        tmp_path / "out" / "hopper-medium-replay-v0" / name / "seed_0" for name in ("SPAR", "kappa-2", "2-critics")
    ]

    def parts(name: str) -> list[dict[str, Tensor]]:
        found = [weights(last(folder)) for folder in folders]
        return [{key: value for key, value in of.items() if key.startswith(f"algorithm.{name}")} for of in found]

    whole, improved, fitted = parts("policy.manifold")
    assert same(whole, improved)
    assert not same(whole, fitted)
    whole, improved, _ = parts("critics")
    assert same(whole, improved)
    whole, improved, fitted = parts("policy.base")
    assert same(whole, improved)
    assert same(whole, fitted)
    whole, improved, _ = parts("policy.actor")
    assert not same(whole, improved)
    main(["report", str(tmp_path / "out"), "--out", str(tmp_path / "report")])
    rows = (tmp_path / "report" / "report.md").read_text()
    assert all(f"| {name} |" in rows for name in methods)


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "spar_lightning", "benchmark", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
def test_a_suite_that_is_stopped_goes_on_to_what_it_would_have_been(tmp_path: Path) -> None:
    suite, out = tmp_path / "longer.yaml", tmp_path / "out"
    suite.write_text(LONGER)
    run = out / "hopper-medium-replay-v0" / "TD3+BC" / "seed_0"
    process = start(str(suite), "--out", str(out))
    deadline = time.monotonic() + 300
    while not last(run).is_file() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 130, said
    assert "the same command goes on" in said
    assert not (run / "results.json").exists()
    again = start(str(suite), "--out", str(out))
    said, _ = again.communicate(timeout=500)
    assert again.returncode == 0, said
    assert "to go on" in said
    whole = tmp_path / "whole"
    settings = re.findall(r"^  ([a-z_.]+): (.*)$", LONGER, re.MULTILINE)
    main(["fit", "--run_dir", str(whole), "--data.dataset", HOPPER, *[f"--{name}={value}" for name, value in settings]])
    assert same(weights(last(run)), weights(last(whole)))
    assert results(run)["episode_returns"] == results(whole)["episode_returns"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_that_was_killed_after_its_base_keeps_it(tmp_path: Path) -> None:
    suite, out = tmp_path / "toy.yaml", tmp_path / "out"
    common = dict(zip((name.removeprefix("--") for name in TINY[::2]), map(yaml.safe_load, TINY[1::2]), strict=True))
    suite.write_text(yaml.safe_dump({"common": common, "data_sets": [HOPPER], "methods": {"SPAR": {}}, "seeds": 1}))
    main(["benchmark", str(suite), "--out", str(out)])
    run = out / "hopper-medium-replay-v0" / "SPAR" / "seed_0"
    whole, base = weights(last(run)), last(run / "base").stat().st_mtime_ns
    shutil.rmtree(run / "checkpoints")
    (run / "results.json").unlink()
    main(["benchmark", str(suite), "--out", str(out)])
    assert last(run / "base").stat().st_mtime_ns == base
    assert same(weights(last(run)), whole)
    assert (run / "results.json").is_file()


@pytest.mark.slow
@pytest.mark.timeout(1200)  # a cluster and two trainings, of which a busy machine makes minutes
def test_a_suite_runs_on_the_nodes_of_a_ray_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # or other tests beside this one take all the time there is
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOMS.parent), os.environ.get("PYTHONPATH", "")]))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        on_cluster = ["--address", cluster.address, "--at_once", "2"]
        main(["benchmark", "debug", "--methods", "[TD3+BC]", "--out", str(tmp_path / "out"), *on_cluster])
    finally:
        cluster.shutdown()
    logs = [path.read_text() for path in (tmp_path / "out").rglob("output.log")]
    nodes = {found[1] for log in logs if (found := re.search(r"on node (\w+)", log))}
    assert len(logs) == 2
    assert len(nodes) == 2
    assert len(list((tmp_path / "out").rglob("results.json"))) == 2


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_search_with_ray_tune(tmp_path: Path, tiny_datasets: Path) -> None:
    pytest.importorskip("ray")
    example = ROOMS.parent / "examples" / "search_with_ray_tune.py"
    search = ["--num_samples", "2", "--out", str(tmp_path / "search")]
    training = ["--config", "hopper", *TINY]
    environment: dict[str, Any] = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    done = subprocess.run(
        [sys.executable, str(example), *search, "--", *training],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert "best of 2, 0 failed: offline_check" in done.stdout


def test_what_a_run_keeps_for_reports(finished_run: Path) -> None:
    document = results(finished_run)
    returns = document["episode_returns"]["policy"]
    assert sum(returns) / len(returns) == pytest.approx(document["return"])
    low, high = document["reference_returns"]
    assert document["score"] == pytest.approx(100 * (document["return"] - low) / (high - low))
    times = document["wall_time_s"]["training_at_evaluations"]
    assert times == sorted(times)
    assert 0 < times[-1] <= document["wall_time_s"]["training"]
    assert document["wall_time_s"]["base"] > 0
    json.dumps(document, allow_nan=False)


def test_a_resumed_run_keeps_the_times_of_its_first_part(tmp_path: Path) -> None:
    folder = fit(tmp_path / "run")
    first = results(folder)
    config, checkpoint = str(folder / "config.yaml"), str(last(folder))
    main(["fit", "--config", config, "--ckpt_path", checkpoint, "--trainer.max_steps", "60"])
    second = results(folder)["wall_time_s"]
    assert second["base"] == first["wall_time_s"]["base"]
    assert second["training_at_evaluations"][:2] == first["wall_time_s"]["training_at_evaluations"]
    assert len(second["training_at_evaluations"]) == 3
