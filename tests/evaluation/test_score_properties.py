"""What holds of scores whatever the returns are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spar_lightning.evaluation.scores import normalized_score
from spar_lightning.types import UserError

FEW = settings(max_examples=100, deadline=None, derandomize=True, database=None)
numbers = st.floats(-1e6, 1e6)


@FEW
@given(numbers, st.floats(1e-3, 1e6), st.lists(numbers, min_size=1, max_size=20))
def test_scores_are_returns_on_another_scale(low: float, distance: float, returns: list[float]) -> None:
    high = low + distance
    if not low < high:
        return
    scores = normalized_score(np.array(returns), (low, high))
    assert normalized_score(low, (low, high)) == 0
    assert normalized_score(high, (low, high)) == pytest.approx(100)
    assert (np.diff(scores[np.argsort(returns)]) >= 0).all(), "a larger return has a smaller score"
    back = low + scores * (high - low) / 100
    assert back == pytest.approx(np.array(returns), rel=1e-6, abs=1e-6 * (1 + abs(low)))
    assert float(np.mean(scores)) == pytest.approx(
        normalized_score(float(np.mean(returns)), (low, high)), rel=1e-6, abs=1e-6 * (1 + np.abs(scores).max())
    )


@FEW
@given(numbers, st.floats(0, 1e6))
def test_references_in_the_wrong_order_are_refused(low: float, distance: float) -> None:
    with pytest.raises(UserError, match="swap them"):
        normalized_score(0.0, (low, low - distance))
