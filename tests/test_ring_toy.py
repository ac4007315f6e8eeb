from __future__ import annotations

import numpy as np
import pytest
import ring_toy

from spar_lightning.datasets.sources.registry import SOURCES


@pytest.mark.slow
def test_self_imitation_climbs_along_the_ring_and_an_action_gradient_leaves_it() -> None:
    outcomes = ring_toy.compare([ring_toy.LSI])
    base, fitted, improved = outcomes["base"], outcomes["fitted"], outcomes[ring_toy.LSI]
    climbed = outcomes[ring_toy.ACTION_GRADIENT]
    # The mean of an arc lies inside the ring: the base is off it, the fit of its residuals is back on it.
    assert base.distance > 0.05
    assert fitted.distance <= 0.03
    assert improved.distance <= 0.03
    # Of the 0.7 that the ring has to give, a state's arc reaches a part.
    assert improved.value > fitted.value + 0.2
    assert improved.value > base.value + 0.2
    assert improved.value < ring_toy.RADIUS
    # The gradient in action space gains more value than the ring holds: it has left the data.
    assert climbed.distance >= 5 * improved.distance
    assert climbed.value > ring_toy.RADIUS


def test_the_data_lie_on_the_ring() -> None:
    before = list(SOURCES)
    with ring_toy.ring_data() as datamodule:
        transitions = datamodule.transitions
        assert len(transitions) == transitions.num_episodes == ring_toy.TRANSITIONS
        assert transitions.terminations.all()
        data = ring_toy.Outcome("data", transitions.actions.numpy())
        # The mean of |0.7 * 0.03 * eps| is 0.021 * sqrt(2 / pi).
        assert data.distance == pytest.approx(0.0168, abs=1e-3)
        assert np.allclose(data.actions @ ring_toy.DIRECTION, transitions.rewards.numpy(), atol=1e-6)
        assert any(source.owns(ring_toy.RING) for source in SOURCES[:1])
    assert before == SOURCES
