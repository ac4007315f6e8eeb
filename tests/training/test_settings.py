"""What may be set, and what a setting that nobody knows would train in silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from spar_lightning.algorithms import BC, SPAR, Algorithm
from spar_lightning.training import AlgorithmModule, SPARModule, TD3BCModule
from spar_lightning.types import UserError


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("manifold", "vae", "'cvae', 'gaussian'"),
        ("improvement", "LSI", "'lsi', 'value_gradient', 'none'"),
        ("improvement", None, "'lsi', 'value_gradient', 'none'"),
        ("critic_target", "insample", "'returns', 'in_sample', 'policy'"),
        ("regression", "actions", "'latent', 'residual'"),
    ],
)
def test_a_choice_that_is_none_is_refused(name: str, value: Any, expected: str) -> None:
    with pytest.raises(UserError, match=f"`{name}` is {value!r}, expected one of {expected}"):
        SPAR(BC(3, 2), **{name: value})


def test_choices_of_a_base_and_of_every_module_are_looked_at_too() -> None:
    with pytest.raises(UserError, match="`deviation` is 'State', expected one of 'state', 'constant'"):
        BC(3, 2, deviation="State")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="`capture` is 'always', expected one of 'auto', True, False"):
        TD3BCModule(3, 2, capture="always")
    assert TD3BCModule(3, 2, capture=False).hparams["capture"] is False


def test_a_setting_of_an_algorithm_may_not_be_called_as_one_of_its_module() -> None:
    class Mine(Algorithm):
        def __init__(self, observation_dim: int, action_dim: int, gradient_clip_norm: float = 1.0) -> None:
            super().__init__(observation_dim, action_dim)
            self.clip = gradient_clip_norm

    with pytest.raises(UserError, match="Mine has a setting `gradient_clip_norm`, which is the module's"):
        type("MineModule", (AlgorithmModule,), {"algorithm_class": Mine})


@pytest.mark.parametrize(
    ("settings", "versions"),
    [
        # after 0, 2, 6, 7, 8 and 12 updates: four fit the manifold, every second from the sixth on moves the actor
        ({"manifold_steps": 4, "warmup_steps": 6}, [0, 2, 4, 4, 5, 7]),
        ({"manifold_steps": 4, "warmup_steps": 6, "manifold": "gaussian"}, [0, 0, 0, 0, 1, 3]),
        ({"manifold_steps": 4, "warmup_steps": 6, "improvement": "none"}, [0, 2, 4, 4, 4, 4]),
    ],
)
def test_a_policy_has_a_new_version_where_an_update_moves_it(
    make_spar: Callable[..., SPARModule], settings: dict[str, Any], versions: list[int]
) -> None:
    algorithm = make_spar(**settings).algorithm
    assert [algorithm.policy_version(updates) for updates in (0, 2, 6, 7, 8, 12)] == versions
    phases = [algorithm.phase(update) for update in range(12)]
    assert sum(phase.fits_manifold or phase.moves_actor for phase in phases) == versions[-1]
    words = {algorithm.stage(update) for update in range(4)}
    assert words == {"critics" if settings.get("manifold") == "gaussian" else "manifold and critics"}
