"""Fitted Q evaluation where values are known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lottery import DISCOUNT, Constant, lottery, statistics_of

from spar_lightning.offline_evaluation.fitted_q import Settings, episode_means, fitted_q_evaluation
from spar_lightning.types import DataError, UserError

POLICIES = {"behaviour": None, "good": Constant(0.35), "bad": Constant(-0.15)}
SETTINGS = Settings(updates=300, splits=2, batch_size=32, discount=DISCOUNT)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    transitions = lottery(mean=0.1)
    evaluation = fitted_q_evaluation(
        POLICIES, "behaviour", transitions, lottery(5, seed=1), statistics_of(transitions), SETTINGS
    )
    assert evaluation is not None
    return evaluation


def test_values_are_what_the_policies_earn(found: dict[str, Any]) -> None:
    for name, action in {"good": 0.35, "bad": -0.15, "behaviour": 0.1}.items():
        value = found["values"][name]
        # The behaviour's start has an action of its own, whose mean over 20 episodes is anywhere near.
        tolerance = 0.3 if name == "behaviour" else 0.1
        assert value["mean"] == pytest.approx(action / (1 - DISCOUNT), abs=tolerance)
        assert value["low"] < value["mean"] < value["high"]


def test_gains_are_over_the_policy_that_is_named(found: dict[str, Any]) -> None:
    assert found["gains"].keys() == found["state_gains"].keys() == {"good", "bad"}
    for gains in (found["gains"], found["state_gains"]):
        assert gains["good"]["low"] > 0 > gains["bad"]["high"]
    assert (found["episodes"], found["held_out_episodes"]) == (20, 5)


def test_critics_explain_what_they_did_not_see(found: dict[str, Any]) -> None:
    explained = found["explained"]
    assert min(explained["good"], explained["bad"]) > 0.9
    assert 0.5 < explained["behaviour"] < 0.9  # whose next action is a lottery


def test_targets_stay_within_what_rewards_can_add_up_to() -> None:
    transitions = lottery(4)
    far = {"far": Constant(1.0), "behaviour": None}  # a reward that no transition has
    found = fitted_q_evaluation(far, "behaviour", transitions, None, statistics_of(transitions), SETTINGS)
    assert found is not None
    assert found["held_out_episodes"] == 4  # those of the other half
    assert found["values"]["far"]["mean"] < 1.0 + 0.5 / (1 - DISCOUNT) + 0.2


def test_no_random_number_of_the_process_changes() -> None:
    transitions, few = lottery(4), Settings(updates=4, splits=2, batch_size=4, discount=DISCOUNT)
    state = torch.get_rng_state()
    evaluations = [
        fitted_q_evaluation(POLICIES, "bad", transitions, None, statistics_of(transitions), few) for _ in range(2)
    ]
    assert torch.equal(torch.get_rng_state(), state)
    assert evaluations[0] is not None
    assert evaluations[1] is not None
    assert evaluations[0]["values"] == evaluations[1]["values"]


def test_it_can_be_given_up() -> None:
    transitions, made = lottery(4), []
    found = fitted_q_evaluation(
        POLICIES,
        "bad",
        transitions,
        None,
        statistics_of(transitions),
        SETTINGS,
        goes_on=lambda number: made.append(number) or number < 3,  # type: ignore[func-returns-value]
    )
    assert found is None
    assert made == [1, 2, 3]


def test_one_episode_is_too_few() -> None:
    transitions = lottery(1)
    with pytest.raises(DataError, match="at least 2"):
        fitted_q_evaluation(POLICIES, "bad", transitions, None, statistics_of(transitions), SETTINGS)


@pytest.mark.parametrize("settings", [{"updates": -1}, {"splits": 1}, {"batch_size": 0}, {"discount": 1.5}])
def test_settings_that_make_no_sense(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(settings))):
        Settings(**settings)


def test_means_over_episodes() -> None:
    values, episodes = torch.tensor([[1.0, 3.0, 5.0], [0.0, 0.0, 1.0]]), torch.tensor([4, 4, 7])
    assert episode_means(values, episodes).tolist() == [[2.0, 5.0], [0.0, 1.0]]
