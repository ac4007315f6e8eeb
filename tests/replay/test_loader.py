from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor

from spar_lightning.datasets import Episode
from spar_lightning.replay import Minibatches, PackedTransitions, SequentialLoader, TransitionLoader, Transitions
from spar_lightning.replay.loader import batch_indices
from spar_lightning.types import TransitionBatch


@pytest.fixture
def transitions(make_episode: Callable[..., Episode]) -> Transitions:
    return PackedTransitions.from_episodes([make_episode(1000, False)])


def rows(batches: Iterator[TransitionBatch], count: int) -> Tensor:
    return torch.stack([batch.observations[:, 0].long() for batch in islice(batches, count)])


def test_the_first_indices_never_change() -> None:
    assert batch_indices(0, 0, 0, 1000, 4)[:2].tolist() == [[267, 228, 647, 822], [979, 754, 578, 897]]
    assert batch_indices(7, 3, 5, 1000, 4)[0].tolist() == [761, 95, 967, 614]


def test_batches_are_a_pure_function_of_seed_rank_and_position(transitions: Transitions) -> None:
    first = rows(iter(TransitionLoader(transitions, 8, seed=3)), 600)
    torch.manual_seed(99)
    torch.rand(5)
    assert torch.equal(first, rows(iter(TransitionLoader(transitions, 8, seed=3)), 600))
    assert torch.equal(first[512:], batch_indices(3, 0, 1, 1000, 8)[:88])
    for other in (TransitionLoader(transitions, 8, seed=4), TransitionLoader(transitions, 8, seed=3, rank=1)):
        assert not torch.equal(first, rows(iter(other), 600))


def test_drawing_leaves_the_global_generator_alone(transitions: Transitions) -> None:
    before = torch.get_rng_state()
    next(iter(TransitionLoader(transitions, 8, seed=3)))
    assert torch.equal(before, torch.get_rng_state())


def test_sampling_is_uniform_over_all_transitions(transitions: Transitions) -> None:
    counts = torch.bincount(rows(iter(TransitionLoader(transitions, 250, seed=0)), 400).flatten(), minlength=1000)
    assert len(counts) == 1000
    deviations = (counts - 100) / 10  # Poisson: standard deviation 10
    assert deviations.abs().max() < 5
    assert 0.9 < deviations.std() < 1.1


@pytest.mark.parametrize("consumed", [0, 1, 511, 512, 700])
def test_a_saved_position_goes_on_after_the_batches_handed_out(transitions: Transitions, consumed: int) -> None:
    loader = TransitionLoader(transitions, 8, seed=3)
    batches = iter(loader)
    rows(batches, consumed) if consumed else None
    state = loader.state_dict()
    expected = rows(batches, 20)
    resumed = TransitionLoader(transitions, 8, seed=3)
    resumed.load_state_dict(state)
    assert torch.equal(rows(iter(resumed), 20), expected)


def test_asking_for_an_iterator_twice_skips_nothing(transitions: Transitions) -> None:
    loader = TransitionLoader(transitions, 8, seed=3)
    iter(loader)
    assert torch.equal(rows(iter(loader), 2), batch_indices(3, 0, 0, 1000, 8)[:2])


def test_columns_added_later_are_in_the_batches(transitions: Transitions) -> None:
    batches = iter(TransitionLoader(transitions, 8, seed=3))
    assert next(batches).columns == {}
    transitions.set_column("returns", transitions.observations[:, 0])
    batch = next(batches)
    assert torch.equal(batch.columns["returns"], batch.observations[:, 0])


class _Recorder(pl.LightningModule):
    """Trains nothing; remembers which rows it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[list[int]] = []

    def training_step(self, batch: TransitionBatch) -> None:
        self.seen.append(batch.observations[:, 0].long().tolist())
        self.optimizers().step()  # type: ignore[union-attr]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def test_lightning_resumes_at_the_next_batch(transitions: Transitions, tmp_path: object) -> None:
    def fit(steps: int, checkpoint: str | None = None) -> tuple[_Recorder, pl.Trainer]:
        module = _Recorder()
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        trainer = pl.Trainer(
            max_steps=steps, accelerator="cpu", enable_checkpointing=False, default_root_dir=str(tmp_path), **quiet
        )
        trainer.fit(module, TransitionLoader(transitions, 4, seed=0), ckpt_path=checkpoint, weights_only=True)
        return module, trainer

    whole, _ = fit(9)
    half, trainer = fit(5)
    trainer.save_checkpoint(f"{tmp_path}/half.ckpt")
    rest, _ = fit(9, f"{tmp_path}/half.ckpt")
    assert whole.seen == half.seen + rest.seen
    assert whole.seen == batch_indices(0, 0, 0, 1000, 4)[:9].tolist()


def test_chunks_cover_everything_once_in_order(transitions: Transitions) -> None:
    loader = SequentialLoader(transitions, chunk_size=300)
    assert len(loader) == len(list(loader)) == 4
    assert torch.cat([batch.rewards for batch in loader]).tolist() == transitions.rewards.tolist()


# ------------------------------------------------------------------------------------- several minibatches in one item


def minibatches(loader: TransitionLoader, count: int) -> Tensor:
    """The rows of the first `count` items, minibatch after minibatch."""
    items = [item for item in islice(loader, count) if isinstance(item, Minibatches)]
    return torch.cat([item.gather().observations[:, 0].long().view(len(item), -1) for item in items])


@pytest.mark.parametrize("per_step", [1, 2, 3, 5, 512])
def test_items_of_several_minibatches_hold_the_same_rows_in_the_same_order(
    transitions: Transitions, per_step: int
) -> None:
    count = 1200 // per_step  # beyond the end of two blocks, which most of these do not divide
    several = TransitionLoader(transitions, 8, seed=3, per_step=per_step)
    expected = rows(iter(TransitionLoader(transitions, 8, seed=3)), count * per_step)
    assert torch.equal(minibatches(several, count), expected)
    assert several.state_dict() == {"position": count * per_step}


def test_a_position_is_one_of_minibatches(transitions: Transitions) -> None:
    loader = TransitionLoader(transitions, 8, seed=3, per_step=4)
    minibatches(loader, 127)
    expected = minibatches(loader, 6)
    resumed = TransitionLoader(transitions, 8, seed=3, per_step=3)
    resumed.load_state_dict({"position": 508})
    assert torch.equal(minibatches(resumed, 8), expected)


def test_some_of_the_minibatches_can_be_gathered_with_columns_as_they_are(transitions: Transitions) -> None:
    transitions.set_column("returns", torch.zeros(1000))
    item = next(iter(TransitionLoader(transitions, 8, seed=3, per_step=3)))
    assert isinstance(item, Minibatches)
    first = item.part(0, 1).gather()
    transitions.set_column("returns", torch.ones(1000))
    rest = item.part(1, 3).gather()
    assert first.columns["returns"].eq(0).all()
    assert rest.columns["returns"].eq(1).all()
    found = torch.cat([first.observations, rest.observations])[:, 0].long()
    assert torch.equal(found, batch_indices(3, 0, 0, 1000, 8)[:3].flatten())


def test_beginnings_lead_each_minibatch_and_leave_the_rest_as_it_is(make_episode: Callable[..., Episode]) -> None:
    transitions = PackedTransitions.from_episodes([make_episode(1000, False)])
    loader = TransitionLoader(transitions, 8, seed=3, per_step=4, beginnings=(5, 0.5))
    found = minibatches(loader, 200)
    assert found.shape == (800, 13)
    assert torch.equal(found[:, 5:], minibatches(TransitionLoader(transitions, 8, seed=3, per_step=4), 200))
    shares = torch.bincount(found[:, :5].flatten(), minlength=1000) / 4000
    assert torch.allclose(shares[:4], torch.tensor([0.5, 0.25, 0.125, 0.0625]), atol=0.04)
    assert torch.equal(found, minibatches(TransitionLoader(transitions, 8, 3, per_step=1, beginnings=(5, 0.5)), 800))
    others = minibatches(TransitionLoader(transitions, 8, seed=4, per_step=4, beginnings=(5, 0.5)), 200)
    assert not torch.equal(found[:, :5], others[:, :5])
