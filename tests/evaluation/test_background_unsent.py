"""A policy that cannot be sent to the evaluation process."""

from __future__ import annotations

import time

import pytest
from torch import Tensor, nn

from spar_lightning.evaluation import BackgroundEvaluator
from spar_lightning.evaluation.background import Snapshot
from spar_lightning.types import UserError


def test_it_is_told_as_such_when_the_result_is_asked_for() -> None:
    class Local(nn.Module):
        """Of a function, so that no other process can import it."""

        def act(self, observations: Tensor) -> Tensor:
            return observations

    evaluator = BackgroundEvaluator(dict)
    try:
        evaluator.submit(Snapshot.take(Local(), {}), [0], {})
        deadline = time.monotonic() + 60
        while not evaluator.is_ready() and time.monotonic() < deadline:
            time.sleep(0.05)
        with pytest.raises(UserError, match="the policy cannot be sent to the evaluation process"):
            evaluator.result()
    finally:
        evaluator.close()
