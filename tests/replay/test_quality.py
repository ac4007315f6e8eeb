"""Data that can be read, and would teach something else than was meant: the same rules in `info` and `fit`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from array_files import write_arrays

from spar_lightning.datasets import open_dataset
from spar_lightning.inspection import describe
from spar_lightning.replay import OfflineDataModule
from spar_lightning.replay.quality import chunk
from spar_lightning.simulators.environments import silence_mujoco
from spar_lightning.types import DataError

Arrays = dict[str, Any]


def sane(rows: int = 200, length: int = 20, seed: int = 0) -> Arrays:
    """Episodes of noise with rewards that differ, cut off after `length` steps each."""
    random = np.random.default_rng(seed)
    arrays = {
        "actions": random.uniform(-1, 1, size=(rows, 2)).astype(np.float32),
        "rewards": random.normal(size=rows).astype(np.float32),
        "terminals": np.zeros(rows, bool),
        "timeouts": np.arange(rows) % length == length - 1,
    }
    return observing(arrays, random.normal(size=(rows, 3)))


def observing(arrays: Arrays, observations: np.ndarray[Any, Any]) -> Arrays:
    """The arrays with other observations (N, O), each the next one of the row before it in the episode."""
    following = np.roll(observations, -1, axis=0)
    ends = arrays["timeouts"].copy()
    ends[-1] = True
    following[ends] = observations[ends] + 1
    return arrays | {"observations": observations, "next_observations": following}


class Told:
    """What `info` and `fit` say of arrays."""

    def __init__(self, path: Path, arrays: Arrays, environment: str | None = None, **settings: Any) -> None:
        name = write_arrays(path, **arrays)
        self.defects = describe(open_dataset(name).evaluated_in(environment, None)).defects
        self.data = OfflineDataModule(name, environment=environment, validation_fraction=0, **settings)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                self.data.setup()
                self.refusal = ""
            except DataError as error:
                self.refusal = str(error)
        self.warnings = [str(warning.message) for warning in caught]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Told]:
    """Writes arrays to a file, and asks both commands; `fit` looks at chunks of a few rows."""
    monkeypatch.setattr(chunk, "_ROWS", 70)
    return partial(Told, tmp_path / "mine.npz")


def test_sane_data_are_let_pass(told: Callable[..., Told]) -> None:
    found = told(sane())
    assert (found.defects, found.refusal, found.warnings) == ([], "", [])


@pytest.mark.parametrize(
    ("bonus", "flagged", "tells"), [(100.0, False, True), (100.0, True, False), (0.0, False, False)], ids=str
)
def test_a_reward_that_only_last_steps_have_is_not_lost_in_silence(
    told: Callable[..., Told], bonus: float, flagged: bool, tells: bool
) -> None:
    arrays = sane()
    del arrays["next_observations"]
    ends = arrays["timeouts"]
    arrays["rewards"] = np.where(ends & (bonus > 0), bonus, arrays["rewards"])
    if flagged:
        arrays |= {"terminals": ends, "timeouts": np.zeros_like(ends)}
    found = told(arrays)
    words = "last steps of 10 episodes are left out", "in 10 of them the reward, such as 100, is unlike all"
    for said in (found.defects, found.warnings, *(told(arrays, storage="map").warnings for _ in ("made", "there"))):
        assert any(all(word in one for word in words) for one in said) is tells


def test_an_environment_of_another_shape_is_a_defect(told: Callable[..., Told], tmp_path: Path) -> None:
    name = write_arrays(tmp_path / "other.npz", **sane())
    for environment, words in {
        "Hopper-v5": "its observations have the shape (11,), those of the data (3,)",
        "CartPole-v1": "its actions are Discrete(2), those of the data 2 numbers",
    }.items():
        found = describe(open_dataset(name).evaluated_in(environment, None))
        assert any(f"{environment} is not that of the data" in one and words in one for one in found.defects)
        assert found.scores.low is None


def test_units_from_0_on_are_moved_too(told: Callable[..., Told]) -> None:
    arrays = sane()
    arrays["actions"] = ((arrays["actions"] + 1) * 127.5).astype(np.float32)
    found = told(arrays | observing(arrays, np.random.default_rng(0).normal(size=(200, 17))), None)
    assert not any("other units" in one for one in found.defects), "without bounds there is nothing to say"
    arrays["actions"] = np.repeat(arrays["actions"], 3, axis=1)
    found = told(observing(arrays, np.random.default_rng(0).normal(size=(200, 17))), "HalfCheetah-v5")
    assert "-1 + 2 * (actions - 0) / 25" in found.refusal
    arrays["actions"] = np.full_like(arrays["actions"], 255)  # equal ones have no range
    found = told(observing(arrays, np.random.default_rng(0).normal(size=(200, 17))), "HalfCheetah-v5")
    assert "Divided by 255 they would fit" in found.refusal


# ------------------------------------------------------------------------------------------------- resets as rows


@cache
def vector_recording(name: str, steps: int, members: int, **settings: Any) -> Arrays:
    """All steps of a vector environment, as a user writes them down, one member after the other, each cut at its end.

    `reset` marks the odd rows.
    """
    silence_mujoco()  # else it writes into the working folder
    environments = gym.make_vec(name, num_envs=members, vectorization_mode="sync", **settings)
    environments.action_space.seed(0)
    observations, _ = environments.reset(seed=0)
    rows, was_end = [], np.zeros(members, bool)
    for step in range(steps):
        actions = environments.action_space.sample()
        following, rewards, terminated, truncated, _ = environments.step(actions)
        last = truncated | (step == steps - 1)
        rows.append((observations.copy(), actions, rewards, following.copy(), terminated, last, was_end))
        observations, was_end = following, terminated | truncated
    environments.close()
    names = ("observations", "actions", "rewards", "next_observations", "terminals", "timeouts", "reset")
    arrays = {
        name: np.concatenate(np.array(column).swapaxes(0, 1))
        for name, column in zip(names, zip(*rows, strict=True), strict=True)
    }
    arrays["actions"] = arrays["actions"].astype(np.float32)
    return arrays


@pytest.mark.parametrize(
    ("name", "limit", "sparse", "storage", "members"),
    [
        ("Hopper-v5", 1000, False, "memory", 1),
        ("Hopper-v5", 1000, False, "map", 1),
        ("Hopper-v5", 1000, True, "memory", 1),
        ("HalfCheetah-v5", 100, False, "memory", 1),
        # No reset is where the rows of one member end and those of another begin.
        ("Hopper-v5", 1000, False, "map", 8),
        ("Hopper-v5", 1000, True, "memory", 8),
        ("HalfCheetah-v5", 100, False, "memory", 8),  # one whole episode each
    ],
)
def test_resets_of_a_vector_environment(
    told: Callable[..., Told], name: str, limit: int, sparse: bool, storage: str, members: int
) -> None:
    arrays = dict(vector_recording(name, 1000 // members, members, max_episode_steps=limit))
    resets = arrays.pop("reset")
    if sparse:
        arrays["rewards"] = (np.arange(1000) % 97 == 0) * 1.0 * ~resets
    found = told(arrays, storage=storage)
    expected = f"{resets.sum():,} rows after the ends of episodes are no steps but resets"
    assert [expected in defect for defect in found.defects] == [True]
    assert expected in found.refusal
    assert "`data.drop_reset_rows: true`" in found.refusal
    found = told(arrays, storage=storage, drop_reset_rows=True)
    assert found.refusal == ""
    assert torch.equal(found.data.transitions.observations, torch.tensor(arrays["observations"][~resets]).float())
    ends = (arrays["terminals"] | arrays["timeouts"])[~resets]
    ends[-1] = True
    assert torch.equal(found.data.transitions.episode_ends, torch.from_numpy(ends))


def test_an_episode_may_begin_so_once(told: Callable[..., Told]) -> None:
    arrays = sane()
    arrays["next_observations"][19] = arrays["observations"][20]
    arrays["rewards"][20] = 0
    found = told(arrays, drop_reset_rows=True)
    assert (found.defects, found.refusal) == ([], "")
    assert ["`data.drop_reset_rows` is set, but no rows look like resets" in text for text in found.warnings] == [True]
    assert len(found.data.transitions) == 200


@pytest.mark.parametrize("breaks", [0, 8])
def test_a_stream_that_was_cut_may_have_sparse_rewards_and_changing_goals(
    told: Callable[..., Told], breaks: int
) -> None:
    walk = np.cumsum(np.random.default_rng(0).normal(size=(401, 3)), axis=0).astype(np.float32)
    goals = np.repeat(np.arange(20), 20)[:, None].astype(np.float32)
    arrays = sane(400)
    # The goal is another one from the second step of an episode on, as in Gymnasium-Robotics' PointMaze.
    arrays["observations"] = np.concatenate([walk[:-1], np.roll(goals, 1)], axis=1)
    arrays["next_observations"] = np.concatenate([walk[1:], goals], axis=1)
    arrays["rewards"] = (np.arange(400) % 20 == 19) * 1.0
    arrays["next_observations"][19 : 20 * breaks : 20, :3] += 1  # other streams begin there
    found = told(arrays)
    assert (found.defects, found.refusal, found.warnings) == ([], "", [])


@pytest.mark.parametrize("seed", range(4))
def test_a_stream_that_was_cut_may_have_differences_as_rewards(told: Callable[..., Told], seed: int) -> None:
    walk = np.cumsum(np.random.default_rng(seed).normal(size=(401, 4)), axis=0).astype(np.float32)
    arrays = sane(400) | {"observations": walk[:-1], "next_observations": walk[1:]}
    arrays["rewards"] = np.diff(walk[:-1, 0].reshape(20, 20), axis=1, prepend=walk[:-1:20, :1]).reshape(-1)
    found = told(arrays)
    assert (found.defects, found.refusal, found.warnings) == ([], "", [])


# --------------------------------------------------------------------------------------------------------- the ends


def test_terminations_at_the_time_limit(told: Callable[..., Told]) -> None:
    arrays = sane(1000, length=2000)
    arrays["actions"] = arrays["actions"][:, :1]
    arrays["terminals"] = np.isin(np.arange(1000), np.cumsum([200, 30, 40, 50, 60]) - 1)
    assert told(arrays, "Pendulum-v1").warnings == [], "one may be chance"
    arrays["terminals"] = np.isin(np.arange(1000), np.cumsum([200, 30, 40, 50, 60, 199, 200]) - 1)
    found = told(arrays, "Pendulum-v1")
    (warning,) = found.warnings
    assert "3 of 7 terminations are just at the time limit: are they time-outs?" in warning
    assert "set `truncations` (`timeouts`) there, and `terminations` (`terminals`) to 0" in warning
    assert [warning.endswith(defect) for defect in found.defects] == [True]


def test_ends_that_are_flagged_twice(told: Callable[..., Told]) -> None:
    arrays = sane()
    arrays["timeouts"][[39, 50]] = False, True
    arrays["terminals"] = arrays["timeouts"]
    found = told(arrays)
    assert [": All 10 terminations are flagged as truncations as well" in text for text in found.warnings] == [True]
    assert [warning.endswith(*found.defects) for warning in found.warnings] == [True]


@pytest.mark.parametrize("rows", [200, 190])
def test_terminations_after_always_the_same_time(told: Callable[..., Told], rows: int) -> None:
    arrays = sane(rows)
    arrays["terminals"], arrays["timeouts"] = arrays["timeouts"], arrays["terminals"]
    found = told(arrays)
    assert ["with a termination after the same 20 steps: are" in text for text in found.warnings] == [True]
    assert [warning.endswith(*found.defects) for warning in found.warnings] == [True]


def test_terminations_at_all_times_or_at_once(told: Callable[..., Told]) -> None:
    arrays = sane()
    arrays["terminals"] = np.isin(np.arange(200), (17, 55, 56, 199))
    assert told(arrays).warnings == []
    arrays["terminals"] = np.ones(200, bool)  # a bandit, whose next states are not the following ones
    arrays["next_observations"] = arrays["next_observations"] + 1
    assert told(arrays).warnings == []


# ------------------------------------------------------------------------------------------------------- the values


@pytest.mark.parametrize("value", [0, 0.5])
def test_rewards_that_are_all_equal(told: Callable[..., Told], value: float) -> None:
    found = told(sane() | {"rewards": np.full(200, value)})
    (warning,) = found.warnings
    assert f"All rewards are equal ({value:g}): only cloning is meaningful" in warning
    assert [warning.endswith(defect) for defect in found.defects] == [True]


def test_equal_rewards_up_to_a_termination(told: Callable[..., Told]) -> None:
    terminals = np.isin(np.arange(200), (17, 55, 199))
    found = told(sane() | {"rewards": np.full(200, -1.0), "terminals": terminals})
    assert "apart from when episodes terminate, only cloning is meaningful" in found.warnings[0]


@pytest.mark.parametrize(
    ("column", "rows", "value"),
    [("observations", 200, 1e30), ("observations", 50, -1e30), ("rewards", 200, 1e30), ("actions", 200, 1e8)],
)
def test_one_absurd_value(told: Callable[..., Told], column: str, rows: int, value: float) -> None:
    arrays = sane(rows, length=5)
    arrays[column].reshape(rows, -1)[5, 0] = value
    found = told(arrays)
    (warning,) = found.warnings
    place = f"`{column}` is {value:.4g} in dimension 0 at step 0 of episode 1, "
    assert place in warning
    ratio = float(warning.split(place)[1].split(" times")[0])
    assert abs(value) / 3 < ratio < abs(value) * 3
    assert [warning.endswith(defect) for defect in found.defects] == [True]


def test_an_absurd_value_among_equal_ones(told: Callable[..., Told]) -> None:
    for elsewhere in (0.0, 1.0):
        arrays = sane()
        arrays = observing(arrays, arrays["observations"] * [1, 0, 1] + [0, elsewhere, 0])
        arrays["observations"][0, 1] = 1e30
        (warning,) = told(arrays).warnings
        assert "in dimension 1 at step 0 of episode 0" in warning


@pytest.mark.parametrize("kind", ["cauchy", "log-normal", "bonus", "contact", "at rest", "clock", "far away"])
def test_heavy_tails_are_sane(told: Callable[..., Told], kind: str) -> None:
    random, rows = np.random.default_rng(0), 20_000
    values = {
        "cauchy": lambda: random.standard_cauchy(rows),
        "log-normal": lambda: random.lognormal(0, 3, rows),
        "bonus": lambda: np.where(random.random(rows) < 0.002, 1e5, -1e-4 * random.random(rows)),
        "contact": lambda: np.where(random.random(rows) < 1e-4, random.random(rows), 0),
        "at rest": lambda: np.where(np.arange(rows) < 19_000, 1e-15, 1) * random.normal(size=rows),
        "clock": lambda: np.arange(rows) * 1.0,
        "far away": lambda: 1e8 + np.round(random.random(rows)) * 80_000,
    }[kind]()
    arrays = sane(rows, 1000) | {"rewards": values}
    arrays = observing(arrays, np.column_stack([arrays["observations"][:, :2], values]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunk, "_ROWS", 3000)
        found = told(arrays)
    assert (found.defects, found.refusal, found.warnings) == ([], "", [])


# -------------------------------------------------------------------------------------------------------- the units


def hopper_like(scale: float | list[float], rows: int = 200) -> Arrays:
    random = np.random.default_rng(0)
    actions = (random.uniform(-1, 1, size=(rows, 3)) * scale).astype(np.float32)
    return observing(sane(rows), random.normal(size=(rows, 11))) | {"actions": actions}


def test_actions_in_other_units(told: Callable[..., Told]) -> None:
    found = told(hopper_like(300.0), "Hopper-v5")
    assert "99.5% of the action values are outside" in found.refusal
    assert "where -1 to 1 is expected" in found.refusal
    assert "Divided by 300 they would fit" in found.refusal
    assert [found.refusal.endswith(defect) for defect in found.defects] == [True]
    assert told(hopper_like(300.0)).refusal == "", "without bounds nothing is outside"


def test_one_dimension_in_other_units(told: Callable[..., Told]) -> None:
    found = told(hopper_like([1.0, 57.3, 1.0]), "Hopper-v5")
    assert "of the action values of dimension 1 are outside" in found.refusal
    assert 56 < float(found.refusal.split("Divided by ")[1].split()[0]) < 57.3


def test_actions_that_the_environment_clipped_are_only_told(told: Callable[..., Told]) -> None:
    found = told(hopper_like(1.8), "Hopper-v5")
    assert (found.defects, found.refusal) == ([], "")
    assert ["are clipped where a policy needs it" in warning for warning in found.warnings] == [True]


def test_actions_far_smaller_than_their_bounds(told: Callable[..., Told]) -> None:
    found = told(hopper_like([0.01, 0.02, 0.005]), "Hopper-v5")
    (warning,) = found.warnings
    assert "No action comes near the environment's bounds: at most 0.0" in warning
    assert "where -1 to 1 is allowed in dimension 1" in warning
    assert [warning.endswith(defect) for defect in found.defects] == [True]
    assert told(hopper_like([0.01, 0.2, 0.005]), "Hopper-v5").warnings == [], "one dimension may be hardly used"
    assert told(hopper_like(0.01)).warnings == [], "without bounds none is far"


# -------------------------------------------------------------------------------------------------- order and scale


@pytest.mark.parametrize("wrong", ["shifted", "exchanged", "shuffled", "every other row", "some left out", "no ends"])
def test_rows_that_do_not_follow_one_another(told: Callable[..., Told], wrong: str) -> None:
    arrays = sane()
    if wrong == "shifted":
        arrays["next_observations"] = np.roll(arrays["next_observations"], 1, axis=0)
    elif wrong == "exchanged":
        names = "observations", "next_observations"
        arrays |= dict(zip(names, (arrays[name] for name in reversed(names)), strict=True))
    elif wrong == "no ends":
        arrays["timeouts"][[59, 79, 99]] = False
    else:
        kept = {
            "shuffled": np.random.default_rng(1).permutation(200),
            "every other row": np.arange(1, 200, 2),
            "some left out": np.setdiff1d(np.arange(200), np.arange(5, 200, 40)),
        }[wrong]
        arrays = {name: values[kept] for name, values in arrays.items()}
    found = told(arrays)
    (warning,) = found.warnings
    assert "`next_observations` within episodes are not what the next row observes, first at step " in warning
    assert "sort them by episode and time, and flag each end" in warning
    assert [warning.endswith(defect) for defect in found.defects] == [True]


def test_next_observations_may_be_rounded_and_a_slip_is_no_disorder(told: Callable[..., Told]) -> None:
    arrays = sane()
    arrays["next_observations"] = np.float16(arrays["next_observations"])
    arrays["next_observations"][100] = 5
    assert told(arrays).warnings == []


def test_what_is_measured_twice_or_chosen_anew_is_no_disorder(told: Callable[..., Told]) -> None:
    arrays, random = sane(), np.random.default_rng(2)
    arrays["next_observations"] = arrays["next_observations"] + 0.05 * random.normal(size=(200, 3))
    assert told(arrays).warnings == []
    arrays = sane()
    arrays["next_observations"][:, 2] = random.normal(size=200)  # a goal, say
    assert told(arrays).warnings == []


def test_a_slow_system_that_is_shuffled(told: Callable[..., Told]) -> None:
    arrays = sane()
    walk = 1 + 2e-5 * np.arange(200)[:, None] * [1, -1, 2]
    arrays = observing(arrays, walk)
    assert not any("next row observes" in warning for warning in told(arrays).warnings)
    arrays = {name: values[np.random.default_rng(1).permutation(200)] for name, values in arrays.items()}
    assert any("next row observes" in warning for warning in told(arrays).warnings)


def test_actions_that_are_all_equal(told: Callable[..., Told]) -> None:
    (warning,) = told(sane() | {"actions": np.full((200, 2), 0.3)}, None, **{}).warnings
    assert "All actions are equal: there is nothing to choose" in warning


def test_noise_that_the_environment_clips_is_told_and_not_refused(told: Callable[..., Told]) -> None:
    random = np.random.default_rng(0)
    found = told(hopper_like(1.0) | {"actions": random.normal(size=(200, 3)) * 2}, "Hopper-v5")
    assert found.refusal == ""
    assert any("of the action values are outside the environment's bounds" in warning for warning in found.warnings)


def test_where_the_order_breaks_is_said(told: Callable[..., Told]) -> None:
    arrays = sane()
    arrays["next_observations"][[69, 70, 71, 72]] += 1  # rows 69 and 70 are in two chunks
    (warning,) = told(arrays).warnings
    assert "4 of 190 `next_observations` within episodes" in warning
    assert "first at step 9 of episode 3:" in warning


def test_terminations_that_say_the_contrary(told: Callable[..., Told]) -> None:
    """Flags of 'not done' end each row; the next begins where it has ended."""
    arrays = sane()
    found = told(arrays | {"terminals": np.ones(200, bool), "timeouts": np.zeros(200, bool)})
    (warning,) = found.warnings
    assert "All 200 rows are terminations, and yet 190 of the next ones go on where they have ended" in warning
    assert [warning.endswith(defect) for defect in found.defects] == [True]


@pytest.mark.parametrize(
    ("observations", "told_of"),
    [
        (lambda walk: 0 * walk + 3, "No observation ever changes"),
        (lambda walk: walk * 1e-6, "dimensions of `observations` that move at all do so by "),
        (lambda walk: walk * 1e-5 + [0, 48, 0], None),  # the first and the last are under the floor as well
        (lambda walk: walk * [1, 1e-5, 1] + [0, 48, 0], "in dimension 1, where float32 tells but"),  # degrees
        (lambda walk: walk * [1, 0, 1] + [0, 1.7e9, 0] + np.arange(200)[:, None] * [0, 2, 0], "in dimension 1, "),
        (lambda walk: walk * [1, 0, 1] + [0, 48.1, 0], ""),  # a constant is no loss
        (lambda walk: walk * [1, 1e-5, 1], ""),  # one may move little
        (
            lambda walk: (walk > 0) * [1, 0, 0] + walk * [0, 1e-5, 1e-5],
            "2 of the 3 dimensions of `observations` that mo",
        ),
        (lambda walk: walk * [1, 1e-6, 1] + [0, 1, 0], ""),  # such as a quaternion's part
        (lambda walk: walk * [1, 0, 1] + [0, 2e7, 0], ""),  # such as a number that names the robot
    ],
)
def test_observations_that_look_all_the_same(
    told: Callable[..., Told], observations: Callable[[Any], Any], told_of: str | None
) -> None:
    arrays = sane()
    found = told(observing(arrays, observations(arrays["observations"])))
    if told_of == "":
        assert found.warnings == []
        return
    assert [warning.endswith(defect) for warning, defect in zip(found.warnings, found.defects, strict=True)]
    assert [(told_of or "that move at all do so by") in warning for warning in found.warnings][-1:] == [True]


def test_info_measures_actions_by_the_environment_that_is_named(tmp_path: Path) -> None:
    name = write_arrays(tmp_path / "mine.npz", **hopper_like(1.8))
    bounds = describe(open_dataset(name).evaluated_in("Hopper-v5", None)).action_bounds
    np.testing.assert_array_equal(bounds.low, -np.ones(3))
    assert 0.3 < bounds.outside < 0.6
    assert np.isnan(describe(open_dataset(name)).action_bounds.outside)
