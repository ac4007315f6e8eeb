# ruff: noqa: NPY002 - the global generator is what is restored
import random
import re
from itertools import pairwise

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from toy_training import ToyData, ToyModule, ToyResidualModule, train

from spar_lightning.callbacks import ResumableCheckpoint, RolloutEvaluation
from spar_lightning.callbacks.checkpoints.random_state import collect_random_state, restore_random_state
from spar_lightning.callbacks.checkpoints.whole_checkpoint import WholeCheckpointIO
from spar_lightning.types import CheckpointError, UserError


def draw():
    return float(torch.rand(1)), float(np.random.rand()), float(np.random.randn()), random.random(), random.gauss(0, 1)


def test_random_state_survives_a_weights_only_file(tmp_path):
    draw()
    torch.save(collect_random_state(), tmp_path / "state")
    expected = draw()
    restore_random_state(torch.load(tmp_path / "state", weights_only=True))
    assert draw() == expected


@pytest.mark.parametrize("validate_every", [5, 4, 1000], ids=["validation-last", "validation-before", "no-validation"])
@pytest.mark.parametrize("evaluation", [True, False])
def test_a_resumed_run_draws_what_an_uninterrupted_one_draws(tmp_path, validate_every, evaluation):
    def run(folder, max_steps, ckpt_path=None, seed=0):
        pl.seed_everything(seed, verbose=False)
        module = ToyResidualModule()
        callbacks = [ResumableCheckpoint()] + ([RolloutEvaluation(1, 1)] if evaluation else [])
        train(tmp_path / folder, module, callbacks, max_steps, validate_every, ckpt_path, num_sanity_val_steps=1)
        return module

    whole = run("whole", 20)
    run("parts", 10)
    last = tmp_path / "parts/checkpoints/last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 10
    rest = run("parts", 20, last, seed=1)
    assert rest.trace == whole.trace[10:]
    assert torch.equal(rest.action, whole.action)


def test_best_and_last_are_what_their_names_say(tmp_path):
    module = ToyModule()
    module.act = lambda observations: np.full((len(observations), 1), 0.3 if module.global_step == 10 else 0.1)
    checkpoint = ResumableCheckpoint()
    train(tmp_path, module, [checkpoint, RolloutEvaluation(1, 1)], max_steps=22)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    best = torch.load(checkpoint.best_model_path, weights_only=True)
    last = torch.load(checkpoint.last_model_path, weights_only=True)
    assert (best["global_step"], last["global_step"]) == (10, 22)


def test_a_run_that_was_moved_knows_what_was_best(tmp_path):
    module = ToyModule()
    module.act = lambda observations: np.full((len(observations), 1), 0.3 if module.global_step == 10 else 0.1)
    train(tmp_path / "before", module, [ResumableCheckpoint(), RolloutEvaluation(1, 1)], max_steps=15)
    moved = (tmp_path / "before").rename(tmp_path / "after")
    last = moved / "checkpoints/last.ckpt"
    train(moved, module, [ResumableCheckpoint(), RolloutEvaluation(1, 1)], max_steps=22, ckpt_path=last)
    assert torch.load(last, weights_only=True)["global_step"] == 22
    assert torch.load(moved / "checkpoints/best.ckpt", weights_only=True)["global_step"] == 10


@pytest.mark.parametrize(("reference", "monitor"), [((0.0, 1.0), "rollout/normalized_score"), (None, "rollout/return")])
def test_the_monitor_is_the_score_where_there_is_one(tmp_path, reference, monitor):
    checkpoint = ResumableCheckpoint()
    data = ToyData(reference_scores=reference)
    train(tmp_path, ToyModule(), [checkpoint, RolloutEvaluation(1, 1)], data=data)
    assert checkpoint.monitor == monitor
    assert checkpoint.best_model_score is not None


def test_a_metric_that_is_never_logged_costs_only_the_best(tmp_path):
    checkpoint = ResumableCheckpoint(monitor="absent")
    train(tmp_path, ToyModule(), [checkpoint])
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["last.ckpt"]
    assert checkpoint.best_model_path == ""


def test_what_was_best_by_another_metric_is_forgotten(tmp_path):
    train(tmp_path, ToyModule(), [ResumableCheckpoint(), RolloutEvaluation(1, 1)], max_steps=10)
    checkpoint = ResumableCheckpoint(monitor="absent")
    module = ToyModule()
    train(tmp_path, module, [checkpoint], 20, ckpt_path=tmp_path / "checkpoints/last.ckpt")
    assert checkpoint.best_model_path == ""
    assert len(module.trace) == 10


def test_early_stopping_leaves_a_last_checkpoint_of_the_last_update(tmp_path):
    class Stop(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            trainer.should_stop = trainer.global_step == 7

    trainer = train(tmp_path, ToyModule(), [ResumableCheckpoint(), Stop()])
    assert trainer.global_step == 7
    assert torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 7


def test_epochs_that_end_leave_a_last_checkpoint(tmp_path):
    train(tmp_path, ToyModule(), [ResumableCheckpoint()], -1, 1000, data=ToyData(length=6), max_epochs=2)
    assert torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 12


def test_several_best_need_names_that_differ(tmp_path):
    with pytest.raises(UserError, match=r"best-\{step\}"):
        ResumableCheckpoint(save_top_k=2)
    train(tmp_path, ToyModule(), [ResumableCheckpoint(filename="best-{step}", save_top_k=2), RolloutEvaluation(1, 1)])
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["best-15.ckpt", "best-20.ckpt", "last.ckpt"]


def test_what_is_logged_is_on_the_disk_before_a_checkpoint_that_says_so(tmp_path, monkeypatch):
    events = []
    monkeypatch.setattr(CSVLogger, "save", lambda self: events.append("logs"))
    monkeypatch.setattr(WholeCheckpointIO, "save_checkpoint", lambda *_, **__: events.append("checkpoint"))
    logger = CSVLogger(tmp_path)
    train(tmp_path, ToyModule(), [ResumableCheckpoint()], 20, 10, logger=logger, log_every_n_steps=1000)
    assert events.count("checkpoint") >= 2
    assert all(before == "logs" for before, event in pairwise(events) if event == "checkpoint")


def test_a_dry_run_saves_nothing(tmp_path):
    train(tmp_path, ToyModule(), [ResumableCheckpoint()], fast_dev_run=True)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("name", ["best_model_path", "last_model_path", "kth_best_model_path", "best_k_models"])
@pytest.mark.parametrize("place", ["../../own", "../own.ckpt", "own"])
def test_files_of_another_place_are_none_of_the_run(tmp_path, name, place):
    """What a run keeps no longer it removes, with all that is in it."""
    train(tmp_path / "run", ToyModule(), [ResumableCheckpoint(), RolloutEvaluation(1, 1)], max_steps=10)
    last = tmp_path / "run/checkpoints/last.ckpt"
    own = tmp_path / "run/checkpoints" / place
    own.mkdir()
    checkpoint = torch.load(last, weights_only=True)
    state = checkpoint["callbacks"]["ResumableCheckpoint"]
    path = f"{state['dirpath']}/{place}"
    state[name] = {path: torch.tensor(-1e9)} if name == "best_k_models" else path
    torch.save(checkpoint, last)
    with pytest.raises(CheckpointError, match=f"names {re.escape(path)} as one of its run"):
        train(tmp_path / "run", ToyModule(), [ResumableCheckpoint(), RolloutEvaluation(1, 1)], 20, ckpt_path=last)
    assert own.is_dir()


def test_a_best_in_a_folder_of_its_own_is_the_run_s(tmp_path):
    for end in (10, 20):
        callbacks = [ResumableCheckpoint(filename="best/{step}", save_top_k=1), RolloutEvaluation(1, 1)]
        last = None if end == 10 else tmp_path / "checkpoints/last.ckpt"
        train(tmp_path, ToyModule(), callbacks, end, ckpt_path=last)
    assert callbacks[0].best_model_path.startswith(str(tmp_path / "checkpoints/best"))
