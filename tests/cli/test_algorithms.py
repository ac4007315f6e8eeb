"""Another algorithm than the default: how it is chosen, and that its runs are runs like any other."""

from __future__ import annotations

import csv
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml
from commands import CONFIGS, HOPPER, TINY, config, last, one_stage, read_checkpoint, refused, results, same, weights

from spar_lightning.cli import main
from spar_lightning.cli.parsing.chosen_algorithm import choose_algorithm
from spar_lightning.training import ALGORITHMS, TD3BCModule
from spar_lightning.types import CheckpointError, UserError

SHORT = one_stage(TINY)


def fit(folder: Path, *extra: str) -> Path:
    main(["fit", "--algorithm", "td3_bc", "--run_dir", str(folder), "--data.dataset", HOPPER, *SHORT, *extra])
    return folder


@pytest.fixture(scope="module")
def td3_bc_run(tmp_path_factory: pytest.TempPathFactory, tiny_datasets: Path) -> Path:
    """The folder of a run of 40 updates; tests only read it."""
    folder = tmp_path_factory.mktemp("runs") / "td3_bc"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(tiny_datasets))
        patch.delenv("PL_GLOBAL_SEED", raising=False)
        fit(folder)
    return folder


def test_a_run_leaves_a_complete_folder(td3_bc_run: Path) -> None:
    document = results(td3_bc_run)
    assert document["updates"] == 40
    assert [row["step"] for row in document["history"]] == [20, 40]
    assert document["checkpoints"] == {"best": "checkpoints/best.ckpt", "last": "checkpoints/last.ckpt"}
    assert not (td3_bc_run / "base").exists()
    found = config(td3_bc_run)
    assert found["algorithm"] == "td3_bc"
    assert not {"bc", "stage"} & found.keys()
    rows = list(csv.DictReader((td3_bc_run / "csv" / "metrics.csv").open()))
    assert [row["step"] for row in rows if row["actor/loss"]] == ["9", "19", "29", "39"]
    module = TD3BCModule.load_from_checkpoint(last(td3_bc_run), map_location="cpu", weights_only=True)
    assert module.act(torch.zeros(11)).shape == (3,)


def test_a_config_names_its_algorithm(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    main(["fit", "--config", str(CONFIGS / "td3_bc.yaml"), "--run_dir", str(folder), *SHORT])
    assert read_checkpoint(last(folder))["module"] == "TD3BCModule"


def test_the_saved_config_repeats_the_run(td3_bc_run: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    main(["fit", "--config", str(td3_bc_run / "config.yaml"), "--run_dir", str(again)])
    assert same(weights(last(again)), weights(last(td3_bc_run)))


def test_a_run_goes_on(td3_bc_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(td3_bc_run, tmp_path / "copy"))
    arguments = ["--config", str(run / "config.yaml"), "--run_dir", str(run), "--ckpt_path", str(last(run))]
    main(["fit", *arguments, "--trainer.max_steps", "60"])
    assert results(run)["updates"] == 60
    assert same(weights(last(run)), weights(last(fit(tmp_path / "whole", "--trainer.max_steps", "60"))))


@pytest.mark.parametrize("command", ["validate", "test"])
def test_a_checkpoint_knows_its_algorithm(capsys: pytest.CaptureFixture[str], td3_bc_run: Path, command: str) -> None:
    episodes = ("--callbacks.rollout.num_episodes", "1", "--callbacks.rollout.final_episodes", "1")
    main([command, "--ckpt_path", str(last(td3_bc_run)), *episodes])
    assert f"{results(td3_bc_run)['score']:.1f}" in capsys.readouterr().out


def test_a_checkpoint_of_another_algorithm_is_refused(
    capsys: pytest.CaptureFixture[str], td3_bc_run: Path, finished_run: Path
) -> None:
    message = refused(capsys, "fit", "--data.dataset", HOPPER, *TINY, "--ckpt_path", str(last(td3_bc_run)))
    assert "was trained with the algorithm td3_bc, not with spar: add --algorithm td3_bc" in message
    arguments = ["--algorithm", "td3_bc", "--data.dataset", HOPPER, "--ckpt_path", str(last(finished_run))]
    assert "with the algorithm spar, not with td3_bc" in refused(capsys, "fit", *arguments, *SHORT)
    assert "with the algorithm spar, not with td3_bc" in refused(capsys, "test", *arguments)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("import nothing_there", "No module named 'nothing_there'"),
        ("undefined_name", "NameError in faulty_methods.py, line"),
        ("class Mine(Algorithm):\n    pass", "lacks the method(s) optimizers, update: define them"),
        ("class Mine(BC):\n    def __init__(self, size): pass", "constructor has the arguments size, expected `obs"),
        (
            "class Mine(BC):\n    def __init__(self, observation_dim, action_dim, hidden_dims):"
            " torch.nn.Module.__init__(self)",
            "no dim",
        ),
        (
            "class Mine(BC):\n    def optimizers(self, _): return {}",
            "`optimizers` of Mine gave {}, expected a dictionary",
        ),
        (
            "class Mine(BC):\n    def select_actions(self, raw): return super().select_actions(raw)[:, :1]",
            "Mine gives actions of shape (3, 1) for 3 observations, expected (3, 3): mend its `forward`",
        ),
        (
            "class Mine(BC):\n    def update(self, batch, phase, learner): pass",
            "`update` of Mine gave NoneType, expected a dictionary of metrics",
        ),
        (
            "class Mine(BC):\n    def update(self, batch, phase, learner): return learner.descend('mine', lambda: 0)",
            "`descend` was asked for the optimizer 'mine', expected one of actor",
        ),
        (
            "class Mine(BC):\n    def imitation_loss(self, batch): return super().imitation_loss(batch)[0]",
            "gave a tensor of shape (), expected a scalar tensor and a dictionary of metrics",
        ),
    ],
)
def test_what_an_own_method_lacks_is_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, expected: str
) -> None:
    imports = "import torch\nfrom spar_lightning.algorithms import BC, Algorithm\n"
    (tmp_path / "faulty_methods.py").write_text(imports + body + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "faulty_methods", raising=False)
    arguments = [
        "--algorithm",
        "faulty_methods.Mine",
        "--data.dataset",
        HOPPER,
        *SHORT,
        "--run_dir",
        str(tmp_path / "x"),
    ]
    assert expected in refused(capsys, "fit", *arguments)
    sys.modules.pop("faulty_methods", None)


def test_an_unknown_algorithm_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "fit", "--algorithm", "td4")
    assert "`algorithm` is td4" in message
    assert "expected one of spar, bc, td3_bc, iql, rebrac, or the class path of an own `Algorithm`" in message
    message = refused(capsys, "fit", "--algorithm", "spar_lightning.types.UserError")
    assert "expected a subclass of spar_lightning.algorithms.Algorithm there" in message


def test_settings_of_a_base_have_no_place_in_one_stage(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--config", str(CONFIGS / "walker.yaml")], ["--bc.trainer.max_steps", "10"]):
        assert "bc" in refused(capsys, "fit", "--algorithm", "td3_bc", *arguments).splitlines()[-1]


def test_help_shows_the_settings_of_the_algorithm(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["fit", "--algorithm", "td3_bc", "--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    assert "--model.alpha" in text
    assert "--model.kappa" not in text
    assert "--model.observation_dim" not in text


# ------------------------------------------------------------------------------------------------ before the parser


def test_the_last_word_on_the_algorithm_counts(tmp_path: Path) -> None:
    first, second, neither = tmp_path / "first.yaml", tmp_path / "second.yaml", tmp_path / "neither.yaml"
    first.write_text("algorithm: td3_bc\n")
    second.write_text("fit:\n  algorithm: spar\n")
    neither.write_text("data: {batch_size: 3}\n")
    for arguments, expected in [
        (["fit"], "spar"),
        (["fit", "--algorithm=td3_bc"], "td3_bc"),
        (["fit", "--config", str(first)], "td3_bc"),
        (["fit", "-c", str(first)], "td3_bc"),
        (["fit", f"-c{first}"], "td3_bc"),
        (["fit", "--algorithm", "${oc.env:ALGORITHM,td3_bc}"], "spar"),
        (["fit", "--ckpt_path", "null"], "spar"),
        (["fit", f"--config={first}", "--config", str(neither)], "td3_bc"),
        (["--config", str(second), "fit", "--algorithm", "td3_bc"], "td3_bc"),
        (["fit", "--config", str(first), "--config", str(second)], "spar"),
        (["fit", "--algorithm", "spar", "--config", str(first)], "td3_bc"),
        (["fit", "--config", str(first), "--algorithm", "spar"], "spar"),
    ]:
        assert choose_algorithm(arguments) == expected, arguments


@pytest.mark.parametrize("text", ["algorithm: [", "", "\x00", "x: 2024-13-45"])
def test_what_is_wrong_with_a_file_is_left_to_the_parser(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    assert choose_algorithm(["fit", "--config", str(tmp_path / "bad.yaml")]) == "spar"
    assert choose_algorithm(["fit", "--config", str(tmp_path / "nowhere.yaml")]) == "spar"
    assert choose_algorithm(["fit", "--config"]) == "spar"


@pytest.mark.parametrize("text", ["3", "- a list", "a text"])
def test_a_file_without_settings_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.yaml").write_text(text)
    with pytest.raises(UserError, match=r"odd\.yaml holds .*, expected the settings of a run with their names"):
        choose_algorithm(["fit", "--config", str(tmp_path / "odd.yaml")])


def test_a_file_too_deep_to_be_read_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "deep.yaml").write_text("[" * 3000)
    with pytest.raises(UserError, match=r"deep\.yaml is nested too deeply"):
        choose_algorithm(["fit", "--config", str(tmp_path / "deep.yaml")])


def test_an_evaluation_takes_the_algorithm_of_its_checkpoint(td3_bc_run: Path, finished_run: Path) -> None:
    ours, theirs = str(last(td3_bc_run)), str(last(finished_run))
    assert choose_algorithm(["test", "--ckpt_path", ours]) == "td3_bc"
    assert choose_algorithm(["validate", f"--ckpt_path={theirs}"]) == "spar"
    with pytest.raises(CheckpointError, match="not with spar"):
        choose_algorithm(["fit", "--ckpt_path", ours])


def test_checkpoints_without_a_name_are_of_the_default(tmp_path: Path, finished_run: Path) -> None:
    checkpoint = read_checkpoint(last(finished_run))
    assert checkpoint.pop("module") == "SPARModule"
    torch.save(checkpoint, tmp_path / "early.ckpt")
    assert choose_algorithm(["test", "--ckpt_path", str(tmp_path / "early.ckpt")]) == "spar"


@pytest.mark.parametrize("value", ["3", "[td3_bc]"])
def test_an_algorithm_is_a_name(tmp_path: Path, value: str) -> None:
    (tmp_path / "odd.yaml").write_text(f"algorithm: {value}\n")
    with pytest.raises(UserError, match="expected one of spar, bc, td3_bc, iql, rebrac"):
        choose_algorithm(["fit", "--config", str(tmp_path / "odd.yaml")])


@pytest.mark.parametrize("inline", ['{"algorithm": "td3_bc"}', '{"algorithm": "${oc.env:NOT_SET,td3_bc}"}'])
def test_an_algorithm_that_was_seen_too_late_is_refused(capsys: pytest.CaptureFixture[str], inline: str) -> None:
    message = refused(capsys, "fit", "--config", inline, "--data.dataset", HOPPER)
    assert "give --algorithm td3_bc on the command line" in message


# ------------------------------------------------------------------------------------------ several updates a batch


def test_several_updates_a_batch_give_the_same_run(tmp_path: Path, td3_bc_run: Path) -> None:
    folder = fit(tmp_path / "run", "--data.updates_per_batch", "5")
    assert same(weights(last(folder)), weights(last(td3_bc_run)))
    assert config(folder)["trainer"]["val_check_interval"] == 20
    keys = ("score", "return", "history", "updates", "settings")
    assert [results(folder)[key] for key in keys] == [results(td3_bc_run)[key] for key in keys]


def test_both_stages_give_the_same_run_with_several_updates_a_batch(tmp_path: Path, finished_run: Path) -> None:
    folder = tmp_path / "run"
    several = ["--data.updates_per_batch", "10"]
    main(["fit", "--run_dir", str(folder), "--data.dataset", HOPPER, *TINY, *several])
    assert same(weights(last(folder)), weights(last(finished_run)))
    rows = [list(csv.DictReader((run / "csv" / "metrics.csv").open())) for run in (folder, finished_run)]
    assert sorted(map(str, rows[0])) == sorted(map(str, rows[1]))


@pytest.mark.parametrize("name", ["max_steps", "val_check_interval"])
def test_updates_a_batch_must_divide_the_intervals(capsys: pytest.CaptureFixture[str], name: str) -> None:
    changes = ["--data.updates_per_batch", "4", f"--trainer.{name}", "30"]
    message = refused(capsys, "fit", "--data.dataset", HOPPER, *TINY, *changes)
    assert f"`trainer.{name}` is 30, expected a multiple of `data.updates_per_batch`, 4: change either" in message


def test_the_config_of_the_baseline_is_on_the_data_of_the_main_job() -> None:
    found, main_job = (yaml.safe_load((CONFIGS / name).read_text()) for name in ("td3_bc.yaml", "walker.yaml"))
    assert [found[key] for key in ("data", "trainer", "seed_everything")] == [
        main_job[key] for key in ("data", "trainer", "seed_everything")
    ]


def test_a_resume_that_is_refused_changes_nothing(
    capsys: pytest.CaptureFixture[str], td3_bc_run: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(td3_bc_run, tmp_path / "copy"))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    lengths = ["--trainer.max_steps", "84", "--trainer.val_check_interval", "12", "--data.updates_per_batch", "12"]
    arguments = ["--config", str(run / "config.yaml"), "--ckpt_path", str(last(run)), *lengths]
    assert "which `updates_per_batch`, 12, does not divide" in refused(capsys, "fit", *arguments)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_missing_compiler_is_said_before_a_base_is_trained(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "false")
    folder = tmp_path / "run"
    arguments = ["--run_dir", str(folder), "--data.dataset", HOPPER, *TINY, "--model.compile", "true"]
    assert "false cannot be run: expected a C++ compiler" in refused(capsys, "fit", *arguments)
    assert not folder.exists()


def test_a_base_is_tested_as_the_method_that_it_is(capsys: pytest.CaptureFixture[str], finished_run: Path) -> None:
    main(["test", "--data.dataset", HOPPER, "--ckpt_path", str(last(finished_run / "base")), *SHORT[-2:]])
    shown = capsys.readouterr().out
    assert re.search(r"^  policy +-?\d", shown, re.MULTILINE)
    assert "fitted" not in shown


@pytest.mark.parametrize("algorithm", ["bc", "iql", "rebrac"])
def test_every_method_is_trained_in_one_stage(tmp_path: Path, algorithm: str) -> None:
    run = tmp_path / "run"
    main(["fit", "--algorithm", algorithm, "--data.dataset", HOPPER, *SHORT, "--run_dir", str(run)])
    assert results(run)["module"] == ALGORITHMS[algorithm].__name__
    assert results(run)["score"] is not None
    assert not (run / "base").exists()


OWN = """
from torch import nn

from spar_lightning.algorithms import Algorithm, Optimized


class Cloning(Algorithm):
    '''Cloning by an absolute error.

    Args:
        observation_dim: size of an observation.
        action_dim: size of an action.
        rate: of Adam.
        largest: of a weight; None lets them grow.
    '''

    def __init__(
        self, observation_dim: int, action_dim: int, rate: float = 1e-3, largest: float | None = 1.0
    ) -> None:
        super().__init__(observation_dim, action_dim)
        self.actor, self.rate = nn.Linear(observation_dim, action_dim), rate

    def forward(self, observations):
        return self.actor(observations).tanh()

    def loss(self, batch):
        loss = (self(batch.observations) - batch.actions).abs().mean()
        return loss, {"actor/loss": loss.detach()}

    def update(self, batch, phase, learner):
        return learner.descend("actor", self.loss, batch)

    def optimizers(self, max_updates):
        return {"actor": Optimized([self.actor], self.rate)}
"""


def test_a_method_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own_methods.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    run, own = tmp_path / "run", ["--algorithm", "own_methods.Cloning"]
    pairs = zip(SHORT[::2], SHORT[1::2], strict=True)
    short = [part for pair in pairs if not pair[0].startswith("--model.") for part in pair]
    given = ["--model.rate", "0.01", "--model.largest", "null"]
    main(["fit", *own, "--data.dataset", HOPPER, *short, *given, "--run_dir", str(run)])
    assert results(run)["module"] == "CloningModule"
    assert results(run)["score"] is not None
    assert (config(run)["model"]["rate"], config(run)["model"]["largest"]) == (0.01, None)
    other = ["--data.dataset", HOPPER, *short, *given, "--run_dir", str(tmp_path / "other")]
    main(["fit", *own, *other, "--callbacks.rollout.background", "true"])
    assert results(tmp_path / "other")["history"] == results(run)["history"]
    capsys.readouterr()
    main(["test", *own, "--ckpt_path", str(last(run))])
    assert f"{results(run)['score']:.1f}" in capsys.readouterr().out
    message = refused(capsys, "test", "--ckpt_path", str(last(run)))
    assert "was trained with the algorithm own_methods.Cloning, not with spar: add --algorithm own_methods" in message
