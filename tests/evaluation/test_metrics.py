import math
import warnings

import numpy as np
import pytest
import torch

from spar_lightning.evaluation import (
    EpisodeScores,
    PairedImprovement,
    ResidualStatistics,
    normal_drift,
    normalized_score,
)
from spar_lightning.types import ResidualProbe, UserError


def test_normalized_score_takes_arrays_and_tensors():
    assert normalized_score(1.0, (0.0, 4.0)) == 25.0
    np.testing.assert_allclose(normalized_score(np.array([0.0, 4.0]), (0.0, 4.0)), [0, 100])
    assert normalized_score(torch.tensor([2.0]), (0.0, 4.0)).tolist() == [50.0]


@pytest.mark.parametrize("reference", [(3.0, 3.0), (4.0, 3.0)])
def test_reference_scores_out_of_order_are_an_error(reference):
    with pytest.raises(UserError, match="random < expert"):
        normalized_score(1.0, reference)


def test_episode_scores_accumulate_over_updates():
    metric = EpisodeScores((0.0, 10.0))
    metric.update(torch.tensor([1.0, 2.0]), torch.tensor([3, 4]))
    metric.update(torch.tensor([]), torch.tensor([]))  # a rank without seeds
    metric.update(torch.tensor([6.0]), torch.tensor([5]))
    values = {name: float(value) for name, value in metric.compute().items()}
    assert values["episodes"] == 3
    assert values["return"] == 3.0
    assert values["return_std"] == pytest.approx(math.sqrt(7.0))  # (4 + 1 + 9) / 2
    assert values["length"] == 4.0
    assert values["normalized_score"] == pytest.approx(30.0)
    assert values["normalized_score_std"] == pytest.approx(10 * math.sqrt(7.0))


def test_without_reference_scores_there_is_no_normalized_score():
    metric = EpisodeScores()
    metric.update(torch.tensor([1.0]), torch.tensor([3]))
    assert set(metric.compute()) == {"episodes", "return", "return_std", "length"}


def test_paired_improvement_has_the_interval_of_student_t():
    metric = PairedImprovement()
    metric.update(torch.tensor([2.0, 4.0, 6.0]), torch.tensor([1.0, 1.0, 1.0]))
    values = {name: float(value) for name, value in metric.compute().items()}
    margin = 4.302653 * 2.0 / math.sqrt(3)  # t for two degrees of freedom; the differences are 1, 3, 5
    assert values == pytest.approx({"mean": 3.0, "low": 3 - margin, "high": 3 + margin, "episodes": 3}, rel=1e-6)


def test_one_pair_has_no_interval_and_no_warning():
    metric = PairedImprovement()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metric.update(torch.tensor([2.0]), torch.tensor([1.0]))
        values = metric.compute()
    assert float(values["mean"]) == 1.0
    assert math.isnan(values["low"])
    assert math.isnan(values["high"])


def test_residual_statistics_by_hand():
    probe = ResidualProbe(
        base_actions=torch.tensor([[0.0, 0.5], [0.0, 0.5]]),
        actions=torch.tensor([[0.2, 1.0], [-0.4, 0.5]]),
        unclipped_actions=torch.tensor([[0.2, 1.3], [-0.4, 0.5]]),
        latents=torch.tensor([[3.0, 4.0], [0.0, -3.97]]),
        latent_bound=4.0,
        jacobians=torch.zeros(2, 2, 2),
    )
    metric = ResidualStatistics(action_dim=2)
    metric.update(probe)
    values = metric.compute()
    torch.testing.assert_close(values["residual/abs_mean_per_dimension"], torch.tensor([0.3, 0.25]))
    assert float(values["residual/abs_mean"]) == pytest.approx(0.275)
    assert float(values["residual/latent_saturation"]) == 0.5  # 4.0 and -3.97, of four
    assert float(values["residual/action_saturation"]) == 0.25
    assert float(values["residual/latent_norm"]) == pytest.approx((5.0 + 3.97) / 2)


class TestNormalDrift:
    def test_a_change_along_the_manifold_is_none(self):
        jacobians = torch.tensor([[[2.0], [2.0]]])
        assert float(normal_drift(torch.tensor([[0.3, 0.3]]), jacobians)) == pytest.approx(0.0, abs=1e-6)

    def test_a_change_across_the_manifold_is_all(self):
        jacobians = torch.tensor([[[2.0], [2.0]]])
        assert float(normal_drift(torch.tensor([[0.3, -0.3]]), jacobians)) == pytest.approx(1.0)

    @pytest.mark.parametrize(("strength", "expected"), [(0.09, 0.64), (0.11, 0.0)])
    def test_a_weak_direction_counts_as_normal_under_a_tenth_of_the_strongest(self, strength, expected):
        jacobians = torch.diag(torch.tensor([1.0, strength])).unsqueeze(0)
        assert float(normal_drift(torch.tensor([[3.0, 4.0]]), jacobians)) == pytest.approx(expected, abs=1e-6)

    def test_states_are_weighted_by_how_far_they_moved(self):
        jacobians = torch.tensor([[[1.0], [0.0]], [[0.0], [1.0]]])
        change = torch.tensor([[3.0, 0.0], [1.0, 0.0]])  # 9 tangent, 1 normal
        assert float(normal_drift(change, jacobians)) == pytest.approx(0.1)

    def test_without_a_manifold_every_change_is_normal(self):
        assert float(normal_drift(torch.ones(1, 2), torch.zeros(1, 2, 4))) == 1.0

    def test_no_change_is_no_drift(self):
        assert float(normal_drift(torch.zeros(3, 2), torch.randn(3, 2, 4))) == 0.0


def test_an_improvement_that_every_process_holds_is_not_gathered():
    metric = PairedImprovement(sync_on_compute=False)
    metric.distributed_available_fn = lambda: True
    metric.dist_sync_fn = lambda value, group=None: [value, value]
    metric.update(torch.tensor([1.0, 2.0, 3.0]), torch.zeros(3))
    assert metric.compute()["episodes"] == 3
