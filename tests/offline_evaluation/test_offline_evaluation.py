"""What is said of a policy, and why."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lottery import Constant, lottery, statistics_of
from scipy import stats

from spar_lightning.datasets import Episode
from spar_lightning.offline_evaluation import Settings, evaluate_offline, evaluation_as_text
from spar_lightning.offline_evaluation.evaluate import check_critics, discount_of
from spar_lightning.offline_evaluation.text import summary_lines
from spar_lightning.offline_evaluation.verdict import judged
from spar_lightning.replay import PackedTransitions
from spar_lightning.types import UserError

UP, DOWN, AROUND = ({"low": low, "high": low + 2.0} for low in (1.0, -3.0, -1.0))
NEAR, FAR = {"ratio": 1.0}, {"ratio": 3.0}
FEW = Settings(updates=200, splits=2, batch_size=32, discount=0.5)


class Module(Constant):
    """A policy over a base."""

    def __init__(self, action: float) -> None:
        super().__init__(action)
        self.hparams = {"discount": 0.5}

    def reference_policies(self) -> dict[str, Any]:
        return {"base": Constant(0.0)}


def data(held_out: bool = True) -> Any:
    transitions = lottery()
    return SimpleNamespace(
        transitions=transitions,
        validation_transitions=lottery(6, seed=1) if held_out else None,
        statistics=statistics_of(transitions),
    )


@pytest.mark.parametrize(
    ("gains", "support", "explained", "words", "reason"),
    [
        ({"a": UP, "b": UP}, NEAR, 0.9, "clearly better", "a is above 0 and b is above 0"),
        ({"a": DOWN, "b": DOWN}, FAR, 0.9, "worse", "a is below 0"),
        ({"a": UP, "b": AROUND}, NEAR, 0.9, "not distinguishable", "b has 0 in its interval"),
        ({"a": UP, "b": DOWN}, NEAR, 0.9, "not distinguishable", "b is below 0"),
        ({"a": UP}, FAR, 0.9, "not distinguishable", "3.0 times as far"),
        ({"a": UP}, None, 0.1, "not distinguishable", "explain 10%"),
        ({"a": {"low": None, "high": None}}, None, None, "not distinguishable", "a has 0"),
    ],
)
def test_the_verdict(gains: Any, support: Any, explained: float | None, words: str, reason: str) -> None:
    found = judged(gains, support, explained)
    assert found.words == words
    assert reason in found.reason


@pytest.mark.parametrize(("action", "words"), [(0.3, "clearly better"), (-0.3, "worse"), (0.0, "not distinguishable")])
def test_a_policy_over_its_base(action: float, words: str) -> None:
    found = evaluate_offline(Module(action), data(), FEW)
    assert found["compared_with"] == "base"
    assert found["verdict"] == words
    assert found["fqe"]["values"].keys() == {"base", "policy"}
    text = evaluation_as_text(found)
    assert f"the policy over the base: {words}, since" in text
    assert len({len(line) for line in text.splitlines() if line.startswith("  ---")}) <= 2


def test_a_policy_without_a_base_is_compared_with_the_behaviour() -> None:
    found = evaluate_offline(Constant(0.4), data(held_out=False), FEW, {"other": Constant(0.2)})
    assert found["compared_with"] == "behaviour"
    assert found["verdict"] == "clearly better"
    assert found["fqe"]["values"].keys() == {"behaviour", "other", "policy"}
    assert found["support"] is None
    assert "over the behaviour: clearly better" in evaluation_as_text(found)


def test_a_policy_without_sense_is_refused() -> None:
    with pytest.raises(UserError, match="actions of the policy `policy` are NaN"):
        evaluate_offline(Module(float("nan")), data(), FEW)


def test_what_costs_little_can_be_had_alone() -> None:
    found = evaluate_offline(Constant(0.4), data(), Settings(updates=0))
    assert found["fqe"] is found["check"] is found["verdict"] is None
    assert found["support"]["policies"].keys() == {"policy"}
    value, line = summary_lines(found)
    assert value == ""
    assert "times that of held-out data" in line
    assert "no verdict" in evaluation_as_text(found)


@pytest.mark.parametrize(("gain", "words"), [(1.0, None), (-1.0, "worse")])
def test_critics_of_the_run_are_not_believed_about_a_gain(gain: float, words: str | None) -> None:
    module: Any = Constant(0.4)
    module.expected_gain = lambda observations: gain + 0.1 * observations[:, 0]
    found = evaluate_offline(module, data(), Settings(updates=0))
    assert found["check"]["mean"] == pytest.approx(gain, abs=0.1)
    assert found["verdict"] == words
    value, line, reason, _ = summary_lines(found)
    assert value == f"{found['check']['mean']:+.2f}"
    assert line.endswith(f"over the behaviour, of one step: {words or 'no verdict'}")
    assert ("ask `ope`" in reason) == (words is None)


def test_the_discount_is_the_runs() -> None:
    assert discount_of(Module(0.0), Settings()) == 0.5
    assert discount_of(Module(0.0), Settings(discount=0.9)) == 0.9
    assert discount_of(Constant(0.0), Settings()) == 0.99


# ------------------------------------------------------------------------------- critics that did not guide the policy


def gaining(gains: list[list[float]] | None) -> tuple[Any, PackedTransitions | None]:
    """A module whose expected gain is the first observation, and held-out episodes with these gains."""
    module = SimpleNamespace(expected_gain=lambda observations: observations[:, 0])
    if gains is None:
        return module, None
    columns = [np.array(episode, dtype=np.float32)[:, None] for episode in gains]
    held_out = PackedTransitions.from_episodes(
        Episode(o, np.zeros((len(o), 1), dtype=np.float32), o[:, 0], o, termination=True) for o in columns
    )
    return module, held_out


def test_the_gain_is_averaged_over_episodes() -> None:
    found = check_critics(*gaining([[1.0, 3.0], [4.0], [3.0, 3.0, 3.0]]))
    assert found is not None
    assert (found["mean"], found["episodes"]) == (pytest.approx(3.0), 3)  # of 2, 4 and 3
    margin = stats.t.ppf(0.975, df=2) * 1.0 / 3**0.5
    assert found["low"] == pytest.approx(3.0 - margin, rel=0.5)
    assert found["high"] == pytest.approx(3.0 + margin, rel=0.5)


def test_one_episode_has_a_mean_alone() -> None:
    assert check_critics(*gaining([[5.0]])) == {"mean": 5.0, "low": None, "high": None, "episodes": 1}


def test_there_is_none_without_held_out_data_or_critics() -> None:
    module, held_out = gaining([[1.0]])
    assert check_critics(module, None) is None
    assert check_critics(torch.nn.Linear(1, 1), held_out) is None
