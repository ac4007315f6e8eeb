from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from spar_lightning.datasets import Episode
from spar_lightning.replay import PackedTransitions
from spar_lightning.types import DataError

MakeEpisode = Callable[..., Episode]


def test_both_ends_of_episode(make_episode: MakeEpisode) -> None:
    transitions = PackedTransitions.from_episodes([make_episode(3, True), make_episode(2, False, start=100.0)])
    assert len(transitions) == 5
    assert transitions.observations[:, 0].tolist() == [0, 1, 2, 100, 101]
    assert transitions.next_observations[:, 0].tolist() == [1, 2, 3, 101, 102]
    assert transitions.rewards.tolist() == [0, 10, 20, 1000, 1010]
    assert transitions.terminations.tolist() == [0, 0, 1, 0, 0]
    assert transitions.episode_ends.tolist() == [False, False, True, False, True]
    assert transitions.num_episodes == 2


def test_a_truncated_episode_without_its_last_next_observation_ends_one_earlier(make_episode: MakeEpisode) -> None:
    transitions = PackedTransitions.from_episodes(
        [make_episode(3, False, lacks_last=True), make_episode(1, True, start=9.0)]
    )
    assert transitions.observations[:, 0].tolist() == [0, 1, 9]
    assert transitions.next_observations[:, 0].tolist() == [1, 2, 10]
    assert transitions.terminations.tolist() == [0, 0, 1]
    assert transitions.episode_ends.tolist() == [False, True, True]


def test_a_termination_without_its_next_observation_is_kept(make_episode: MakeEpisode) -> None:
    transitions = PackedTransitions.from_episodes([make_episode(2, True, lacks_last=True)])
    assert transitions.next_observations[:, 0].tolist() == [1, 1]
    assert transitions.terminations.tolist() == [0, 1]


def test_an_episode_that_loses_its_only_transition_is_gone(make_episode: MakeEpisode) -> None:
    transitions = PackedTransitions.from_episodes(
        [make_episode(1, False, lacks_last=True), make_episode(2, False, 5.0)]
    )
    assert transitions.observations[:, 0].tolist() == [5, 6]
    assert transitions.num_episodes == 1


def test_everything_is_float32_of_the_right_shape(make_episode: MakeEpisode) -> None:
    doubles = Episode(*(np.asarray(values, dtype=np.float64) for values in make_episode(4, True)[:4]), True)  # type: ignore[arg-type]
    transitions = PackedTransitions.from_episodes([doubles])
    columns = ["observations", "actions", "rewards", "next_observations", "terminations"]
    assert [tuple(transitions.column(name).shape) for name in columns] == [(4, 3), (4, 2), (4,), (4, 3), (4,)]
    assert {transitions.column(name).dtype for name in columns} == {torch.float32}


def test_a_batch_holds_the_rows_asked_for(make_episode: MakeEpisode) -> None:
    transitions = PackedTransitions.from_episodes([make_episode(6, True)])
    transitions.set_column("returns", torch.arange(6.0))
    transitions.set_column("base_actions", -transitions.actions)
    indices = torch.tensor([5, 0, 0, 3])
    batch = transitions.batch(indices)
    for name in ("observations", "actions", "rewards", "next_observations", "terminations"):
        assert torch.equal(getattr(batch, name), transitions.column(name)[indices])
    assert batch.rewards.shape == batch.terminations.shape == batch.columns["returns"].shape == (4,)
    assert batch.columns["returns"].tolist() == [5, 0, 0, 3]
    assert torch.equal(batch.columns["base_actions"], -batch.actions)
    assert torch.equal(transitions.batch(slice(2, 4)).observations, transitions.observations[2:4])


def test_columns_are_overwritten_in_place(make_episode: MakeEpisode) -> None:
    transitions = PackedTransitions.from_episodes([make_episode(3, True)])
    transitions.set_column("returns", torch.zeros(3))
    view = transitions.column("returns")
    transitions.set_column("returns", torch.tensor([1.0, 2.0, 3.0]))
    assert view.tolist() == [1, 2, 3]
    assert transitions.rewards.tolist() == [0, 10, 20]


def test_columns_that_do_not_fit_are_refused(make_episode: MakeEpisode) -> None:
    transitions = PackedTransitions.from_episodes([make_episode(3, True)])
    transitions.set_column("returns", torch.zeros(3))
    with pytest.raises(DataError, match=r"shape \(4,\), expected \(3,\)"):
        transitions.set_column("other", torch.zeros(4))
    with pytest.raises(DataError, match=r"shape \(3, 2\), the column has \(3,\)"):
        transitions.set_column("returns", torch.zeros(3, 2))
    with pytest.raises(DataError, match="no column `advantages`; there are observations"):
        transitions.column("advantages")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("array", ["observations", "actions", "rewards", "next_observations"])
def test_values_that_are_not_finite_are_located(make_episode: MakeEpisode, array: str, value: float) -> None:
    damaged = make_episode(4, False)
    getattr(damaged, array)[2] = value
    if array.endswith("observations"):  # they share memory, as they do when read from Minari
        damaged = make_episode(4, False)._replace(**{array: getattr(damaged, array).copy()})
    with pytest.raises(DataError, match=rf"`{array}` has \d NaN or infinite .* row 2 of episode 1"):
        PackedTransitions.from_episodes([make_episode(3, True), damaged])


def test_an_empty_data_set_is_refused(make_episode: MakeEpisode) -> None:
    for episodes in ([], [make_episode(0, False)]):
        with pytest.raises(DataError, match="holds no transition"):
            PackedTransitions.from_episodes(episodes)


@pytest.mark.parametrize("array", ["actions", "rewards", "next_observations"])
def test_unequal_lengths_are_refused(make_episode: MakeEpisode, array: str) -> None:
    episode = make_episode(5, False)
    damaged = episode._replace(**{array: getattr(episode, array)[:3]})
    with pytest.raises(DataError, match=f"episode 0 differ in length: 5 observations.* 3 {array.replace('_', ' ')}"):
        PackedTransitions.from_episodes([damaged])


def test_unequal_widths_are_refused(make_episode: MakeEpisode) -> None:
    narrow = make_episode(2, False)._replace(actions=np.zeros((2, 1), dtype=np.float32))
    with pytest.raises(DataError, match="Episode 1 has columns of widths"):
        PackedTransitions.from_episodes([make_episode(2, False), narrow])


def test_moving_where_it_is_costs_nothing(make_episode: MakeEpisode) -> None:
    transitions = PackedTransitions.from_episodes([make_episode(2, True)])
    assert transitions.to("cpu") is transitions
    moved = transitions.to("meta")
    assert moved.device.type == moved.episode_ends.device.type == "meta"


@pytest.mark.parametrize("stated", [-1, 0, 3, 8, 1000, 10**18])
def test_the_number_of_transitions_may_be_wrong(make_episode: MakeEpisode, stated: int) -> None:
    episodes = [make_episode(2, True, start) for start in (0.0, 10.0, 20.0, 30.0)]
    transitions = PackedTransitions.from_episodes(episodes, stated)
    assert transitions.observations[:, 0].tolist() == [0, 1, 10, 11, 20, 21, 30, 31]
    assert transitions.rewards.tolist() == [0, 10, 100, 110, 200, 210, 300, 310]
    assert transitions.num_episodes == 4


def test_held_out_episodes_are_copied_and_the_others_move_up(make_episode: MakeEpisode) -> None:
    whole = PackedTransitions.from_episodes([make_episode(2, True, start) for start in (0.0, 10.0, 20.0, 30.0)])
    whole.set_column("returns", torch.arange(8.0))
    memory = whole.observations.data_ptr()
    kept, apart = whole.split([2, 0])
    assert apart is not None
    for part, starts in ((kept, (10, 30)), (apart, (0, 20))):
        assert part.observations[:, 0].tolist() == [starts[0], starts[0] + 1, starts[1], starts[1] + 1]
        assert part.episode_ends.tolist() == [False, True, False, True]
        assert len(part.batch(torch.tensor([3])).columns) == 1
    assert kept.column("returns").tolist() == [2, 3, 6, 7]
    assert kept.observations.data_ptr() == memory
    apart.set_column("rewards", torch.zeros(4))
    assert kept.rewards.tolist() == [100, 110, 300, 310]


def test_nothing_held_out_costs_nothing(make_episode: MakeEpisode) -> None:
    whole = PackedTransitions.from_episodes([make_episode(2, True)])
    assert whole.split([]) == (whole, None)


def test_chunks_are_everything_once_in_order(make_episode: MakeEpisode) -> None:
    transitions = PackedTransitions.from_episodes([make_episode(5, True)])
    assert [chunk.rewards.tolist() for chunk in transitions.chunks(2)] == [[0, 10], [20, 30], [40]]


def test_columns_beyond_the_room_are_added_all_the_same(make_episode: MakeEpisode) -> None:
    transitions = PackedTransitions.from_episodes([make_episode(3, True)])
    memory = transitions.observations.data_ptr()
    transitions.set_column("base_actions", transitions.actions)
    transitions.set_column("returns", torch.arange(3.0))
    assert transitions.observations.data_ptr() == memory
    transitions.set_column("next_base_actions", -transitions.actions)
    batch = transitions.batch(slice(0, 3))
    assert torch.equal(batch.columns["base_actions"], batch.actions)
    assert batch.columns["returns"].tolist() == [0, 1, 2]
    assert torch.equal(batch.columns["next_base_actions"], -batch.actions)
