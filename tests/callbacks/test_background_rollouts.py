import multiprocessing
import os
import shutil
import signal
from types import SimpleNamespace

import lightning.pytorch as pl
import pytest
import torch
from toy_training import ToyData, ToyEnvironment, ToyModule, ToyResidualModule, train

from spar_lightning.callbacks import ResumableCheckpoint, RolloutEvaluation
from spar_lightning.callbacks.rollouts.background_rollouts import refuse_several_processes
from spar_lightning.types import UserError


class SentData(ToyData):
    def environment_maker(self):
        return ToyEnvironment


class FallingModule(ToyResidualModule):
    """Its first policy is the best."""

    def act(self, observations):
        return -super().act(observations)


class AtUpdate(pl.Callback):
    """Does something after one update."""

    def __init__(self, step, action):
        self.step, self.action = step, action

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            self.action(trainer)


def run(folder, *others, background=True, module=None, **arguments):
    evaluation = RolloutEvaluation(2, 2, first_seed=7, background=background)
    checkpoint = ResumableCheckpoint()
    train(folder, module or ToyResidualModule(), [evaluation, checkpoint, *others], data=SentData(), **arguments)
    return evaluation, checkpoint


def load(folder, name):
    return torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True)


def fail(trainer):
    raise RuntimeError("of the training")


def kill(trainer):
    (process,) = multiprocessing.active_children()
    os.kill(process.pid, signal.SIGKILL)


@pytest.mark.parametrize(("module_class", "best_step"), [(ToyResidualModule, 20), (FallingModule, 5)])
def test_results_and_best_are_those_of_the_foreground(tmp_path, module_class, best_step):
    expected, _ = run(tmp_path / "a", background=False, module=module_class(), max_steps=22)
    found, checkpoint = run(tmp_path / "b", module=module_class(), max_steps=22)
    assert found.history == expected.history
    assert found.final == expected.final
    assert found.document["best"] == expected.document["best"]
    best = [load(tmp_path / folder, "best") for folder in "ab"]
    assert best[0]["global_step"] == best[1]["global_step"] == best_step
    assert torch.equal(best[0]["state_dict"]["action"], best[1]["state_dict"]["action"])
    assert load(tmp_path / "b", "last")["global_step"] == 22
    assert float(checkpoint.best_model_score) == pytest.approx(found.document["best"]["score"])
    assert multiprocessing.active_children() == []


def test_what_is_under_way_at_a_checkpoint_is_evaluated_after_resuming(tmp_path):
    expected, _ = run(tmp_path / "whole", background=False)
    run(tmp_path / "parts", max_steps=10)
    stopped = shutil.copy(tmp_path / "parts/checkpoints/last.ckpt", tmp_path)
    state = load(tmp_path / "parts", "last")["callbacks"]["RolloutEvaluation"]
    assert [row["step"] for row in state["history"]] == [5]
    assert state["unfinished"]["step"] == 10
    for background in (True, False):
        module = ToyResidualModule()
        found, checkpoint = run(tmp_path / "parts", background=background, module=module, ckpt_path=stopped)
        assert found.history == expected.history
        assert load(tmp_path / "parts", "best")["global_step"] == 20
        assert float(checkpoint.best_model_score) == pytest.approx(found.document["best"]["score"])
        assert module.base.calls == []


def test_an_error_of_the_policy_is_raised_in_training(tmp_path):
    with pytest.raises(UserError, match="step 0 of the episode with seed 7"):
        run(tmp_path, module=ToyModule(step_size=float("nan")))
    assert multiprocessing.active_children() == []


def test_a_killed_process_is_an_error_that_says_so(tmp_path):
    with pytest.raises(UserError, match="ended with exit code -9"):
        run(tmp_path, AtUpdate(3, kill))
    assert multiprocessing.active_children() == []


def test_an_exception_in_training_ends_the_process(tmp_path):
    with pytest.raises(RuntimeError, match="of the training"):
        run(tmp_path, AtUpdate(6, fail))
    assert multiprocessing.active_children() == []


def test_several_training_processes_are_refused():
    with pytest.raises(UserError, match="2 training processes, expected one"):
        refuse_several_processes(SimpleNamespace(world_size=2))


def test_data_without_a_simulator_to_send_are_refused(tmp_path):
    with pytest.raises(UserError, match="ToyData, expected one with `environment_maker`"):
        train(tmp_path, ToyModule(), [RolloutEvaluation(1, 1, background=True)])
    assert multiprocessing.active_children() == []
