"""The equations of this project as pure functions: no state, no Lightning, no environment.

Symbols: `B` transitions or states, `K` candidates a state, `L` latent and `A` action
dimensions, `C` critics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

SCALE_EPSILON = 1e-6
"""Added to a spread before it divides: a flat value landscape must not become an infinite slope."""


def td_target(rewards: Tensor, terminations: Tensor, next_values: Tensor, discount: float) -> Tensor:
    r"""One-step bootstrapped target :math:`r + \gamma (1 - d) V(s')`.

    Args:
        rewards: (B,).
        terminations: (B,), 1 where the environment ended the episode; a time-out is 0 and does bootstrap.
        next_values: (B,), values of the next states in the reward's own scale.
        discount: per step, in [0, 1].

    >>> td_target(torch.tensor([1.0, 1.0]), torch.tensor([0.0, 1.0]), torch.tensor([10.0, 10.0]), 0.9)
    tensor([10.,  1.])
    """
    return rewards + discount * (1.0 - terminations) * next_values


def lambda_returns(
    rewards: npt.NDArray[np.float64],
    terminations: npt.NDArray[np.bool_],
    next_values: npt.NDArray[np.float64],
    episode_ends: npt.NDArray[np.bool_],
    discount: float,
    trace_decay: float,
) -> npt.NDArray[np.float64]:
    r"""Lambda-returns of every transition of a data set in order of time.

    .. math:: G_t = r_t + \gamma (1 - d_t) [(1 - \lambda) V(s_{t+1}) + \lambda G_{t+1}]

    At the last step of an episode that was cut off (time-out, end of the data) `G_t = r_t + discount * V(s_{t+1})`.

    Args:
        rewards: (N,) in order of time, episode after episode.
        terminations: (N,), true only where the environment ended the episode.
        next_values: (N,), `V(s_{t+1})` in the reward's scale. With `trace_decay` 1 only cut-offs are read.
        episode_ends: (N,), true at the last transition of each episode; the last row must be an end.
        discount: per step, in [0, 1].
        trace_decay: lambda in [0, 1]: 1 are Monte Carlo returns, 0 is one-step temporal difference.

    Raises:
        ValueError: if the last row does not end an episode: its return would have nothing to stand on.

    >>> ends = np.array([False, False, True])
    >>> lambda_returns(np.ones(3), ends, np.zeros(3), ends, discount=0.5, trace_decay=1.0)
    array([1.75, 1.5 , 1.  ])
    """
    if not episode_ends[-1]:
        raise ValueError(
            "`episode_ends` is false at the last row, expected every transition to lie in an ended episode"
        )
    bootstrap = np.where(episode_ends, 1.0, 1.0 - trace_decay) * ~terminations
    # 0 * NaN is NaN: rows whose next value is not read may hold anything.
    inputs = rewards + discount * np.where(bootstrap > 0, bootstrap * next_values, 0.0)
    returns = np.empty_like(inputs)
    from scipy.signal import lfilter  # takes a second, and most commands sum no returns

    stops = np.flatnonzero(episode_ends) + 1
    denominator = np.array([1.0, -discount * trace_decay])
    for start, stop in zip(np.concatenate([[0], stops[:-1]]), stops, strict=True):
        returns[start:stop] = lfilter([1.0], denominator, inputs[start:stop][::-1])[::-1]
    return returns


def critic_loss(q_values: Tensor, target_q: Tensor) -> Tensor:
    """Squared error, mean over the batch and summed over critics: q_values (C, B), target_q (B,) -> scalar."""
    return (q_values.float() - target_q.float()).square().mean(dim=1).sum()


def expectile_loss(values: Tensor, targets: Tensor, expectile: float) -> Tensor:
    r"""Asymmetric squared error :math:`|\tau - 1(u < 0)| u^2` with `u = targets - values`; 0.5 is half the mean square.

    Source: implicit Q-learning (Kostrikov et al., 2021), equation 3. Both arguments are (B,).

    >>> expectile_loss(torch.zeros(2), torch.tensor([1.0, -1.0]), 0.7)
    tensor(0.5000)
    """
    error = targets.float() - values.float()
    weight = torch.where(error < 0, 1.0 - expectile, expectile)
    return (weight * error.square()).mean()


def conservative(q_values: Tensor, deviations: float | None = None) -> Tensor:
    """A pessimistic value of an ensemble: q_values (C, ...) -> (...).

    Args:
        q_values: estimates of C critics.
        deviations: None takes the minimum over critics; a number k takes `mean - k * std` (population std).

    >>> conservative(torch.tensor([[1.0], [3.0]])), conservative(torch.tensor([[1.0], [3.0]]), 2.0)
    (tensor([1.]), tensor([0.]))
    """
    if deviations is None:
        return q_values.amin(dim=0)
    return q_values.mean(dim=0) - deviations * q_values.std(dim=0, correction=0)


def gaussian_loss(
    mean: Tensor, deviation: Tensor, targets: Tensor, beta: float = 0.5, weights: Tensor | None = None
) -> Tensor:
    r"""Negative log-likelihood of a diagonal Gaussian, each term weighted by its variance to the power of `beta`.

    .. math:: \sum_i \lfloor\sigma_i^{2\beta}\rfloor \left(\frac{(a_i - \mu_i)^2}{2 \sigma_i^2} + \log \sigma_i\right)

    where the brackets stop the gradient. 0 is the likelihood, whose mean learns nothing where the deviation is large;
    1 gives the mean the gradient of a squared error, which noisy states dominate. With a deviation of 1 it is half the
    squared error. Source: Seitzer et al., 2022, "On the Pitfalls of Heteroscedastic Uncertainty Estimation".

    Args:
        mean: (B, A).
        deviation: (B, A), positive.
        targets: (B, A).
        beta: in [0, 1].
        weights: (B,) of the terms; None is 1.

    Returns:
        A scalar: summed over A, mean over the batch.

    >>> gaussian_loss(torch.zeros(1, 2), torch.ones(1, 2), torch.tensor([[1.0, 3.0]]))
    tensor(5.)
    """
    mean, deviation, targets = mean.float(), deviation.float(), targets.float()
    terms = 0.5 * ((targets - mean) / deviation).square() + deviation.log()
    losses = (terms * deviation.detach() ** (2.0 * beta)).sum(dim=-1)
    return losses.mean() if weights is None else (weights * losses).mean()


def advantage_weights(advantages: Tensor, beta: float, largest: float) -> Tensor:
    r"""Weights :math:`\min(e^{\beta A}, c)` of advantage-weighted cloning: (B,) -> (B,).

    Source: implicit Q-learning (Kostrikov et al., 2021), equation 7, clipped as the authors' code clips it.

    >>> advantage_weights(torch.tensor([0.0, 1000.0]), beta=3.0, largest=100.0)
    tensor([  1., 100.])
    """
    return (beta * advantages).exp().clamp(max=largest)


def gaussian_kl(mean: Tensor, log_std: Tensor) -> Tensor:
    """KL(N(mean, exp(log_std)^2) || N(0, I)), summed over L: (B, L), (B, L) -> (B,)."""
    kl = 0.5 * (mean.square() + (2.0 * log_std).exp() - 1.0) - log_std
    return kl.sum(dim=-1)


def manifold_loss(
    decoded: Tensor, residuals: Tensor, mean: Tensor, log_std: Tensor, beta: float, weights: Tensor | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Evidence bound of the residual manifold: squared error summed over A, plus `beta` times the KL to the prior.

    Means over the batch, weighted ones if there are weights.

    Args:
        decoded: (B, A), decoded standardized residuals.
        residuals: (B, A), the data's, standardized.
        mean: (B, L), of the encoder's Gaussian.
        log_std: (B, L), likewise.
        beta: weight of the KL term.
        weights: (B,), of any sum.
    """
    reconstruction = (decoded.float() - residuals.float()).square().sum(dim=-1)
    kl = gaussian_kl(mean.float(), log_std.float())
    if weights is not None:
        weights = weights / weights.mean()
        reconstruction, kl = weights * reconstruction, weights * kl
    reconstruction, kl = reconstruction.mean(), kl.mean()
    return reconstruction + beta * kl, {"fit/reconstruction": reconstruction.detach(), "fit/kl": kl.detach()}


def latent_candidates(latents: Tensor, noise: Tensor, sigma: float, bound: float) -> Tensor:
    """The policy's own latent and K - 1 neighbours in the box: (B, L), noise (K - 1, B, L) -> (K, B, L)."""
    neighbours = (latents + sigma * noise).clamp(-bound, bound)
    return torch.cat([latents.unsqueeze(0), neighbours])


def self_imitation_weights(values: Tensor, candidates: Tensor, sigma: float, kappa: float) -> Tensor:
    r"""Weights of latent self-imitation: value against the prior, both on a scale free of the reward's.

    .. math::
        J_k = \kappa (\bar q_k - \overline{\bar q}) / \mathrm{slope} - |z_k|^2 / 2, \qquad
        w = \mathrm{softmax}_k (J_k / \overline{\mathrm{std}_k(J_k)})

    with `q` averaged over critics, and `slope` the mean over states *and critics* of `std_k(q_ck) / sigma`: how fast a
    critic's value rises per unit of latent. Conservative on the difference between candidates: what critics agree on
    survives their average, what they do not agree on is averaged away, but counts in the slope. So the policy's pull
    against the prior shrinks with the critics' agreement, `agreement` below.

    Args:
        values: (C, K, B), of the candidates according to each critic.
        candidates: (K, B, L), their latents; the first is the policy's own.
        sigma: standard deviation of the candidates around the policy.
        kappa: prior standard deviations that a unit of value slope may buy, if all critics agree.

    Returns:
        (K, B), summing to one over K.
    """
    values = values.float()
    slope = values.std(dim=1, correction=0).mean() / sigma + SCALE_EPSILON
    value = values.mean(dim=0)
    objective = kappa * (value - value.mean(dim=0)) / slope - 0.5 * candidates.float().square().sum(dim=-1)
    temperature = objective.std(dim=0, correction=0).mean() + SCALE_EPSILON
    return torch.softmax(objective / temperature, dim=0)


def agreement(values: Tensor) -> Tensor:
    """How far critics agree on the differences between candidates: (C, K, B) -> scalar in [0, 1], 1 if fully.

    The spread of the average value over candidates, relative to the average spread of a critic's value.

    >>> agreement(torch.tensor([[[1.0], [3.0]], [[1.0], [3.0]]]))
    tensor(1.)
    >>> agreement(torch.tensor([[[1.0], [3.0]], [[3.0], [1.0]]]))
    tensor(0.)
    """
    values = values.float()
    return values.mean(dim=0).std(dim=0, correction=0).mean() / (
        values.std(dim=1, correction=0).mean() + SCALE_EPSILON**2
    )


def weighted_mean(weights: Tensor, candidates: Tensor) -> Tensor:
    """Average of candidates under their weights: (K, B), (K, B, D) -> (B, D), without a reduced-precision matmul."""
    return (weights.unsqueeze(-1) * candidates.float()).sum(dim=0)


def imitation_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Squared distance, summed over the last dimension, mean over the batch: (B, D), (B, D) -> scalar."""
    return (prediction.float() - target.float()).square().sum(dim=-1).mean()


def smoothed_actions(actions: Tensor, noise: Tensor, bound: float) -> Tensor:
    r"""Target policy smoothing :math:`\mathrm{clip}(a + \mathrm{clip}(\epsilon, -c, c), -1, 1)`.

    Source: TD3 (Fujimoto et al., 2018), equation 14.

    Args:
        actions: (B, A), scaled to [-1, 1].
        noise: (B, A).
        bound: largest size of the noise, `c`.

    >>> smoothed_actions(torch.tensor([[0.0, 0.9]]), torch.tensor([[-2.0, 0.3]]), bound=0.5)
    tensor([[-0.5000,  1.0000]])
    """
    return (actions + noise.clamp(-bound, bound)).clamp(-1.0, 1.0)


def value_and_cloning_loss(q_values: Tensor, policy_actions: Tensor, actions: Tensor, alpha: float) -> Tensor:
    r"""Loss of an actor that climbs values and stays near data: :math:`|\pi - a|^2 / A - \lambda Q` in the mean.

    :math:`\lambda = \alpha / \overline{|Q|}` is a constant for the gradient: the scale of the reward falls out.
    Source: TD3+BC (Fujimoto & Gu, 2021), equation 5.

    Args:
        q_values: (B,), of the policy's actions.
        policy_actions: (B, A), scaled to [-1, 1].
        actions: (B, A), the data's, likewise.
        alpha: weight of the value.

    >>> value_and_cloning_loss(torch.tensor([10.0, 30.0]), torch.zeros(2, 1), torch.ones(2, 1), alpha=2.5)
    tensor(-1.5000)
    """
    q_values = q_values.float()
    weight = alpha / (q_values.detach().abs().mean() + SCALE_EPSILON)
    return (policy_actions.float() - actions.float()).square().mean() - weight * q_values.mean()


@torch.no_grad()
def update_average(averages: Sequence[Tensor], sources: Sequence[Tensor], tau: float | Tensor) -> None:
    """Move averages towards sources in place, `average += tau * (source - average)`: target networks, slow policies."""
    torch._foreach_lerp_(list(averages), list(sources), [tau] * len(averages) if isinstance(tau, Tensor) else tau)


def moments(chunks: Callable[[], Iterable[Tensor]], count: int) -> tuple[Tensor, Tensor]:
    """Mean and (population) standard deviation (K,) in float64; two passes: a difference of large squares loses digits.

    Args:
        chunks: gives all rows, as chunks (B, K), each time that it is called.
        count: number of rows.

    >>> moments(lambda: [torch.tensor([[1.0], [3.0]])], 2)
    (tensor([2.], dtype=torch.float64), tensor([1.], dtype=torch.float64))
    """
    mean = _column_sums(chunk.double() for chunk in chunks()) / count
    return mean, (_column_sums((chunk.double() - mean).square_() for chunk in chunks()) / count).sqrt()


def _column_sums(chunks: Iterable[Tensor]) -> Tensor:
    total = None
    for chunk in chunks:
        # Added in place: small results kept between large intermediate ones would fragment the heap.
        total = chunk.sum(0) if total is None else total.add_(chunk.sum(0))
    assert total is not None  # there is at least one row
    return total
