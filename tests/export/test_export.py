"""Exported files do what the policy does, in every format and for every algorithm."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from huggingface_hub import ModelCard

from spar_lightning.export import FORMATS, export_policy
from spar_lightning.export.formats import METADATA_KEY
from spar_lightning.export.numpy_policy import Policy
from spar_lightning.training import (
    AlgorithmModule,
    BCModule,
    IQLModule,
    ReBRACModule,
    SPARModule,
    TD3BCModule,
)
from spar_lightning.types import CheckpointError, DatasetStatistics, UserError

SIZES = {"observation_dim": 5, "action_dim": 2, "hidden_dims": [16, 16]}
SMALL = {"hidden_dims": [16, 16], "critic_hidden_dims": [8]}
KINDS = list(FORMATS)


MODULES: dict[str, Callable[[], AlgorithmModule]] = {
    "bc": lambda: BCModule(**SIZES),
    "constant deviation": lambda: BCModule(**SIZES, deviation="constant"),
    "td3_bc": lambda: TD3BCModule(**SIZES),
    "iql": lambda: IQLModule(**SIZES),
    "rebrac": lambda: ReBRACModule(**SIZES),
    "spar": lambda: SPARModule(base=BCModule(**SIZES), **SMALL),
    "no base": lambda: SPARModule(base=BCModule(**SIZES), **SMALL, manifold="gaussian", residual=False),
}


def _trained(module: AlgorithmModule) -> AlgorithmModule:
    """Units far from the standard ones, and weights that make use of the whole range of actions."""
    generator = torch.Generator().manual_seed(1)
    mean, std = torch.randn(5, generator=generator) * 10, torch.rand(5, generator=generator) + 0.1
    units = DatasetStatistics(mean, std, torch.tensor([-2.0, 0.5]), torch.tensor([3.0, 0.75]))
    module.algorithm.normalizer.fit(units)
    for weights in module.parameters():
        weights.data.mul_(1.5)
    if isinstance(module, SPARModule):
        module.policy.average_actor.mlp.head.weight.data.mul_(100)  # it starts near zero
    return module.eval()


def _save(module: AlgorithmModule, path: Path, **more: object) -> Path:
    contents = {
        "hyper_parameters": dict(module.hparams),
        "state_dict": module.state_dict(),
        "module": type(module).__name__,
        "global_step": 40,
        **more,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(contents, path)
    return path


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    data = {"dataset": "/home/me/logs.npz", "environment": "Hopper-v5"}
    module = _trained(BCModule(**SIZES))
    return _save(module, tmp_path / "run" / "checkpoints" / "last.ckpt", datamodule_hyper_parameters=data)


def _inputs(module: AlgorithmModule, count: int, far: float = 1.0) -> np.ndarray:
    normalizer = module.algorithm.normalizer
    noise = np.random.default_rng(count).standard_normal((count, 5))
    scaled = normalizer.observation_mean.numpy() + normalizer.observation_std.numpy() * far * noise
    return scaled.astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODULES)
def test_a_file_does_what_the_policy_does(tmp_path: Path, name: str, kind: str) -> None:
    module = _trained(MODULES[name]())
    path = _save(module, tmp_path / "last.ckpt")
    file = export_policy(path, kind, tmp_path / "out").files[0]
    act = FORMATS[kind].run(file)
    for count in (1, 2, 300):  # any number at once
        for far in (1.0, 5.0, 1e6, 1e20):  # like the data, at their edge, and where every network is saturated
            observations = _inputs(module, count, far)
            actions = act(observations)
            assert actions.shape == (count, 2)
            assert actions.dtype == np.float32
            np.testing.assert_allclose(actions, module.act(observations), rtol=0, atol=1e-5)
            assert (actions >= [-2, 0.5]).all()
            assert (actions <= [3, 0.75]).all()
    spread = np.ptp(act(_inputs(module, 300)), axis=0)
    assert (spread > [0.5, 0.02]).all(), "the inputs must make a difference, or this test sees nothing"


@pytest.mark.parametrize("kind", KINDS)
def test_between_the_data_and_saturation_a_file_is_near(tmp_path: Path, kind: str) -> None:
    """Of networks as wide as by default: sums of large numbers, in another order, differ in more digits there."""
    module = _trained(SPARModule(base=BCModule(observation_dim=5, action_dim=2)))
    act = FORMATS[kind].run(export_policy(_save(module, tmp_path / "last.ckpt"), kind, tmp_path / "out").files[0])
    for far in (10.0, 100.0, 1e3, 1e4):
        observations = _inputs(module, 300, far)
        np.testing.assert_allclose(act(observations), module.act(observations), rtol=0, atol=1e-3)


def test_only_what_acts_is_in_a_file(tmp_path: Path) -> None:
    module = _trained(SPARModule(base=BCModule(**SIZES), **SMALL))
    file = export_policy(_save(module, tmp_path / "last.ckpt"), "npz", tmp_path / "out").files[0]
    names = np.load(file).files
    assert any("average_actor" in name for name in names)
    assert not any("critic" in name or "encoder" in name for name in names)
    program = torch.export.load(export_policy(tmp_path / "last.ckpt", "pt2", tmp_path / "out").files[0])
    assert not any("critic" in name or "encoder" in name for name in program.state_dict)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_says_what_it_is(checkpoint: Path, kind: str) -> None:
    file = export_policy(checkpoint, kind).files[0]
    assert file == checkpoint.parent.parent / "export" / f"policy.{kind}"
    if kind == "onnx":
        shapes = [value.type.tensor_type.shape.dim[0].dim_param for value in onnx.load(file).graph.input]
        assert shapes == ["batch"]
        stated = {entry.key: entry.value for entry in onnx.load(file).metadata_props}[METADATA_KEY]
    elif kind == "pt2":
        extra = {"metadata.json": ""}
        torch.export.load(file, extra_files=extra)
        stated = extra["metadata.json"]
    else:
        stated = json.dumps(Policy(file).metadata)
    metadata = json.loads(stated)
    assert (metadata["algorithm"], metadata["dataset"], metadata["environment"]) == ("BC", "logs.npz", "Hopper-v5")
    assert metadata["actions"] == {"size": 2, "low": [-2.0, 0.5], "high": [3.0, 0.75]}
    assert metadata["observations"]["size"] == 5
    assert metadata["updates"] == 40


def test_the_runner_needs_numpy_alone(checkpoint: Path, tmp_path: Path) -> None:
    exported = export_policy(checkpoint, "npz", tmp_path / "out")
    module = _trained(BCModule(**SIZES))
    module.load_state_dict(torch.load(checkpoint, weights_only=True)["state_dict"])
    observations = _inputs(module, 3)
    np.save(tmp_path / "observations.npy", observations)
    script = (
        "import sys, numpy as np; before = set(sys.modules)\n"
        "from numpy_policy import Policy; policy = Policy('policy.npz')\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "assert new <= {'numpy_policy', 'numpy', *sys.stdlib_module_names}, new\n"
        f"found = policy.act(np.load({str(tmp_path / 'observations.npy')!r})); np.save('actions.npy', found)\n"
        "assert (policy.act(np.zeros(5)) == policy.act(np.zeros((1, 5)))[0]).all()\n"
    )
    folder = exported.files[0].parent
    subprocess.run([sys.executable, "-c", script], cwd=folder, check=True, env={"PYTHONPATH": ""}, timeout=60)
    np.testing.assert_allclose(np.load(folder / "actions.npy"), module.act(observations), atol=1e-5)
    with pytest.raises(ValueError, match=r"has shape \(4,\), expected \(\*, 5\)"):
        Policy(exported.files[0]).act(np.zeros(4))


def test_the_card_is_one_that_the_hub_reads(checkpoint: Path) -> None:
    results = {
        "updates": 40,
        "return": 812.5,
        "return_std": 3.25,
        "score": 25.0,
        "episodes": 20,
        "base": {"return": 600.0},
    }
    (checkpoint.parent.parent / "results.json").write_text(json.dumps(results))
    exported = export_policy(checkpoint, "npz")
    card = ModelCard.load(exported.files[-1])
    assert card.data.library_name == "spar_lightning"
    assert "Hopper-v5" in card.data.tags
    (result,) = card.data.eval_results
    assert (result.dataset_type, result.metric_value) == ("Hopper-v5", "812.50 +/- 3.25")
    assert "/home/me" not in card.content
    assert f"{exported.trial.latency_ms:.3g} ms" in card.content
    assert "| base | - | 600.0 |" in card.content


def test_without_a_simulator_the_card_says_what_the_data_say(tmp_path: Path) -> None:
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    _save(_trained(BCModule(**SIZES)), path, datamodule_hyper_parameters={"dataset": "logs.npz"})
    check = {"updates": 40, "offline_check": {"verdict": "clearly better", "reason": "the interval excludes 0"}}
    (tmp_path / "run" / "results.json").write_text(json.dumps(check))
    export_policy(path, "npz")
    card = (tmp_path / "run" / "export" / "README.md").read_text()
    assert "not tried in a simulator. What the data alone say of it, beside its base: clearly better (the int" in card
    assert "as the data have them, in the data's units" in card
    assert "| mean of the training data | [" in card


def test_scores_are_not_those_of_a_later_checkpoint(checkpoint: Path) -> None:
    (checkpoint.parent.parent / "results.json").write_text(json.dumps({"updates": 80, "return": 1.0, "episodes": 1}))
    assert export_policy(checkpoint, "npz").metadata["scores"] is None


def test_somebody_elses_readme_stays(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Mine")
    with pytest.raises(UserError, match="no model card of this project"):
        export_policy(checkpoint, "npz", tmp_path)
    assert (tmp_path / "README.md").read_text() == "# Mine"
    assert not (tmp_path / "policy.npz").exists()


def test_a_file_that_does_something_else_does_not_take_the_place_of_a_good_one(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = export_policy(checkpoint, "npz").files[0].read_bytes()
    monkeypatch.setitem(FORMATS, "npz", FORMATS["npz"]._replace(run=lambda path: lambda o: Policy(path).act(o + 0.01)))
    with pytest.raises(UserError, match=r"differs by .* from the policy, expected at most 1e-05"):
        export_policy(checkpoint, "npz")
    assert (checkpoint.parent.parent / "export" / "policy.npz").read_bytes() == good


def test_an_untrained_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no normalization statistics"):
        export_policy(_save(BCModule(**SIZES), tmp_path / "last.ckpt"), "npz")


def test_a_missing_package_is_named(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"needs onnx, onnxscript, onnxruntime: `pip install 'spar-lightning\[export\]'`"
    ):
        export_policy(checkpoint, "onnx")


@pytest.mark.parametrize("name", MODULES)
def test_forward_works_with_pytorchs_and_lightnings_own_exports(name: str) -> None:
    module = _trained(MODULES[name]())
    observations = torch.from_numpy(_inputs(module, 4))
    expected = module.act(observations)
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(module, (observations,), dynamic_shapes={"observations": batch})
    torch.testing.assert_close(program.module()(observations), expected, rtol=0, atol=1e-5)
    traced = module.to_torchscript(method="trace", example_inputs=observations)
    torch.testing.assert_close(traced(observations), expected, rtol=0, atol=1e-5)


def test_lightnings_to_onnx(tmp_path: Path) -> None:
    import onnxruntime

    module = _trained(BCModule(**SIZES))
    observations = _inputs(module, 4)
    module.to_onnx(tmp_path / "policy.onnx", torch.from_numpy(observations), dynamo=True)
    session = onnxruntime.InferenceSession(tmp_path / "policy.onnx")
    (actions,) = session.run(None, {session.get_inputs()[0].name: observations})
    np.testing.assert_allclose(actions, module.act(observations), rtol=0, atol=1e-5)


@pytest.mark.parametrize("spec", ["nonsense", "[1]", "{}"])
def test_an_environment_that_cannot_be_read_is_told(checkpoint: Path, tmp_path: Path, spec: str) -> None:
    simulator = {"spec": spec, "observation_keys": None, "observation_dim": 5, "action_dim": 2, "module": ""}
    contents = torch.load(checkpoint, weights_only=True) | {"simulator": simulator}
    torch.save(contents, tmp_path / "odd.ckpt")
    with pytest.raises(CheckpointError, match=r"odd\.ckpt is no sound checkpoint: `simulator.spec` cannot be read"):
        export_policy(tmp_path / "odd.ckpt", "npz", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("data", "order"),
    [
        ({"columns": {"observations": ["v", "joint_*"]}}, "as the data's columns v and joint_*"),
        ({"columns": {"observations": "obs*"}}, "as the data's columns obs*"),
        ({"columns": {"observations": ["v", "w"]}}, ["v", "w"]),
        ({"columns": {"actions": "u"}, "observation_keys": ["b", "a"]}, ["b", "a"]),
        ({"environment": "Hopper-v5"}, "as the environment gives them"),
    ],
)
def test_a_checkpoint_of_an_earlier_version_says_of_the_order_what_it_knows(
    tmp_path: Path, data: dict[str, object], order: object
) -> None:
    path = _save(_trained(BCModule(**SIZES)), tmp_path / "last.ckpt", datamodule_hyper_parameters=data)
    exported = export_policy(path, "npz", tmp_path / "out")
    assert exported.metadata["observations"]["order"] == order
