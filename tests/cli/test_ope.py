"""The command `ope`, on checkpoints of every method."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from array_files import write_arrays
from commands import HOPPER, TINY, WALKER, fit, last, one_stage, read_checkpoint, refused, results

from spar_lightning.cli import main, ope
from spar_lightning.training import ALGORITHMS

FEW = ["--updates", "4", "--splits", "2", "--batch_size", "8"]
SHORT = one_stage(TINY)
PLAIN = [part for part in SHORT if part not in ("--model.hidden_dims", "[16]")]
"""For a method without hidden layers."""

OWN = """
import torch
from torch import nn
from spar_lightning.algorithms import Algorithm, Optimized


class Cloning(Algorithm):
    def __init__(self, observation_dim: int, action_dim: int) -> None:
        super().__init__(observation_dim, action_dim)
        self.actor = nn.Linear(observation_dim, action_dim)

    def forward(self, observations):
        return torch.tanh(self.actor(observations))

    def loss(self, batch):
        loss = (self(batch.observations) - batch.actions).abs().mean()
        return loss, {"actor/loss": loss.detach()}

    def update(self, batch, phase, learner):
        return learner.descend("actor", self.loss, batch)

    def optimizers(self, max_updates):
        return {"actor": Optimized([self.actor], 1e-3)}
"""


def run(folder: Path, algorithm: str, *extra: str) -> Path:
    """The last checkpoint of a tiny run in one stage."""
    short = SHORT if algorithm in ALGORITHMS else PLAIN
    main(["fit", "--algorithm", algorithm, "--run_dir", str(folder), "--data.dataset", HOPPER, *short, *extra])
    return last(folder)


def test_a_checkpoint_is_compared_with_its_base(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["ope", str(last(finished_run)), "--data.dataset", HOPPER, *FEW])
    printed = capsys.readouterr().out
    assert f"{HOPPER}, SPARModule after 40 updates" in printed
    for name in ("base", "fitted", "policy"):
        assert f"\n  {name} " in printed
    assert "the policy over the base: " in printed


def test_what_the_command_line_names_is_taken_even_if_it_is_the_default(
    tmp_path: Path, finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contents = torch.load(last(finished_run), weights_only=True)
    contents["datamodule_hyper_parameters"] |= {"reward_scale": 0.5, "top_fraction": 0.5}
    torch.save(contents, tmp_path / "scaled.ckpt")

    def value(*extra: str) -> float:
        main(["ope", str(tmp_path / "scaled.ckpt"), "--json", *FEW, *extra])
        found: float = json.loads(capsys.readouterr().out)["fqe"]["values"]["policy"]["mean"]
        return found

    of_checkpoint = value()
    assert value("--data.reward_scale", "1.0") != of_checkpoint
    assert value("--data.top_fraction", "null") != of_checkpoint
    assert value("--data.reward_scale", "0.5", "--data.top_fraction", "0.5") == of_checkpoint


def test_json_alone_is_on_standard_output(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["ope", str(last(finished_run)), "--json", "--beside", f"[{last(finished_run)}]", *FEW])
    document = json.loads(capsys.readouterr().out)
    assert document["dataset"] == HOPPER  # the checkpoint's
    assert document["fqe"]["updates"] == 4
    values = document["fqe"]["values"]
    assert values.keys() == {"base", "fitted", str(last(finished_run)), "policy"}
    assert values["policy"] == values[str(last(finished_run))]


def test_values_are_held_against_a_simulator(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["ope", str(last(finished_run)), "--json", "--rollouts", "2", *FEW])
    truth = json.loads(capsys.readouterr().out)["truth"]
    assert truth["scores"].keys() == {"policy", "base", "fitted"}
    assert -1 <= truth["rank_correlation"] <= 1
    assert truth["regret"] == truth["scores"][truth["best"]]["return"] - truth["scores"][truth["chosen"]]["return"]


@pytest.mark.parametrize("algorithm", [name for name, module in ALGORITHMS.items() if module.base_class is None])
def test_a_method_without_a_base_is_compared_with_the_behaviour(
    algorithm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["ope", str(run(tmp_path / "run", algorithm)), *FEW])
    printed = capsys.readouterr().out
    assert "\n  behaviour " in printed
    assert "the policy over the behaviour: " in printed


def test_a_method_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ope_methods.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    checkpoint = str(run(tmp_path / "run", "ope_methods.Cloning"))
    # What is imported is the user's to say.
    assert "name it again with --algorithm ope_methods.Cloning" in refused(capsys, "ope", checkpoint, *FEW)
    main(["ope", checkpoint, "--algorithm", "ope_methods.Cloning", *FEW])
    assert "the policy over the behaviour: " in capsys.readouterr().out


def test_a_run_without_a_simulator_is_told_of_all_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    run(folder, "td3_bc", "--callbacks.rollout.final_episodes", "0", "--callbacks.offline_check.fqe_updates", "4")
    printed = " ".join(capsys.readouterr().out.split())  # lines are wrapped
    assert "in discounted return over the behaviour, from the start, by fitted Q evaluation: " in printed
    assert "distance to the data" in printed
    assert results(folder)["offline_check"]["fqe"]["gains"].keys() == {"policy"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "checkpoint"),
        (("none.ckpt",), "there is no checkpoint none.ckpt"),
        (("CHECKPOINT", "--updates", "-1"), "`updates` is -1"),
        (("CHECKPOINT", "--splits", "many"), "splits"),
        (("CHECKPOINT", "--splits", "1000000"), "`splits` is 1000000, expected 2 to 1,000"),
        (("CHECKPOINT", "--seed", str(10**30)), "`seed` is 1"),
        (("CHECKPOINT", "--batch_size", "1000000000"), "`batch_size` is 1000000000, expected 1 to 1,048,576"),
        (("CHECKPOINT", "--rollouts", "2", "--updates", "0"), "`rollouts` is 2 with 0 `updates`"),
        (("CHECKPOINT", "--data.dataset", "nowhere.npz"), "nowhere.npz"),
        (("CHECKPOINT", "--data.dataset", WALKER), "have 17 dimensions"),
        (("CHECKPOINT", "--beside", "[none.ckpt]"), "there is no checkpoint none.ckpt"),
        (("CHECKPOINT", "--algorithm", "iql"), "holds a SPARModule, not one of iql"),
        (("CHECKPOINT", "--data.datset", HOPPER), "did you mean --data.dataset"),
    ],
)
def test_what_is_refused(
    finished_run: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    chosen = [str(last(finished_run)) if argument == "CHECKPOINT" else argument for argument in arguments]
    assert message in refused(capsys, "ope", *chosen)


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("reward_scale", [1, 2], "settings of the data that make no sense"),
        ("environment", "os:Plant-v0", "name it again with --data.environment"),
        ("dataset", "http://127.0.0.1:9/logs.npz", "name it again with --data.dataset"),
        ("module", "Foreign", "the own algorithm Foreign"),
        ("dataset", None, "`datamodule_hyper_parameters.dataset`"),
    ],
)
def test_a_checkpoint_from_elsewhere_is_not_trusted(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], entry: str, value: object, message: str
) -> None:
    checkpoint = read_checkpoint(last(finished_run))
    (checkpoint if entry == "module" else checkpoint["datamodule_hyper_parameters"])[entry] = value
    torch.save(checkpoint, tmp_path / "other.ckpt")
    assert message in refused(capsys, "ope", str(tmp_path / "other.ckpt"))


def test_a_training_without_a_simulator_ends_with_the_command_that_judges_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(0)
    rows = {"observations": random.normal(size=(800, 3)), "actions": random.uniform(-1, 1, size=(800, 2))}
    write_arrays(tmp_path / "logs.npz", **rows, rewards=random.normal(size=800), truncations=np.arange(800) % 40 == 39)
    fit(tmp_path / "run", dataset=str(tmp_path / "logs.npz"))
    printed = capsys.readouterr().out
    assert "evaluate  " not in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("  decide ")]
    program, *arguments = shlex.split(line.partition("-m ")[2])
    assert program == "spar_lightning"
    main([*arguments, *FEW])
    assert "the policy over the base: " in capsys.readouterr().out
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ope, "evaluate_offline", lambda *_: pytest.fail("expected the simulator to be looked for first"))
        assert "which environment it comes from" in refused(capsys, *arguments, *FEW, "--rollouts", "1")
    write_arrays(tmp_path / "other.npz", **rows, rewards=random.normal(size=800), truncations=np.arange(800) % 40 == 39)
    main([*arguments, *FEW, "--data.dataset", str(tmp_path / "other.npz")])
    assert "other.npz, SPARModule after 40 updates" in capsys.readouterr().out


def test_another_file_is_read_in_its_own_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random, ends = np.random.default_rng(0), np.arange(800) % 40 == 39
    rows = {"observations": random.normal(size=(800, 3)), "actions": random.uniform(-1, 1, size=(800, 2))}
    write_arrays(tmp_path / "logs.npz", **rows, truncations=ends)
    own = ["--data.success_reward", "all", "--callbacks.offline_check.fqe_updates", "4"]
    checkpoint = str(last(fit(tmp_path / "run", *own, dataset=str(tmp_path / "logs.npz"))))
    for again in ([], ["--data.dataset", "logs.npz"]):
        main(["ope", checkpoint, *FEW, *again])
    write_arrays(tmp_path / "other.npz", **rows, rewards=random.normal(size=800), truncations=ends)
    main(["ope", checkpoint, *FEW, "--data.dataset", str(tmp_path / "other.npz")])
    assert "other.npz, SPARModule after 40 updates" in capsys.readouterr().out
    contents = read_checkpoint(Path(checkpoint))
    contents["datamodule_hyper_parameters"] |= {"success_reward": None, "mask": "train", "dones": "end", "task": "a-v0"}
    torch.save(contents, tmp_path / "robomimic.ckpt")
    main(["ope", str(tmp_path / "robomimic.ckpt"), *FEW, "--data.dataset", str(tmp_path / "other.npz")])
    named = ["--data.dataset", str(tmp_path / "other.npz"), "--data.success_reward", "all"]
    assert "There are `rewards`, and `success_reward` is all" in refused(capsys, "ope", checkpoint, *FEW, *named)


def test_rollouts_have_an_end(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "expected 0 to 10,000" in refused(capsys, "ope", str(last(finished_run)), "--rollouts", "100000")
