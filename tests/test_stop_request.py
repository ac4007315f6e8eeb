"""What a signal asks of a process, and for how long."""

from __future__ import annotations

import signal

import pytest

from spar_lightning.stopping import Stopped, StopRequest


@pytest.mark.parametrize("is_common", [False, True])
def test_a_signal_is_over_with_what_it_has_stopped(is_common: bool) -> None:
    """As of a suite that was stopped: trainings that follow in the same process go on."""
    request, before = StopRequest(), signal.getsignal(signal.SIGTERM)
    with request.listening(is_common):
        request.deferred = True
        signal.raise_signal(signal.SIGTERM)
        request.decide()
        assert request.asked
        with pytest.raises(Stopped, match="stopped by SIGTERM"):
            request.stop()
    assert not request.asked
    assert request.number is None
    assert signal.getsignal(signal.SIGTERM) == before
