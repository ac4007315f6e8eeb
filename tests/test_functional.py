from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from spar_lightning import functional as SF

ENDS = np.array([False, False, True])
NEVER = np.zeros(3, dtype=bool)
REWARDS = np.array([1.0, 2.0, 3.0])
NEXT_VALUES = np.array([10.0, 20.0, 30.0])


def test_td_target_bootstraps_unless_terminated() -> None:
    # 1 + 0.5 * 8 = 5; a termination leaves the reward alone; a half-set flag would halve the rest: 1 + 0.5 * 0.5 * 8.
    target = SF.td_target(torch.ones(3), torch.tensor([0.0, 1.0, 0.5]), torch.full((3,), 8.0), discount=0.5)
    assert target.tolist() == [5.0, 1.0, 3.0]


@pytest.mark.parametrize(
    ("trace_decay", "terminated", "expected"),
    [
        # Monte Carlo: 3; 2 + 0.5 * 3 = 3.5; 1 + 0.5 * 3.5 = 2.75
        (1.0, True, [2.75, 3.5, 3.0]),
        # cut off: 3 + 0.5 * 30 = 18; 2 + 0.5 * 18 = 11; 1 + 0.5 * 11 = 6.5
        (1.0, False, [6.5, 11.0, 18.0]),
        # one step: 3; 2 + 0.5 * 20 = 12; 1 + 0.5 * 10 = 6
        (0.0, True, [6.0, 12.0, 3.0]),
        (0.0, False, [6.0, 12.0, 18.0]),
        # 3; 2 + 0.5 * (0.5 * 20 + 0.5 * 3) = 7.75; 1 + 0.5 * (0.5 * 10 + 0.5 * 7.75) = 5.4375
        (0.5, True, [5.4375, 7.75, 3.0]),
        # 18; 2 + 0.5 * (10 + 9) = 11.5; 1 + 0.5 * (5 + 5.75) = 6.375
        (0.5, False, [6.375, 11.5, 18.0]),
        # an uneven one: 18; 2 + 0.5 * (0.25 * 20 + 0.75 * 18) = 11.25; 1 + 0.5 * (0.25 * 10 + 0.75 * 11.25) = 6.46875
        (0.75, False, [6.46875, 11.25, 18.0]),
    ],
)
def test_lambda_returns_of_one_episode(trace_decay: float, terminated: bool, expected: list[float]) -> None:
    terminations = ENDS if terminated else NEVER
    returns = SF.lambda_returns(REWARDS, terminations, NEXT_VALUES, ENDS, discount=0.5, trace_decay=trace_decay)
    assert returns == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("trace_decay", [0.0, 0.5, 1.0])
def test_episodes_do_not_leak_into_one_another(trace_decay: float) -> None:
    def returns(*terminated: bool) -> np.ndarray:
        flags = np.concatenate([ENDS if one else NEVER for one in terminated])
        count = len(terminated)
        inputs = np.tile(REWARDS, count), flags, np.tile(NEXT_VALUES, count), np.tile(ENDS, count)
        return SF.lambda_returns(*inputs, discount=0.5, trace_decay=trace_decay)

    alone = {terminated: returns(terminated) for terminated in (True, False)}
    together = returns(True, False, True)
    assert together == pytest.approx(np.concatenate([alone[True], alone[False], alone[True]]), abs=1e-12)


@pytest.mark.parametrize("trace_decay", [0.0, 0.3, 0.95, 1.0])
def test_lambda_returns_equal_the_recursion_step_by_step(trace_decay: float) -> None:
    random = np.random.default_rng(3)
    count, discount = 200, 0.97
    rewards, next_values = random.normal(size=(2, count))
    ends = random.random(count) < 0.1
    ends[[0, 57, 58, -1]] = True  # episodes of one step among them
    terminations = ends & (random.random(count) < 0.5)
    assert (ends & terminations).any()
    assert (ends & ~terminations).any()

    expected = np.zeros(count)
    for step in reversed(range(count)):
        future = next_values[step]
        if not ends[step]:
            future = (1 - trace_decay) * next_values[step] + trace_decay * expected[step + 1]
        expected[step] = rewards[step] + discount * (1 - terminations[step]) * future
    returns = SF.lambda_returns(rewards, terminations, next_values, ends, discount, trace_decay)
    assert returns == pytest.approx(expected, rel=1e-10, abs=1e-10)


def test_next_values_that_are_not_read_may_be_nan() -> None:
    terminated = SF.lambda_returns(REWARDS, ENDS, np.full(3, np.nan), ENDS, discount=0.5, trace_decay=1.0)
    assert terminated.tolist() == [2.75, 3.5, 3.0]
    cut_off = np.array([np.nan, np.nan, 30.0])
    assert SF.lambda_returns(REWARDS, NEVER, cut_off, ENDS, 0.5, trace_decay=1.0).tolist() == [6.5, 11.0, 18.0]
    one_step = np.array([10.0, 20.0, np.nan])
    assert SF.lambda_returns(REWARDS, ENDS, one_step, ENDS, 0.5, trace_decay=0.0).tolist() == [6.0, 12.0, 3.0]


def test_an_open_last_episode_is_refused() -> None:
    with pytest.raises(ValueError, match="`episode_ends` is false at the last row"):
        SF.lambda_returns(REWARDS, NEVER, NEXT_VALUES, NEVER, 0.5, 1.0)


def test_critic_loss_sums_over_critics_and_averages_over_the_batch() -> None:
    # errors 1, 2 and 0, 3: (1 + 4) / 2 + (0 + 9) / 2 = 7
    loss = SF.critic_loss(torch.tensor([[1.0, 2.0], [2.0, 7.0]]), torch.tensor([2.0, 4.0]))
    assert loss.item() == 7.0


def test_expectile_loss_weighs_the_two_sides() -> None:
    # targets 2 above (weight 0.9) and 1 below (weight 0.1): (0.9 * 4 + 0.1 * 1) / 2 = 1.85
    loss = SF.expectile_loss(torch.tensor([1.0, 1.0]), torch.tensor([3.0, 0.0]), expectile=0.9)
    assert loss.item() == pytest.approx(1.85)


def test_the_least_expectile_loss_lies_above_the_mean_for_a_high_expectile() -> None:
    targets = torch.tensor([0.0, 1.0])
    values = torch.linspace(0, 1, 1001)
    losses = torch.stack([SF.expectile_loss(value.expand(2), targets, 0.8) for value in values])
    # 0.8 * (1 - v) = 0.2 * v
    assert values[losses.argmin()].item() == pytest.approx(0.8, abs=1e-3)


def test_conservative_is_the_minimum_or_some_deviations_below_the_mean() -> None:
    q_values = torch.tensor([[[1.0, 5.0]], [[3.0, 2.0]], [[8.0, 2.0]]])  # (C, 1, 2)
    assert SF.conservative(q_values).tolist() == [[1.0, 2.0]]
    # means 4 and 3; population variances (9 + 1 + 16) / 3 and (4 + 1 + 1) / 3
    expected = [[4 - 0.5 * (26 / 3) ** 0.5, 3 - 0.5 * 2**0.5]]
    assert torch.allclose(SF.conservative(q_values, 0.5), torch.tensor(expected))
    assert torch.allclose(SF.conservative(q_values, 0.0), q_values.mean(0))


def test_gaussian_kl_is_that_of_torch_distributions() -> None:
    mean, log_std = torch.randn(2, 7, 3)
    expected = kl_divergence(Normal(mean, log_std.exp()), Normal(0.0, 1.0)).sum(dim=1)
    assert torch.allclose(SF.gaussian_kl(mean, log_std), expected)


def test_gaussian_kl_by_hand() -> None:
    assert SF.gaussian_kl(torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.zeros(2, 2)).tolist() == [2.5, 0.0]


def test_manifold_loss_sums_over_actions_and_adds_the_weighted_kl() -> None:
    decoded, residuals = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 2.0], [0.0, 3.0]])
    mean = torch.tensor([[2.0], [0.0]])
    loss, metrics = SF.manifold_loss(decoded, residuals, mean, torch.zeros(2, 1), beta=0.25)
    # squared errors 1 + 4 and 9, mean 7; KL 2 and 0, mean 1
    assert metrics["fit/reconstruction"].item() == 7.0
    assert metrics["fit/kl"].item() == 1.0
    assert loss.item() == 7.25
    weighted, _ = SF.manifold_loss(decoded, residuals, mean, torch.zeros(2, 1), 0.25, torch.tensor([30.0, 10.0]))
    assert weighted.item() == pytest.approx(0.75 * 5.0 + 0.25 * 9.0 + 0.25 * 0.75 * 2.0)


def test_latent_candidates_begin_with_the_policys_own_and_stay_in_the_box() -> None:
    latents = torch.tensor([[0.5, -1.0], [1.5, 0.0]])
    noise = torch.tensor([[[1.0, -1.0], [3.0, -8.0]]])
    candidates = SF.latent_candidates(latents, noise, sigma=0.5, bound=2.0)
    assert candidates.tolist() == [[[0.5, -1.0], [1.5, 0.0]], [[1.0, -1.5], [2.0, -2.0]]]
    many = SF.latent_candidates(latents, 10 * torch.randn(64, 2, 2), 0.5, 2.0)
    assert many.shape == (65, 2, 2)
    assert many.abs().max() == 2.0


def test_self_imitation_weights_of_two_candidates() -> None:
    # Values 3 and 1: std 1, sigma 0.5, so slope 2; kappa 4: J = 4 * (+-1) / 2 - |z|^2 / 2.
    # |z|^2 = 2 and 0: J = 2 - 1 = 1 and -2; std of J is 1.5: softmax of 1 / 1.5 and -2 / 1.5, a difference of 2.
    candidates = torch.tensor([[[1.0, 1.0]], [[0.0, 0.0]]])
    weights = SF.self_imitation_weights(torch.tensor([[[3.0], [1.0]]]), candidates, sigma=0.5, kappa=4.0)
    first = 1 / (1 + np.exp(-2.0))
    assert weights.squeeze(1).tolist() == pytest.approx([first, 1 - first], rel=1e-5)


def test_self_imitation_weights_of_three_candidates_in_two_states() -> None:
    # Values (0, 3, 6) and (1, 1, 1): stds sqrt(6) and 0, mean sqrt(1.5); sigma 1: slope sqrt(1.5) for both states.
    # kappa 1, z = (0, 1, 2) and (0, 0, 2): J = (-3, 0, 3) / sqrt(1.5) - (0, 0.5, 2) and (0, 0, -2).
    values = torch.tensor([[[0.0, 1.0], [3.0, 1.0], [6.0, 1.0]]])
    candidates = torch.tensor([[[0.0], [0.0]], [[1.0], [0.0]], [[2.0], [2.0]]])
    objective = np.array([[-3 / 1.5**0.5, 0.0], [-0.5, 0.0], [3 / 1.5**0.5 - 2, -2.0]])
    # Their population variances, by E[J^2] - E[J]^2, give the temperature: one number for both states.
    variance = (objective**2).mean(axis=0) - objective.mean(axis=0) ** 2
    exponentials = np.exp(objective / np.sqrt(variance).mean())
    weights = SF.self_imitation_weights(values, candidates, sigma=1.0, kappa=1.0)
    assert weights.numpy() == pytest.approx(exponentials / exponentials.sum(axis=0), rel=1e-4)
    # The second state's worst candidate: std of (0, 0, -2) is sqrt(8) / 3 = 0.943, of the first (-2.449, -0.5, 0.449)
    # 1.203, so its J over the temperature 1.073 is -1.864: e^-1.864 / (2 + e^-1.864) = 0.0719.
    assert weights[2, 1].item() == pytest.approx(0.0719, abs=1e-3)


@pytest.mark.parametrize(("scale", "shift"), [(1000.0, 0.0), (0.01, 0.0), (1.0, -300.0)])
def test_self_imitation_weights_do_not_depend_on_the_rewards_scale(scale: float, shift: float) -> None:
    values, candidates = torch.randn(3, 8, 16), torch.randn(8, 16, 4)
    weights = SF.self_imitation_weights(values, candidates, sigma=0.5, kappa=2.0)
    scaled = SF.self_imitation_weights(scale * values + shift, candidates, sigma=0.5, kappa=2.0)
    assert torch.allclose(weights, scaled, atol=1e-3)


def test_self_imitation_weights_follow_the_prior_alone_where_values_are_flat() -> None:
    candidates = torch.randn(8, 16, 4)
    weights = SF.self_imitation_weights(torch.full((3, 8, 16), 7.0), candidates, sigma=0.5, kappa=2.0)
    distance = candidates.square().sum(-1)
    assert torch.equal(weights.argmax(0), distance.argmin(0))
    objective = -0.5 * distance
    expected = torch.softmax(objective / objective.std(dim=0, correction=0).mean(), dim=0)
    assert torch.allclose(weights, expected, atol=1e-5)


def test_self_imitation_weights_sum_to_one_and_pull_harder_with_kappa() -> None:
    values, candidates = torch.randn(3, 8, 16), torch.randn(8, 16, 4)
    gained = []
    for kappa in (0.0, 1.0, 10.0):
        weights = SF.self_imitation_weights(values, candidates, sigma=0.5, kappa=kappa)
        assert torch.allclose(weights.sum(0), torch.ones(16))
        gained.append((weights * values.mean(0)).sum(0).mean().item())
    assert gained == sorted(gained)


def test_self_imitation_weights_are_finite_where_nothing_differs() -> None:
    weights = SF.self_imitation_weights(torch.zeros(3, 4, 2), torch.zeros(4, 2, 3), sigma=0.5, kappa=2.0)
    assert torch.allclose(weights, torch.full((4, 2), 0.25))


def test_self_imitation_weights_compute_in_float32() -> None:
    values, candidates = torch.randn(3, 8, 16).bfloat16(), torch.randn(8, 16, 4).bfloat16()
    weights = SF.self_imitation_weights(values, candidates, 0.5, 2.0)
    assert weights.dtype == torch.float32
    assert torch.equal(weights, SF.self_imitation_weights(values.float(), candidates.float(), 0.5, 2.0))


def test_critics_that_disagree_leave_the_prior_more_to_say() -> None:
    # Two critics, values (0, 4) and (0, 0) of the candidates 0 and 1: the mean (0, 2) has std 1, the critics 2 and 0,
    # so that slope is 1 / sigma = 2 as for one critic with (0, 2), whose weights these are.
    candidates = torch.tensor([[[0.0]], [[1.0]]])
    apart = SF.self_imitation_weights(torch.tensor([[[0.0], [4.0]], [[0.0], [0.0]]]), candidates, 0.5, 4.0)
    agreed = SF.self_imitation_weights(torch.tensor([[[0.0], [2.0]]]), candidates, 0.5, 4.0)
    assert torch.allclose(apart, agreed)
    # (0, 3) and (0, -1): the mean is (0, 1), the critics' stds are 1.5 and 0.5: half as steep as critics that agree on
    # (0, 1). J = 4 * (-+0.5) / 2 - (0, 0.5): -1 and 0.5, of which softmax takes a difference of 1.5 over its std 0.75.
    opposed = SF.self_imitation_weights(torch.tensor([[[0.0], [3.0]], [[0.0], [-1.0]]]), candidates, 0.5, 4.0)
    assert opposed[1].item() == pytest.approx(1 / (1 + np.exp(-2.0)), rel=1e-4)
    # Where they disagree altogether only the prior is left: of these two candidates the one near the origin.
    nothing = SF.self_imitation_weights(torch.tensor([[[0.0], [3.0]], [[0.0], [-3.0]]]), candidates, 0.5, 4.0)
    assert nothing[0] > nothing[1]


def test_gaussian_loss_by_hand() -> None:
    # Errors 1 and 2, deviations 0.5 and 2: (1 / 0.5)^2 / 2 + log 0.5 = 1.307 and 0.5 + log 2 = 1.193.
    mean, deviation = torch.zeros(1, 2), torch.tensor([[0.5, 2.0]], requires_grad=True)
    targets = torch.tensor([[1.0, 2.0]])
    likelihood = SF.gaussian_loss(mean, deviation, targets, beta=0.0)
    assert likelihood.item() == pytest.approx(2.0 + np.log(0.5) + 0.5 + np.log(2.0), rel=1e-5)
    # Times the deviations, 0.5 and 2, which take no gradient as weights.
    weighted = SF.gaussian_loss(mean, deviation, targets, beta=0.5)
    assert weighted.item() == pytest.approx(0.5 * (2.0 + np.log(0.5)) + 2.0 * (0.5 + np.log(2.0)), rel=1e-5)
    (gradient,) = torch.autograd.grad(weighted, deviation)
    # d/dsigma of e^2 / (2 sigma^2) + log sigma is -e^2 / sigma^3 + 1 / sigma: -8 + 2 and -0.5 + 0.5; times the weights.
    assert gradient.tolist()[0] == pytest.approx([-3.0, 0.0], abs=1e-5)


def test_the_gaussian_loss_finds_mean_and_deviation() -> None:
    generator = torch.Generator().manual_seed(0)
    targets = 0.3 + torch.tensor([0.1, 0.5]) * torch.randn(4000, 2, generator=generator)
    mean, log_deviation = torch.zeros(2, requires_grad=True), torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.Adam([mean, log_deviation], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        SF.gaussian_loss(mean.expand(4000, 2), log_deviation.exp().expand(4000, 2), targets).backward()
        optimizer.step()
    assert mean.tolist() == pytest.approx([0.3, 0.3], abs=0.03)
    assert log_deviation.exp().tolist() == pytest.approx([0.1, 0.5], rel=0.05)


def test_weighted_mean() -> None:
    candidates = torch.tensor([[[0.0, 4.0], [1.0, 1.0]], [[8.0, 0.0], [3.0, 5.0]]])
    weights = torch.tensor([[0.75, 0.5], [0.25, 0.5]])
    assert SF.weighted_mean(weights, candidates).tolist() == [[2.0, 3.0], [2.0, 3.0]]


def test_weighted_mean_keeps_its_precision_under_autocast() -> None:
    weights, candidates = torch.softmax(torch.randn(8, 16), 0), torch.randn(8, 16, 4)
    expected = SF.weighted_mean(weights, candidates)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(SF.weighted_mean(weights, candidates), expected)


def test_imitation_loss_sums_over_dimensions_and_averages_over_the_batch() -> None:
    # 1 + 4 and 0: mean 2.5
    loss = SF.imitation_loss(torch.tensor([[1.0, 2.0], [3.0, 3.0]]), torch.tensor([[0.0, 0.0], [3.0, 3.0]]))
    assert loss.item() == 2.5


def test_update_average_moves_a_share_of_the_way_in_place() -> None:
    averages, sources = [torch.zeros(2), torch.tensor([10.0])], [torch.tensor([4.0, 8.0]), torch.tensor([0.0])]
    kept = list(averages)
    SF.update_average(averages, sources, tau=0.25)
    assert [average.tolist() for average in kept] == [[1.0, 2.0], [7.5]]
    assert [source.tolist() for source in sources] == [[4.0, 8.0], [0.0]]
    SF.update_average(averages, sources, tau=1.0)
    assert [average.tolist() for average in kept] == [[4.0, 8.0], [0.0]]


def test_update_average_equals_the_loop() -> None:
    averages, sources = [torch.randn(3, 4), torch.randn(5)], [torch.randn(3, 4), torch.randn(5)]
    expected = [average + 0.005 * (source - average) for average, source in zip(averages, sources, strict=True)]
    SF.update_average(averages, sources, 0.005)
    assert all(torch.allclose(found, one) for found, one in zip(averages, expected, strict=True))
