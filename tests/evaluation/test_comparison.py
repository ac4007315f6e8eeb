import numpy as np
import pytest
import torch
from toy_environment import STEPS, Constant, ToyEnvironment, bonus

from spar_lightning.evaluation import PolicyEvaluator


@pytest.fixture
def evaluator():
    evaluator = PolicyEvaluator(ToyEnvironment, reference_scores=(0.0, 10.0))
    yield evaluator
    evaluator.close()


def test_policy_and_base_are_compared_seed_by_seed(evaluator):
    comparison = evaluator.evaluate(Constant(0.5), {"base": Constant(0.1)}, range(4))
    mean_bonus = np.mean([bonus(seed) for seed in range(4)])
    assert list(comparison.scores) == ["policy", "base"]
    assert comparison.policy.mean_return == pytest.approx(STEPS * (0.5 + mean_bonus), rel=1e-6)
    assert comparison.policy.score == pytest.approx(10 * STEPS * (0.5 + mean_bonus), rel=1e-6)
    assert comparison.policy.mean_length == STEPS
    # In points of score; what the seeds add to both cancels, so that the interval closes.
    assert comparison.improvement.mean == pytest.approx(10 * STEPS * 0.4, rel=1e-6)
    assert comparison.improvement.high - comparison.improvement.low == pytest.approx(0.0, abs=1e-4)
    assert comparison.improvement.episodes == 4


def test_every_return_is_kept_in_the_order_of_the_seeds(evaluator):
    comparison = evaluator.evaluate(Constant(0.5), {"base": Constant(0.1)}, range(3))
    for name, action in (("policy", 0.5), ("base", 0.1)):
        expected = [STEPS * (action + bonus(seed)) for seed in range(3)]
        assert comparison.scores[name].returns == pytest.approx(expected, rel=1e-6)
    assert len(evaluator.evaluate(Constant(0.5), {}, [7]).policy.returns) == 1


def test_returns_gathered_rank_by_rank_are_put_in_order():
    evaluator = PolicyEvaluator(ToyEnvironment, rank=0, world_size=2)
    assert evaluator._in_order_of_seeds([0.0, 2.0, 4.0, 1.0, 3.0]) == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_improvement_is_in_returns_where_there_are_no_scores():
    evaluator = PolicyEvaluator(ToyEnvironment)
    comparison = evaluator.evaluate(Constant(0.5), {"base": Constant(0.1)}, range(2))
    evaluator.close()
    assert comparison.policy.score is None
    assert comparison.improvement.mean == pytest.approx(STEPS * 0.4, rel=1e-6)


def test_without_a_base_there_is_no_improvement(evaluator):
    assert evaluator.evaluate(Constant(0.5), {"other": Constant(0.1)}, [0]).improvement is None


def test_a_reference_meets_each_seed_once(evaluator):
    base, late = Constant(0.1), Constant(0.2)
    evaluator.evaluate(Constant(0.5), {"base": base}, range(2))
    assert sum(base.calls) == 2 * STEPS
    evaluator.evaluate(Constant(0.5), {"base": base, "late": late}, range(3))
    assert sum(base.calls) == 3 * STEPS
    assert sum(late.calls) == 3 * STEPS


def test_known_episodes_survive_a_checkpoint(evaluator, tmp_path):
    first = evaluator.evaluate(Constant(0.5), {"base": Constant(0.1)}, range(2))
    torch.save(evaluator.state_dict(), tmp_path / "state")
    other = PolicyEvaluator(ToyEnvironment, (0.0, 10.0))
    other.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    unused = Constant(0.1)
    assert other.evaluate(Constant(0.5), {"base": unused}, range(2)) == first
    assert unused.calls == []
    other.close()


def test_ranks_share_the_seeds():
    shares = []
    for rank in range(2):
        evaluator = PolicyEvaluator(ToyEnvironment, rank=rank, world_size=2)
        shares.append(evaluator.evaluate(Constant(0.5), {}, range(3)).policy)
        evaluator.close()
    assert [share.episodes for share in shares] == [2, 1]
    assert shares[1].mean_return == pytest.approx(STEPS * (0.5 + bonus(1)), rel=1e-6)


def test_with_noise_references_are_run_anew_and_the_known_episodes_stay(evaluator):
    base = Constant(0.1)
    plain = evaluator.evaluate(Constant(0.5), {"base": base}, range(3))
    noisy = evaluator.evaluate(Constant(0.5), {"base": base}, range(3), action_noise=0.1)
    assert sum(base.calls) == 6 * STEPS
    assert noisy.scores["base"].mean_return != plain.scores["base"].mean_return
    # Both met the same noise, none of which reached a bound.
    assert noisy.improvement.mean == pytest.approx(plain.improvement.mean, abs=1e-3)
    assert evaluator.evaluate(Constant(0.5), {"base": base}, range(3)) == plain
    assert sum(base.calls) == 6 * STEPS
