"""What the end of a training asks of the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from toy_training import train

from spar_lightning.callbacks import OfflineCheck
from spar_lightning.callbacks.offline_check import _within, offline_check
from spar_lightning.replay import OfflineDataModule
from spar_lightning.training import BCModule
from spar_lightning.types import UserError

HOUR = 3600.0


def trained(folder: Path, dataset: str, **settings: Any) -> Any:
    """A trainer that has trained a policy for an update."""
    data = OfflineDataModule(dataset, batch_size=32, **settings)
    return train(folder, BCModule(data.observation_dim, data.action_dim, hidden_dims=(8,)), [], max_steps=1, data=data)


@pytest.fixture(scope="module")
def trainer(hopper: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return trained(tmp_path_factory.mktemp("run"), hopper, validation_fraction=0.1)


def checked(trainer: Any, *callbacks: OfflineCheck, has_scores: bool, training_s: float) -> dict[str, Any]:
    trainer.callbacks = [one for one in trainer.callbacks if not isinstance(one, OfflineCheck)] + list(callbacks)
    found = offline_check(trainer, has_scores, training_s)
    assert found is not None
    return found


def test_with_scores_only_what_costs_little_is_asked(trainer: Any) -> None:
    found = checked(trainer, has_scores=True, training_s=HOUR)
    assert found["fqe"] is None
    assert found["support"]["policies"]["policy"]["ratio"] > 0


def test_fitted_q_evaluation_is_made_if_it_is_asked_for(trainer: Any) -> None:
    found = checked(trainer, OfflineCheck(fqe_updates=4), has_scores=True, training_s=0.0)
    assert found["fqe"]["updates"] == 4
    assert found["verdict"] is not None


def test_without_scores_it_is_made_if_it_takes_little_of_the_training(
    trainer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spar_lightning.callbacks.offline_check.USUAL_UPDATES", 30)
    assert checked(trainer, has_scores=False, training_s=HOUR)["fqe"]["updates"] == 30
    assert checked(trainer, has_scores=False, training_s=1e-3)["fqe"] is None
    assert checked(trainer, OfflineCheck(fqe_updates=0), has_scores=False, training_s=HOUR)["fqe"] is None


def test_how_long_it_takes_is_told_by_the_first_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    for budget, expected in ((60.1, True), (59.9, False)):
        goes_on, said = _within(budget, updates=600), True
        for made in range(1, 30):
            now[0] += 5.0 if made < 5 else 0.1  # the first ones do not count
            said = said and goes_on(made)
        assert said is expected


def test_without_held_out_episodes_there_is_no_cheap_figure(hopper: str, tmp_path: Path) -> None:
    trainer = trained(tmp_path, hopper, validation_fraction=0.0)
    assert offline_check(trainer, has_scores=True, training_s=HOUR) is None


def test_results_are_not_lost_for_it(trainer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer.lightning_module, "act", lambda observations: observations.new_full((1, 3), torch.nan))
    with pytest.warns(UserWarning, match="The offline check is left out: actions of the policy `policy` are NaN"):
        assert offline_check(trainer, has_scores=True, training_s=HOUR) is None


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(UserError, match="fqe_updates is -1"):
        OfflineCheck(fqe_updates=-1)
