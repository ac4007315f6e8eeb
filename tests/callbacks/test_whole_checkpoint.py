"""Nothing that a run has written is lost when it cannot write on."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from toy_training import ToyModule, train

from spar_lightning.callbacks import ResumableCheckpoint, RolloutEvaluation
from spar_lightning.callbacks.checkpoints.whole_checkpoint import WholeCheckpointIO


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_checkpoint_on_a_full_disk_costs_nothing_that_is_there(tmp_path: Path) -> None:
    checkpoint = {"state": torch.zeros(10_000)}
    WholeCheckpointIO().save_checkpoint(checkpoint, tmp_path / "last.ckpt")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # in the middle of the file, as a disk that is full
    try:
        with pytest.raises(OSError, match="File too large") as info:
            WholeCheckpointIO().save_checkpoint({"state": torch.ones(10_000)}, tmp_path / "last.ckpt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert info.value.errno == errno.EFBIG
    assert info.value.filename == str(tmp_path / "last.ckpt")
    assert torch.equal(torch.load(tmp_path / "last.ckpt", weights_only=True)["state"], checkpoint["state"])
    assert names(tmp_path) == ["last.ckpt"]


def test_no_checkpoint_is_written_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))  # a temporary file could not be made
    moves: list[str] = []
    monkeypatch.setattr(shutil, "move", lambda *paths: moves.append(str(paths)))
    train(tmp_path, ToyModule(), [ResumableCheckpoint(), RolloutEvaluation(1, 1)])
    assert names(tmp_path / "checkpoints") == ["best.ckpt", "last.ckpt"]
    assert moves == []


def test_another_way_to_write_checkpoints_is_left_alone(tmp_path: Path) -> None:
    class Own(TorchCheckpointIO):
        pass

    trainer = train(tmp_path, ToyModule(), [ResumableCheckpoint()], plugins=[Own()])
    assert type(trainer.strategy.checkpoint_io) is Own
    assert isinstance(train(tmp_path, ToyModule(), [ResumableCheckpoint()]), pl.Trainer)


@pytest.mark.slow
def test_a_kill_while_a_checkpoint_is_written_leaves_one_that_loads(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    code = (
        "import torch; from spar_lightning.callbacks.checkpoints.whole_checkpoint import WholeCheckpointIO\n"
        "for number in range(1, 10**6):\n"
        f"    WholeCheckpointIO().save_checkpoint({{'state': torch.full((300_000,), number)}}, {str(path)!r})"
    )
    for attempt in range(4):
        process = subprocess.Popen([sys.executable, "-c", code])
        path.unlink(missing_ok=True)
        while not path.exists():
            time.sleep(0.01)
        time.sleep(0.1 + 0.013 * attempt)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        state = torch.load(path, weights_only=True)["state"]
        assert len(state.unique()) == 1
        assert len(names(tmp_path)) <= 2, "what the kill before has left is gone"
    WholeCheckpointIO().save_checkpoint({}, path)
    assert names(tmp_path) == ["last.ckpt"], "what a kill has left is not in the way of the next"
