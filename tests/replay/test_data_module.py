from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import minari
import numpy as np
import pytest
import torch
from minari.data_collector import EpisodeBuffer

from spar_lightning.replay import Minibatches, OfflineDataModule, PackedTransitions, SequentialLoader, TransitionLoader
from spar_lightning.types import DataError, EnvironmentUnavailableError, TransitionBatch

MakeMinari = Callable[..., str]


def ready(name: str, **arguments: Any) -> OfflineDataModule:
    module = OfflineDataModule(name, **arguments)
    module.prepare_data()
    module.setup("fit")
    return module


def test_dimensions_are_known_before_setup(hopper: str) -> None:
    module = OfflineDataModule(hopper)
    assert (module.observation_dim, module.action_dim) == (11, 3)
    assert type(module.observation_dim) is type(module.action_dim) is int
    assert module.environment_id == "Hopper-v5"
    assert module.name == hopper
    with pytest.raises(DataError, match=r"call `setup\(\)` first"):
        _ = module.transitions


def test_contents_tell_recordings_of_one_name_apart(hopper: str, tmp_path: Path) -> None:
    data = OfflineDataModule(hopper)
    data.setup("fit")
    found = data.contents
    assert found["transitions"] == len(data.transitions) < 2000  # some are held out
    assert found["mean_reward"] == pytest.approx(data.transitions.rewards.double().mean().item(), rel=1e-5)


def test_dimensions_fetch_the_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    fetched: list[str] = []

    def collect(name: str) -> None:
        from spar_lightning.datasets import collect

        fetched.append(collect(name, steps=50, progress=False))

    monkeypatch.setattr("spar_lightning.datasets.sources.bundled.collect", collect)
    module = OfflineDataModule("spar/walker2d/expert-v0")
    assert (module.observation_dim, module.action_dim) == (17, 6)
    module.prepare_data()
    assert OfflineDataModule("spar/walker2d/expert-v0").observation_dim == 17
    assert fetched == ["spar/walker2d/expert-v0"]


def test_training_and_held_out_parts_make_up_the_data(hopper: str) -> None:
    whole = ready(hopper, validation_fraction=0.0)
    split = ready(hopper, validation_fraction=0.25)
    held_out = split.validation_transitions
    assert whole.validation_transitions is None
    assert held_out is not None
    assert held_out.num_episodes == int(whole.transitions.num_episodes * 0.25 + 0.5)
    assert len(split.transitions) + len(held_out) == len(whole.transitions) == 2000
    order = {tuple(row.tolist()): index for index, row in enumerate(whole.transitions.observations)}
    places = [[order[tuple(row.tolist())] for row in part.observations] for part in (split.transitions, held_out)]
    assert all(place == sorted(place) for place in places)
    assert sorted([*places[0], *places[1]]) == list(range(2000))


def test_what_is_not_trained_on_is_said(hopper: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    data = ready(hopper)
    rows, total = len(data.transitions), 2000
    assert f"{rows:,} of {total:,} transitions are trained on" in caplog.text
    assert f"the other {total - rows:,} are held out for validation losses" in caplog.text
    assert "`data.validation_fraction`" in caplog.text
    caplog.clear()
    ready(hopper, validation_fraction=0.0)
    assert "2,000 transitions in" in caplog.text
    assert "none are held out" in caplog.text


def test_the_split_does_not_depend_on_the_runs_seed(hopper: str) -> None:
    first, second = ready(hopper, seed=1), ready(hopper, seed=2)
    assert torch.equal(first.transitions.observations, second.transitions.observations)
    batches = [next(iter(module.train_dataloader())).observations for module in (first, second)]
    assert not torch.equal(*batches)


def test_at_least_one_episode_is_kept_for_training(make_minari: MakeMinari) -> None:
    module = ready(make_minari(), validation_fraction=0.99)
    assert module.transitions.num_episodes == 1
    assert module.validation_transitions is not None
    assert module.validation_transitions.num_episodes == 1


def test_statistics_are_of_the_training_part_alone(hopper: str) -> None:
    module = ready(hopper, validation_fraction=0.5)
    expected = module.transitions.observations.double()
    torch.testing.assert_close(module.statistics.observation_mean, expected.mean(0).float())
    torch.testing.assert_close(module.statistics.observation_std, expected.std(0, correction=0).float())
    assert module.statistics.action_low.tolist() == [-1, -1, -1]


def test_setup_reads_once(hopper: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ready(hopper)
    transitions = module.transitions
    monkeypatch.setattr(PackedTransitions, "from_episodes", lambda _: pytest.fail("read again"))
    module.setup("fit")
    module.setup("test")
    assert module.transitions is transitions


def test_loaders(hopper: str) -> None:
    module = ready(hopper, batch_size=32, seed=5)
    loader = module.train_dataloader()
    assert isinstance(loader, TransitionLoader)
    batch = next(iter(loader))
    assert isinstance(batch, TransitionBatch)
    assert batch.observations.shape == (32, 11)
    validation = module.val_dataloader()
    assert isinstance(validation, SequentialLoader)
    assert module.validation_transitions is not None
    assert sum(len(chunk.rewards) for chunk in validation) == len(module.validation_transitions)
    assert module.test_dataloader() == [torch.zeros(1)]
    assert ready(hopper, validation_fraction=0.0).val_dataloader() == [torch.zeros(1)]


def test_each_process_draws_its_own_batches(hopper: str) -> None:
    module = ready(hopper, batch_size=32)
    drawn = []
    for rank in (0, 1):
        module.trainer = SimpleNamespace(global_rank=rank)  # type: ignore[assignment]
        drawn.append(next(iter(module.train_dataloader())).observations)
    assert not torch.equal(*drawn)


def test_the_seed_is_the_argument_else_the_global_one(hopper: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    assert OfflineDataModule(hopper).seed == 0
    monkeypatch.setenv("PL_GLOBAL_SEED", "41")
    assert OfflineDataModule(hopper).seed == 41
    assert OfflineDataModule(hopper, seed=7).seed == 7


@pytest.mark.parametrize(
    "arguments",
    [
        {"batch_size": 0},
        {"batch_size": 2**20 + 1},
        {"validation_fraction": 1.0},
        {"validation_fraction": -0.1},
        {"seed": -1},
        {"updates_per_batch": 0},
        {"updates_per_batch": 513},
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any]) -> None:
    (name,) = arguments
    with pytest.raises(DataError, match=f"`{name}` is .*, expected"):
        OfflineDataModule(**arguments)


def test_what_makes_no_difference_to_a_result_is_no_hyper_parameter() -> None:
    module = OfflineDataModule(updates_per_batch=4, storage="map")
    assert not {"updates_per_batch", "storage"} & module.hparams.keys()
    assert {"dataset", "batch_size", "validation_fraction", "seed", "reward_scale"} < module.hparams.keys()


def test_minibatches_are_moved_by_who_gathers_them(hopper: str) -> None:
    module = ready(hopper, batch_size=8)
    item = Minibatches(module.transitions, torch.zeros(3, 8, dtype=torch.long))
    for device in ("cpu", "meta"):
        assert module.transfer_batch_to_device(item, torch.device(device), 0) is item
    batch = next(iter(module.train_dataloader()))
    assert module.transfer_batch_to_device(batch, torch.device("meta"), 0).observations.device.type == "meta"


def test_environments_are_fresh_and_keep_the_time_limit(cheetah: str) -> None:
    module = OfflineDataModule(cheetah)
    first, second = module.make_environment(), module.make_environment()
    assert first is not second
    assert first.unwrapped is not second.unwrapped
    assert first.spec is not None
    assert (first.spec.id, first.spec.max_episode_steps) == ("HalfCheetah-v5", 1000)
    first.reset(seed=0)
    truncations = [first.step(first.action_space.sample())[3] for _ in range(1000)]
    assert truncations == [False] * 999 + [True]


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ("Walker2d-v5", r"shape \(17,\) and actions of shape \(6,\), the data \(11,\) and \(3,\)"),
        ("CartPole-v1", r"shape \(4,\) and actions of shape \(\)"),
        ("PointMaze_UMaze-v3", "shape None .a dict: choose its parts with `observation_keys`"),
    ],
)
def test_an_environment_that_does_not_fit_is_refused(hopper: str, environment: str, found: str) -> None:
    with pytest.raises(DataError, match=f"`{environment}` has observations of {found}"):
        OfflineDataModule(hopper, environment=environment).make_environment()


def test_what_is_no_id_of_an_environment_is_refused(hopper: str) -> None:
    with pytest.raises(DataError, match=r"`environment` is `\.\./x`, expected the id"):
        OfflineDataModule(hopper, environment="../x").environment_id  # noqa: B018


def test_data_without_an_environment_cannot_be_rolled_out(make_minari: MakeMinari) -> None:
    module = OfflineDataModule(make_minari())
    assert module.environment_id is None
    assert module.reference_scores is None
    with pytest.raises(EnvironmentUnavailableError, match="does not say which environment"):
        module.make_environment()


def test_actions_outside_the_bounds_are_reported(make_minari: MakeMinari) -> None:
    arrays: dict[str, Any] = {
        "observations": np.zeros((5, 5)),
        "actions": np.array([[0.0, 0], [1, -1], [1.5, 0], [0, -2]]),
        "rewards": np.zeros(4),
        "terminations": np.zeros(4, bool),
        "truncations": np.array([False, False, False, True]),
    }
    with pytest.warns(UserWarning, match="25.00% of the action values"):
        ready(make_minari([EpisodeBuffer(**arrays)]), validation_fraction=0.0)


def test_batches_on_the_device_are_not_touched(hopper: str) -> None:
    module = ready(hopper)
    batch = next(iter(module.train_dataloader()))
    assert module.transfer_batch_to_device(batch, torch.device("cpu"), 0) is batch
    moved = module.transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert moved.observations.device.type == "meta"
    assert module.transfer_batch_to_device(torch.zeros(1), torch.device("meta"), 0).device.type == "meta"


class _Counter(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.rows = {"train": 0, "validation": 0}

    def training_step(self, batch: TransitionBatch) -> None:
        self.rows["train"] += len(batch.rewards)

    def validation_step(self, batch: TransitionBatch) -> None:
        self.rows["validation"] += len(batch.rewards)

    def configure_optimizers(self) -> None:
        return None


def test_two_trainers_use_it_in_turn(hopper: str) -> None:
    module = OfflineDataModule(hopper, batch_size=16)
    for _ in range(2):
        counter = _Counter()
        trainer = pl.Trainer(
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_train_batches=3,
            max_epochs=1,
            num_sanity_val_steps=0,
        )
        trainer.fit(counter, module)
        assert module.validation_transitions is not None
        assert counter.rows == {"train": 48, "validation": len(module.validation_transitions)}
    assert (
        len(minari.load_dataset(hopper)) == module.transitions.num_episodes + module.validation_transitions.num_episodes
    )
