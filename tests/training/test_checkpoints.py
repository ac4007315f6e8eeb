from __future__ import annotations

import os
import pickle
import random
import string
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_runs import HIDDEN, fit
from torch import nn

from spar_lightning.replay import OfflineDataModule
from spar_lightning.training import BCModule, SPARModule
from spar_lightning.training.checkpoints import FORMAT, check_resumable, is_there, load_module, read_checkpoint
from spar_lightning.types import CheckpointError

MakeSPAR = Callable[..., SPARModule]

STORED = Path(__file__).parent / "checkpoints"
"""Of earlier versions: bases that were trained for some updates on Hopper."""


@pytest.fixture
def path(make_spar: MakeSPAR, datamodule: OfflineDataModule, tmp_path: Path) -> Path:
    """A checkpoint of a SPAR module."""
    trainer = fit(make_spar(), datamodule, max_steps=1)
    trainer.save_checkpoint(tmp_path / "spar.ckpt")
    return tmp_path / "spar.ckpt"


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"there is no checkpoint .*nothing\.ckpt: give the path of a \.ckpt file"
    ):
        read_checkpoint(tmp_path / "nothing.ckpt")


def test_what_is_no_file_or_cannot_be_opened(tmp_path: Path) -> None:
    loop, pipe = tmp_path / "loop.ckpt", tmp_path / "pipe.ckpt"
    loop.symlink_to(loop)
    os.mkfifo(pipe)
    with pytest.raises(CheckpointError, match=f"{tmp_path} is a folder, expected a .ckpt file .*: name one, or move"):
        read_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match=r"pipe\.ckpt is no file, expected"):
        read_checkpoint(pipe)
    with pytest.raises(
        CheckpointError, match=r"cannot be read \(Too many levels .*this user may read: see to its rights"
    ):
        read_checkpoint(loop)
    assert [is_there(path) for path in (loop, pipe, tmp_path, tmp_path / "none", pipe / "below")] == [True] * 3 + [
        False
    ] * 2


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04broken", b"\x80\x02garbage"])
def test_a_file_of_something_else(tmp_path: Path, content: bytes) -> None:
    broken = tmp_path / "broken.ckpt"
    broken.write_bytes(content)
    with pytest.raises(
        CheckpointError, match=r"cannot be read as a checkpoint .*expected a file of weights and plain values"
    ):
        read_checkpoint(broken)


def _anything(choice: random.Random) -> bytes:
    """A file that is no checkpoint: noise, a text, YAML, or a damaged pickle."""
    length = choice.randrange(1, 200)
    letters = "".join(choice.choices(string.printable, k=length))
    damaged = bytearray(pickle.dumps({"hyper_parameters": {"a": [1, 2.5, None]}, "state_dict": (3, "b")}, protocol=2))
    for _ in range(choice.randrange(1, 5)):
        damaged[choice.randrange(len(damaged))] = choice.randrange(256)
    yaml = "".join(f"{word}: {choice.randrange(9)}\n" for word in letters.split() or ["a"])
    return choice.choice([choice.randbytes(length), letters.encode(), yaml.encode(), bytes(damaged)])


@pytest.mark.filterwarnings("ignore")
def test_no_file_of_something_else_gets_through(tmp_path: Path) -> None:
    for seed in range(500):
        path = tmp_path / f"{seed}.ckpt"
        path.write_bytes(_anything(random.Random(seed)))
        with pytest.raises(CheckpointError, match=str(path)):
            read_checkpoint(path)


def test_a_truncated_checkpoint(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(CheckpointError, match="is it whole, and written by this project"):
        read_checkpoint(path)


def test_a_flipped_bit_of_a_weight(path: Path) -> None:
    weight = next(value for value in read_checkpoint(path)["state_dict"].values() if value.numel() > 4)
    content = bytearray(path.read_bytes())
    content[content.index(weight.numpy().tobytes()) + 1] ^= 4
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"is damaged: its part \S+ does not have its checksum, expected"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "odd", [torch.ones(2).to_sparse(), torch.quantize_per_tensor(torch.ones(2), 1, 0, torch.qint8)]
)
def test_a_weight_without_plain_numbers(tmp_path: Path, odd: torch.Tensor) -> None:
    torch.save({"hyper_parameters": {}, "state_dict": {"weight": odd}}, tmp_path / "odd.ckpt")
    with pytest.raises(CheckpointError, match=r"`state_dict\.weight` is a torch\..*, expected plain numbers"):
        read_checkpoint(tmp_path / "odd.ckpt")


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"hyper_parameters": {}, "state_dict": {}, "code": nn.Linear(1, 1)}, tmp_path / "code.ckpt")
    with pytest.raises(
        CheckpointError, match=r"cannot be read as a checkpoint .*expected a file of weights and plain values"
    ):
        read_checkpoint(tmp_path / "code.ckpt")


@pytest.mark.parametrize("content", [{"state_dict": {}}, {"hyper_parameters": {}}, [1, 2], torch.zeros(2)], ids=type)
def test_weights_without_hyper_parameters(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "weights.ckpt")
    with pytest.raises(CheckpointError, match="holds no `hyper_parameters` and `state_dict`"):
        read_checkpoint(tmp_path / "weights.ckpt")


def test_a_checkpoint_holds_primitives_and_tensors_only(path: Path) -> None:
    checkpoint = read_checkpoint(path)
    assert checkpoint["hyper_parameters"]["base"] == {
        "observation_dim": 11,
        "action_dim": 3,
        "hidden_dims": list(HIDDEN),
        "learning_rate": 3e-4,
        "decay": True,
        "deviation": "state",
    }


def test_a_checkpoint_of_another_class(path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds a SPARModule, expected a BCModule: name a checkpoint of one"):
        load_module(BCModule, path)


def test_weights_of_other_networks_are_refused_before_those_take_memory(path: Path) -> None:
    checkpoint = read_checkpoint(path)
    checkpoint["hyper_parameters"]["critic_hidden_dims"] = [2**20, 2**20]
    torch.save(checkpoint, path)
    with pytest.raises(
        CheckpointError,
        match=r"is not of one piece: weight \S+ has shape .*, expected \(.*1048576.*\) as its hyper-parameters",
    ):
        load_module(SPARModule, path)


@pytest.mark.parametrize("change", ["missing", "too many"])
def test_a_weight_that_is_missing_or_too_many(path: Path, change: str) -> None:
    checkpoint = read_checkpoint(path)
    weights = checkpoint["state_dict"]
    name, value = next(iter(weights.items()))
    if change == "missing":
        del weights[name]
    else:
        weights["another"] = value
    torch.save(checkpoint, path)
    with pytest.raises(CheckpointError, match=r"weight \S+ is missing, expected|weight another, .*, is one that"):
        load_module(SPARModule, path)


def test_a_look_at_shapes_takes_no_random_numbers(path: Path) -> None:
    settings = read_checkpoint(path)["hyper_parameters"]
    torch.manual_seed(3)
    SPARModule(**settings)
    expected = torch.rand(2)
    torch.manual_seed(3)
    load_module(SPARModule, path)
    torch.testing.assert_close(torch.rand(2), expected, rtol=0, atol=0)


def test_a_loaded_module_is_ready_to_act(path: Path) -> None:
    module = load_module(SPARModule, path)
    assert not module.training
    assert module.base.normalizer.is_fitted
    assert all(not parameter.requires_grad for parameter in module.base.parameters())


def test_resuming_with_other_settings_names_them(
    make_spar: MakeSPAR, datamodule: OfflineDataModule, path: Path
) -> None:
    assert check_resumable(make_spar(), datamodule, path) == {}
    assert check_resumable(make_spar(kappa=1.0, sigma=0.25), datamodule, path) == {
        "kappa": (1.4, 1.0),
        "sigma": (0.5, 0.25),
    }


def test_a_setting_that_is_a_tensor_differs(
    make_spar: MakeSPAR, datamodule: OfflineDataModule, path: Path, tmp_path: Path
) -> None:
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["hyper_parameters"]["kappa"] = torch.zeros(3)
    torch.save(checkpoint, tmp_path / "odd.ckpt")
    assert [*check_resumable(make_spar(), datamodule, tmp_path / "odd.ckpt")] == ["kappa"]


def test_resuming_with_other_shapes_is_refused(make_spar: MakeSPAR, datamodule: OfflineDataModule, path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"does not fit this model: weight .*num_critics: 2 in the checkpoint, 3 here"
    ):
        check_resumable(make_spar(num_critics=3), datamodule, path)
    with pytest.raises(CheckpointError, match="critic_target: 'returns' in the checkpoint, 'policy' here"):
        check_resumable(make_spar(critic_target="policy"), datamodule, path)


def test_resuming_on_other_data_is_refused(make_spar: MakeSPAR, path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"was trained on .*, not on spar/hopper/expert-v0: resume it with"):
        check_resumable(make_spar(), OfflineDataModule("spar/hopper/expert-v0"), path)


def test_another_batch_size_is_named(make_spar: MakeSPAR, datamodule: OfflineDataModule, path: Path) -> None:
    other = OfflineDataModule(**{**datamodule.hparams, "batch_size": 7})
    assert check_resumable(make_spar(), other, path) == {"batch_size": (datamodule.batch_size, 7)}


def test_a_checkpoint_says_its_format(path: Path) -> None:
    assert read_checkpoint(path)["format_version"] == FORMAT


def test_a_checkpoint_of_the_version_before_is_read_and_gone_on_from() -> None:
    module = load_module(BCModule, STORED / "format_1.ckpt")
    assert module.act(torch.zeros(11)).shape == (3,)
    dataset = read_checkpoint(STORED / "format_1.ckpt")["datamodule_hyper_parameters"]["dataset"]
    assert check_resumable(module, OfflineDataModule(dataset), STORED / "format_1.ckpt") == {}


def test_a_checkpoint_of_the_first_format_says_what_to_do() -> None:
    with pytest.raises(CheckpointError, match=r"has the format 0, expected 1 to .*with the version that wrote it, or"):
        load_module(BCModule, STORED / "format_0.ckpt")


def test_a_checkpoint_of_a_later_version_says_what_to_do(path: Path) -> None:
    checkpoint = read_checkpoint(path)
    torch.save(checkpoint | {"format_version": FORMAT + 1}, path)
    with pytest.raises(CheckpointError, match=r"has the format 3, expected at most 2: a later version"):
        read_checkpoint(path)
