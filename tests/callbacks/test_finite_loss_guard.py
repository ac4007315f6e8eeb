import warnings

import pytest
import torch
from toy_training import ToyModule, train

from spar_lightning.callbacks import FiniteLossGuard, ResumableCheckpoint, RolloutEvaluation
from spar_lightning.callbacks.interval import Interval
from spar_lightning.types import NonFiniteLossError, UserError


def last(tmp_path):
    return torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)


def test_a_nan_loss_is_found_at_the_next_interval(tmp_path):
    with pytest.raises(NonFiniteLossError, match=r"loss `toy/loss` .* at update 6, .* no checkpoint was saved yet"):
        train(tmp_path, ToyModule(nan_loss_at=5), [FiniteLossGuard(3)], validate_every=1000)


@pytest.mark.parametrize("guard_first", [True, False])
def test_it_is_found_before_a_validation_and_the_last_good_checkpoint_stays(tmp_path, guard_first):
    callbacks = [FiniteLossGuard(1000), RolloutEvaluation(1, 1)]
    callbacks = [*(callbacks if guard_first else reversed(callbacks)), ResumableCheckpoint()]
    with pytest.raises(NonFiniteLossError, match=r"at update 15, .* the last good checkpoint is .*last\.ckpt"):
        train(tmp_path, ToyModule(nan_loss_at=12), callbacks)
    assert last(tmp_path)["global_step"] == 10
    assert float(last(tmp_path)["state_dict"]["action"]) == pytest.approx(0.1)


def test_it_is_found_before_the_checkpoint_of_the_last_update(tmp_path):
    with pytest.raises(NonFiniteLossError, match="at update 18"):
        train(tmp_path, ToyModule(nan_loss_at=16), [FiniteLossGuard(1000), ResumableCheckpoint()], max_steps=18)
    assert last(tmp_path)["global_step"] == 15


def test_it_is_found_at_the_end_without_checkpoints(tmp_path):
    with pytest.raises(NonFiniteLossError, match="at update 18"):
        train(tmp_path, ToyModule(nan_loss_at=16), [RolloutEvaluation(1, 1), FiniteLossGuard(1000)], max_steps=18)
    assert not (tmp_path / "results.json").exists()


def test_a_nan_weight_behind_a_finite_loss_reaches_no_checkpoint(tmp_path):
    class HidesNan(ToyModule):
        def training_step(self, batch, batch_idx):
            super().training_step(batch, batch_idx)
            return {"toy/loss": torch.tensor(0.0)}

    with pytest.raises(NonFiniteLossError, match=r"weight `action` .* at update 15"):
        train(tmp_path, HidesNan(nan_weight_at=12), [FiniteLossGuard(1), ResumableCheckpoint()])
    assert last(tmp_path)["global_step"] == 10


@pytest.mark.parametrize("output", [None, torch.tensor(float("nan"))])
def test_a_step_may_return_a_tensor_or_nothing(tmp_path, output):
    class Returns(ToyModule):
        def training_step(self, batch, batch_idx):
            super().training_step(batch, batch_idx)
            return output

    if output is None:
        train(tmp_path, Returns(), [FiniteLossGuard(1)])
    else:
        with pytest.raises(NonFiniteLossError, match="loss `loss`"):
            train(tmp_path, Returns(), [FiniteLossGuard(1)])


def test_finite_losses_pass(tmp_path):
    assert train(tmp_path, ToyModule(), [FiniteLossGuard(2), ResumableCheckpoint()]).global_step == 20


def test_an_interval_goes_on_from_a_checkpoint():
    interval = Interval(10)
    interval.start(25)
    assert [step for step in range(26, 45) if interval.is_due(step)] == [30, 40]


def test_an_interval_of_zero_is_never_due():
    interval = Interval(0)
    interval.start(25)
    assert not any(interval.is_due(step) for step in range(26, 45))
    with pytest.raises(UserError, match="interval of -1"):
        Interval(-1)


@pytest.mark.parametrize(("start", "later", "said"), [(2.0, 1e7, True), (1e9, 1e9, True), (0.1, 500.0, False)])
def test_a_loss_that_rises_far_is_said_once(tmp_path, start, later, said):
    class Rises(ToyModule):
        def training_step(self, batch, batch_idx):
            super().training_step(batch, batch_idx)
            return {"toy/loss": torch.tensor(start if self.global_step < 5 else later)}

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(tmp_path, Rises(), [FiniteLossGuard(1)])
    assert sum("training diverges" in str(one.message) for one in caught) == said
