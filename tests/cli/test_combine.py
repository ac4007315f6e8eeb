"""`combine`: one checkpoint that acts by the mean of several."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import HOPPER, TINY, WALKER, fit, last, one_stage, options, read_checkpoint, refused

from spar_lightning import BCModule, SPARModule
from spar_lightning.algorithms import SPAR, MeanPolicy
from spar_lightning.cli import main
from spar_lightning.training import MeanModule, load_trained
from spar_lightning.types import UserError

FEW = options(episodes=2, seed=10_000)


@pytest.fixture(scope="module")
def second_run(tmp_path_factory: pytest.TempPathFactory, finished_run: Path) -> Path:
    """A run on the same task, of another method."""
    folder = tmp_path_factory.mktemp("second") / "run"
    short = options(model__hidden_dims=[16], trainer__max_steps=10, trainer__val_check_interval=10)
    main(["fit", "--algorithm", "bc", "--run_dir", str(folder), "--data.dataset", HOPPER, *one_stage(TINY), *short])
    return folder


@pytest.fixture
def combined(tmp_path: Path, finished_run: Path, second_run: Path) -> Path:
    main(["combine", str(finished_run), str(last(second_run)), "--out", str(tmp_path / "made" / "mean.ckpt")])
    return tmp_path / "made" / "mean.ckpt"


def test_its_actions_are_the_mean_of_its_members(combined: Path, finished_run: Path, second_run: Path) -> None:
    observations = np.random.default_rng(0).normal(size=(5, 11)).astype(np.float32)
    of_members = [
        SPARModule.load_from_checkpoint(last(finished_run), weights_only=True).act(observations),
        BCModule.load_from_checkpoint(last(second_run), weights_only=True).act(observations),
    ]
    module = MeanModule.load_from_checkpoint(combined, weights_only=True)
    np.testing.assert_allclose(module.act(observations), np.mean(of_members, axis=0), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(module.act(observations[0]), np.mean(of_members, axis=0)[0], rtol=1e-5, atol=1e-6)
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_what_its_members_are_all_compared_with_it_is_too(tmp_path: Path, finished_run: Path) -> None:
    shutil.copy(last(finished_run), tmp_path / "other.ckpt")
    main(["combine", str(finished_run), str(tmp_path / "other.ckpt"), "--out", str(tmp_path / "mean.ckpt")])
    observations = torch.randn(4, 11)
    mean, one = load_trained(tmp_path / "mean.ckpt"), load_trained(last(finished_run))
    assert mean.reference_policies().keys() == one.reference_policies().keys() == {"base", "fitted"}
    for name, policy in mean.reference_policies().items():
        torch.testing.assert_close(policy.act(observations), one.reference_policies()[name].act(observations))


def test_it_is_evaluated_and_exported_as_any_other(
    combined: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, finished_run: Path
) -> None:
    capsys.readouterr()
    main(["evaluate", str(combined), *FEW, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["module"], found["updates"], list(found["returns"])) == ("MeanModule", 40, ["policy"])
    (tmp_path / "results.json").write_text((finished_run / "results.json").read_text())  # of another policy
    for kind in ("npz", "onnx"):
        main(["export", str(combined), "--format", kind])
    assert "at the end of the training" not in (tmp_path / "made" / "export" / "README.md").read_text()


def test_the_data_alone_are_asked_of_it(combined: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["ope", str(combined), "--updates", "10", "--splits", "2"])
    assert "MeanModule after 40 updates" in capsys.readouterr().out


def test_what_has_no_mean(
    combined: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, finished_run: Path
) -> None:
    one, out = str(last(finished_run)), str(tmp_path / "out.ckpt")
    assert "`checkpoints` are 1, expected two or more" in refused(capsys, "combine", one, "--out", out)
    assert "a mean is not taken of means" in refused(capsys, "combine", one, str(combined), "--out", out)
    assert "one of the checkpoints, expected another file" in refused(capsys, "combine", one, one, "--out", one)
    assert "there is no checkpoint" in refused(capsys, "combine", one, str(tmp_path / "no.ckpt"), "--out", out)
    walker = fit(tmp_path / "walker", "--trainer.max_steps", "20", "--model.warmup_steps", "10", dataset=WALKER)
    assert "is evaluated in another environment" in refused(capsys, "combine", one, str(walker), "--out", out)
    contents = read_checkpoint(last(walker))
    del contents["simulator"]
    torch.save(contents, tmp_path / "unnamed.ckpt")
    said = refused(capsys, "combine", one, str(tmp_path / "unnamed.ckpt"), "--out", out)
    assert "has 17 observations and 6 actions, another 11 and 3, expected the same" in said
    torch.save(contents | {"module": "my_package.Mine"}, tmp_path / "own.ckpt")
    assert "another's class is not imported" in refused(
        capsys, "combine", one, str(tmp_path / "own.ckpt"), "--out", out
    )
    assert not Path(out).exists()


@pytest.mark.parametrize("out", ["logs.npz", "", "."])
def test_it_replaces_nothing_but_another_mean(
    finished_run: Path, second_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    (tmp_path / "logs.npz").write_bytes(b"precious")
    said = refused(capsys, "combine", str(finished_run), str(second_run), "--out", str(tmp_path / out) if out else "")
    assert ("would be replaced: name another file" if out == "logs.npz" else "expected the name of a file") in said
    assert (tmp_path / "logs.npz").read_bytes() == b"precious"
    for _ in range(2):
        main(["combine", str(finished_run), str(second_run), "--out", str(tmp_path / "mean.ckpt")])


def test_it_is_not_trained(combined: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = refused(capsys, "fit", "--bc.ckpt_path", str(combined), "--data.dataset", HOPPER, *TINY)
    assert "holds a MeanModule, expected a BCModule" in said
    with pytest.raises(UserError, match="is not trained: train its members"):
        load_trained(combined).algorithm.optimizers(10)
    with pytest.raises(UserError, match="`members` is empty"):
        MeanPolicy([])


@pytest.mark.parametrize("members", [5, [5], [{}], [{"module": "MeanModule", "settings": {"members": []}}], []])
def test_damaged_members_are_refused(
    combined: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, members: object
) -> None:
    contents = read_checkpoint(combined)
    contents["hyper_parameters"]["members"] = members
    torch.save(contents, tmp_path / "damaged.ckpt")
    assert "does not hold a MeanModule" in refused(capsys, "evaluate", str(tmp_path / "damaged.ckpt"))


def test_who_asks_for_its_units_gets_those_of_the_first_member(combined: Path) -> None:
    algorithm = load_trained(combined).algorithm
    assert isinstance(algorithm, MeanPolicy)
    spar = algorithm.members[0]
    assert isinstance(spar, SPAR)
    assert algorithm.normalizer is spar.normalizer
