"""Several seeds of a contender are led through one gate."""

from __future__ import annotations

import pytest

from spar_lightning.benchmark.contenders import count_flops, train
from spar_lightning.benchmark.measuring.gate import Gate, Loop
from spar_lightning.benchmark.settings import Setting, missing_package


class Counting(Gate):
    """Ends a loop after so many updates."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.met, self.passages, self._most = 0, list[int](), most

    def meet(self, loop: Loop) -> None:
        super().meet(loop)
        self.met += 1

    def passed(self, updates: int) -> bool:
        self.passages.append(updates)
        return updates < self._most


def test_updates_of_all_seeds_count_and_all_end_together() -> None:
    gate = Counting(24)
    train(Setting("td3_bc", batch_size=8, hidden_dim=8, updates_per_batch=4, transitions=500, num_seeds=3), gate)
    assert gate.met == 1
    assert gate.passages == [0, 12, 24]


def test_an_update_has_as_many_operations_whoever_makes_it() -> None:
    one, several = (
        Setting("td3_bc", batch_size=8, hidden_dim=8, updates_per_batch=2, num_seeds=seeds) for seeds in (1, 2)
    )
    assert count_flops(one) == count_flops(several)


@pytest.mark.slow
@pytest.mark.skipif(missing_package("jax_td3_bc") is not None, reason="needs jax")
@pytest.mark.parametrize("seeds", [1, 2])
def test_jax_trains_through_the_gate(seeds: int) -> None:
    gate = Counting(200)
    train(Setting("jax_td3_bc", batch_size=8, hidden_dim=8, transitions=500, num_seeds=seeds), gate)
    assert gate.passages[0] == 0
    assert gate.passages[1] == 100 * seeds
    assert gate.passages[-1] >= 200
