"""What held-out data say of a policy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from spar_lightning.callbacks.offline_check import offline_check
from spar_lightning.datasets import Episode
from spar_lightning.replay import PackedTransitions


def _trainer(gains: list[list[float]] | None) -> Any:
    """A trainer whose module expects these gains at the states of its held-out episodes."""
    held_out = None
    if gains is not None:
        columns = [np.array(episode, dtype=np.float32)[:, None] for episode in gains]
        held_out = PackedTransitions.from_episodes(
            Episode(o, np.zeros((len(o), 1), dtype=np.float32), o[:, 0], o, termination=True) for o in columns
        )
    module = SimpleNamespace(expected_gain=lambda observations: observations[:, 0])
    return SimpleNamespace(lightning_module=module, datamodule=SimpleNamespace(validation_transitions=held_out))


def test_the_gain_is_averaged_over_episodes_with_a_t_interval() -> None:
    found = offline_check(_trainer([[1.0, 3.0], [4.0], [3.0, 3.0, 3.0]]))
    assert found is not None
    assert (found["mean"], found["episodes"]) == (pytest.approx(3.0), 3)  # of 2, 4 and 3
    margin = stats.t.ppf(0.975, df=2) * 1.0 / 3**0.5
    assert (found["low"], found["high"]) == (pytest.approx(3.0 - margin), pytest.approx(3.0 + margin))
    assert found["verdict"] == "clearly better"


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ([[-2.0], [-2.1], [-1.9]], "worse"),
        ([[-2.0], [2.0], [0.5]], "not distinguishable"),
        ([[5.0]], "not distinguishable"),  # one episode has no interval
    ],
)
def test_the_verdict(gains: list[list[float]], verdict: str) -> None:
    found = offline_check(_trainer(gains))
    assert found is not None
    assert found["verdict"] == verdict


def test_there_is_none_without_held_out_data_or_critics() -> None:
    assert offline_check(_trainer(None)) is None
    trainer = _trainer([[1.0]])
    trainer.lightning_module = torch.nn.Linear(1, 1)
    assert offline_check(trainer) is None
