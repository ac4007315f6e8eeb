import gymnasium as gym
import numpy as np
import pytest
from toy_environment import STEPS, Constant, ToyEnvironment, bonus

from spar_lightning.evaluation import EpisodeRunner, rollout
from spar_lightning.types import UserError


class EndsEarly:
    """Ends the episode at once where the bonus is large."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def act(self, observations):
        self.calls.append(len(observations))
        return np.where(observations[:, :1] > 0.5, -1.0, 0.25)


def test_returns_and_lengths_of_each_seed_are_those_worked_out_by_hand():
    result = rollout(Constant(0.5), ToyEnvironment, [3, 8])
    assert result.seeds == [3, 8]
    np.testing.assert_allclose(result.returns, [STEPS * (0.5 + bonus(3)), STEPS * (0.5 + bonus(8))])
    assert result.returns.dtype == np.float64
    assert result.lengths.tolist() == [STEPS, STEPS]
    assert result.lengths.dtype == np.int64
    assert result.trajectories is None


def test_an_ended_episode_costs_nothing_more():
    seeds = list(range(12))
    early = [bonus(seed) > 0.5 for seed in seeds]
    policy = EndsEarly()
    result = rollout(policy, ToyEnvironment, seeds)
    expected = [
        -1.0 + bonus(seed) if end else STEPS * (0.25 + bonus(seed)) for seed, end in zip(seeds, early, strict=True)
    ]
    np.testing.assert_allclose(result.returns, expected, rtol=1e-6)
    assert result.lengths.tolist() == [1 if end else STEPS for end in early]
    assert policy.calls == [12] + [12 - sum(early)] * (STEPS - 1)


def test_a_recorded_trajectory_holds_what_was_observed_and_done():
    result = rollout(Constant(0.5), ToyEnvironment, [3], record=True)
    (observations, actions), *others = result.trajectories
    assert not others
    np.testing.assert_allclose(observations, [[bonus(3), time] for time in range(STEPS)])
    np.testing.assert_array_equal(actions, np.full((STEPS, 1), 0.5))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_non_finite_action_is_an_error_that_names_step_and_seed_and_closes_the_environments(bad):
    class TurnsBad(Constant):
        def act(self, observations):
            actions = super().act(observations)
            actions[-1] = bad if len(self.calls) == 3 else 0.0
            return actions

    before = ToyEnvironment.opened
    with pytest.raises(UserError, match=r"step 2 of the episode with seed 8"):
        rollout(TurnsBad(0.0), ToyEnvironment, [3, 8])
    assert ToyEnvironment.opened == before


def test_environments_are_kept_between_calls_and_episodes_do_not_depend_on_it():
    before = ToyEnvironment.opened
    with EpisodeRunner(ToyEnvironment) as runner:
        first = runner.run(Constant(0.5), [1, 2])
        runner.run(Constant(0.1), [5])
        again = runner.run(Constant(0.5), [1, 2])
        assert ToyEnvironment.opened == before + 2
    assert ToyEnvironment.opened == before
    np.testing.assert_array_equal(first.returns, again.returns)


def test_many_episodes_take_turns_in_a_few_hundred_environments():
    class Watching(EndsEarly):
        most = 0

        def act(self, observations):
            self.most = max(self.most, ToyEnvironment.opened - before)
            return super().act(observations)

    before, seeds, policy = ToyEnvironment.opened, range(3, 1003), Watching()
    with EpisodeRunner(ToyEnvironment) as runner:
        found = runner.run(policy, seeds, record=True, action_noise=0.1)
        alone = [runner.run(policy, [seed], record=True, action_noise=0.1) for seed in seeds]
        assert len(runner.run(policy, seeds).returns) == 1000
    assert policy.most == max(policy.calls) < 500
    assert found.seeds == [*seeds]
    for name in ("returns", "lengths", "terminated"):
        np.testing.assert_array_equal(getattr(found, name), np.concatenate([getattr(one, name) for one in alone]))
    assert len(set(found.lengths)) == 2
    for place, one in enumerate(alone):
        np.testing.assert_array_equal(found.rewards[place], one.rewards[0])
        for array, expected in zip(found.trajectories[place], one.trajectories[0], strict=True):
            np.testing.assert_array_equal(array, expected)


def test_no_seeds_give_empty_results():
    result = rollout(Constant(0.5), ToyEnvironment, [], record=True)
    assert result.returns.shape == result.lengths.shape == (0,)
    assert result.trajectories == []


@pytest.mark.slow
def test_walker_episodes_are_reproducible_in_any_company():
    policy = Constant(0.1)
    policy.act = lambda observations: np.full((len(observations), 6), 0.1, dtype=np.float32)
    together = rollout(policy, lambda: gym.make("Walker2d-v5"), [0, 1, 2])
    alone = rollout(policy, lambda: gym.make("Walker2d-v5"), [1])
    assert together.returns[1] == alone.returns[0]
    assert together.lengths[1] == alone.lengths[0] > 1


def test_noise_on_the_actions_is_the_same_for_every_policy_and_stays_in_bounds():
    with EpisodeRunner(ToyEnvironment) as runner:
        plain = runner.run(Constant(0.2), [3, 8], record=True)
        noisy = runner.run(Constant(0.2), [3, 8], record=True, action_noise=0.1)
        other = runner.run(Constant(0.4), [8], record=True, action_noise=0.1)
        wild = runner.run(Constant(0.2), range(20), record=True, action_noise=1.0)
    noise = [b[1] - a[1] for a, b in zip(plain.trajectories, noisy.trajectories, strict=True)]
    assert not np.allclose(noise[0], noise[1])
    np.testing.assert_allclose(other.trajectories[0][1] - 0.4, noise[1], atol=1e-6)
    np.testing.assert_allclose(noisy.returns - plain.returns, [part.sum() for part in noise], atol=1e-5)
    actions = np.concatenate([actions for _, actions in wild.trajectories])
    assert np.abs(actions).max() == 1.0
    # Half the range is 1: a deviation of 1, clipped to [-1, 1].
    assert 0.5 < actions.std() < 0.9
