"""What holds of transitions, of their store and of their batches whatever the episodes are."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spar_lightning.datasets import Episode, OfflineDataset
from spar_lightning.replay import MappedTransitions, PackedTransitions, TransitionLoader
from spar_lightning.replay.storage.store import open_store

FEW = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@st.composite
def episodes(draw: st.DrawFn) -> list[Episode]:
    """Some episodes, of which at least one has a transition to train on; values tell row and array."""
    ends = st.tuples(st.integers(0, 6), st.booleans(), st.booleans())
    drawn = draw(st.lists(ends, min_size=1, max_size=6).filter(lambda found: any(n > 1 for n, *_ in found)))
    made, start = [], 0
    for length, termination, lacks_last in drawn:
        time = np.arange(start, start + length + 1, dtype=np.float32)
        following = time[1:-1] if lacks_last and length else time[1:]
        columns = [np.stack([part, -part], axis=1) for part in (time[:-1], time[:-1] / 2, following)]
        made.append(Episode(columns[0], columns[1], time[:-1] * 10, columns[2], termination))
        start += length + 1
    return made


def dataset(made: list[Episode], fingerprint: str = "one") -> OfflineDataset:
    bound = np.ones(2, dtype=np.float32)
    kept = sum(len(one.rewards) - _is_dropped(one) for one in made)
    return OfflineDataset("own", 2, 2, -bound, bound, len(made), kept, lambda: iter(made), fingerprint=fingerprint)


def _is_dropped(episode: Episode) -> bool:
    return len(episode.next_observations) < len(episode.observations) and not episode.termination


@FEW
@given(episodes())
def test_each_row_is_a_step_of_its_episode(made: list[Episode]) -> None:
    found = PackedTransitions.from_episodes(made)
    whole = found.batch(slice(0, len(found)))
    expected = [row for one in made for row in range(len(one.rewards) - _is_dropped(one))]
    assert len(found) == len(expected)
    observed = np.concatenate([one.observations[: len(one.rewards) - _is_dropped(one)] for one in made])
    assert np.array_equal(whole.observations.numpy(), observed)
    moves = whole.next_observations[:, 0] - whole.observations[:, 0]
    ends = found.episode_ends
    assert (moves[~ends] == 1).all()
    assert (whole.observations[1:, 0] == whole.next_observations[:-1, 0])[~ends[:-1]].all()
    assert (whole.terminations.bool() <= ends).all(), "only an end terminates"
    kept = [one for one in made if len(one.rewards) - _is_dropped(one)]
    assert whole.terminations[ends].tolist() == [float(one.termination) for one in kept]


@FEW
@given(episodes())
def test_a_store_gives_what_was_put_into_it(made: list[Episode]) -> None:
    with tempfile.TemporaryDirectory() as cache, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPAR_LIGHTNING_CACHE", cache)
        found, packed = MappedTransitions.open(open_store(dataset(made))), PackedTransitions.from_episodes(made)
        assert torch.equal(found.episode_ends, packed.episode_ends)
        *ours, own = found.batch(slice(0, len(found)))
        *theirs, others = packed.batch(slice(0, len(packed)))
        assert all(map(torch.equal, ours, theirs))
        assert own.keys() == others.keys() == set()
        assert not list(Path(cache).rglob(".*packing*"))


@FEW
@given(episodes(), st.integers(0, 2**31), st.integers(1, 7), st.integers(0, 40))
def test_a_loader_goes_on_where_it_was(made: list[Episode], seed: int, size: int, position: int) -> None:
    found = PackedTransitions.from_episodes(made)
    whole, rest = (TransitionLoader(found, size, seed) for _ in range(2))
    ahead = iter(whole)
    for _ in range(position):
        next(ahead)
    rest.load_state_dict(whole.state_dict())
    for _, ours, theirs in zip(range(3), ahead, rest, strict=False):
        assert torch.equal(ours.observations, theirs.observations)


@settings(FEW, max_examples=10)
@given(st.integers(1, 60), st.integers(0, 2**31), st.integers(0, 3))
def test_every_row_is_drawn_as_often_as_any_other(rows: int, seed: int, rank: int) -> None:
    time = np.arange(rows + 1, dtype=np.float32)[:, None]
    packed = PackedTransitions.from_episodes([Episode(time[:-1], time[:-1], time[:-1, 0], time[1:], True)])
    loader = iter(TransitionLoader(packed, 500, seed, rank))
    drawn = torch.cat([next(loader).rewards for _ in range(8)]).long()
    counts = torch.bincount(drawn, minlength=rows).double()
    assert counts.min() > 0, "a row is never reached"
    assert len(counts) == rows
    expected = len(drawn) / rows
    statistic = float(((counts - expected) ** 2 / expected).sum())
    assert statistic < rows - 1 + 6 * np.sqrt(2 * rows) + 6  # chi-squared, six deviations
