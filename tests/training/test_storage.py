"""Where the transitions are makes no difference to what is learned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from small_runs import BATCH_SIZE, copy_state, differing, fit

from spar_lightning.replay import OfflineDataModule
from spar_lightning.training import SPARModule


@pytest.mark.parametrize("critic_target", ["returns", "policy"])
@pytest.mark.parametrize("updates_per_batch", [1, 4])
def test_training_from_disk_ends_in_the_same_bits(
    dataset: str,
    make_spar: Callable[..., SPARModule],
    critic_target: str,
    updates_per_batch: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SPAR_LIGHTNING_CACHE", str(tmp_path))
    ends = []
    for storage in ("memory", "map"):
        data = OfflineDataModule(
            dataset,
            batch_size=BATCH_SIZE,
            seed=0,
            updates_per_batch=updates_per_batch,
            reward_scale="return_range",
            storage=storage,  # type: ignore[arg-type]
        )
        module = make_spar(critic_target=critic_target)
        fit(module, data, max_steps=16)
        assert data.transitions.on_disk is (storage == "map")
        ends.append(copy_state(module))
    assert differing(*ends) == set()
