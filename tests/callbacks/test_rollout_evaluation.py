import csv
import json
import math

import lightning.pytorch as pl
import pytest
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box
from gymnasium.wrappers import TimeLimit
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import CSVLogger
from toy_training import STEPS, ToyData, ToyEnvironment, ToyModule, ToyResidualModule, bonus, train

from spar_lightning.callbacks import ResumableCheckpoint, RolloutEvaluation
from spar_lightning.types import EnvironmentUnavailableError, UserError


class Recorder(pl.Callback):
    """Notes what was logged at each validation."""

    def __init__(self):
        self.metrics = []

    def on_validation_end(self, trainer, pl_module):
        self.metrics.append({name: float(value) for name, value in trainer.callback_metrics.items()})


def mean_return(action, seeds):
    return sum(STEPS * (action + bonus(seed)) for seed in seeds) / len(seeds)


def test_metrics_of_every_validation_are_those_worked_out_by_hand(tmp_path):
    recorder = Recorder()
    evaluation = RolloutEvaluation(num_episodes=2, final_episodes=3, first_seed=7)
    train(tmp_path, ToyResidualModule(), [evaluation, recorder])
    assert len(recorder.metrics) == 4
    second = recorder.metrics[1]  # after 10 updates
    assert second == pytest.approx(
        {
            "rollout/length": STEPS,
            "rollout/return": mean_return(0.10, [7, 8]),
            "rollout/normalized_score": 10 * mean_return(0.10, [7, 8]),
            "rollout/base_return": mean_return(0.0, [7, 8]),
            "rollout/base_normalized_score": 10 * mean_return(0.0, [7, 8]),
            "rollout/fitted_return": mean_return(0.02, [7, 8]),
            "rollout/fitted_normalized_score": 10 * mean_return(0.02, [7, 8]),
            "rollout/improvement": 10 * STEPS * 0.10,
        },
        rel=1e-5,
    )
    assert "rollout/fitted_return" not in recorder.metrics[0]
    assert [row["step"] for row in evaluation.history] == [5, 10, 15, 20]


def test_results_are_those_of_the_last_policy(tmp_path, monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "4")
    module = ToyResidualModule()
    callbacks = [ResumableCheckpoint(), RolloutEvaluation(num_episodes=2, final_episodes=3, first_seed=7)]
    train(tmp_path, module, callbacks, max_steps=22)  # no validation falls on the last update
    results = json.loads((tmp_path / "results.json").read_text())
    assert (results["dataset"], results["environment_id"]) == ("toy/replay-v0", "Toy-v0")
    assert (results["seed"], results["updates"], results["episodes"]) == (4, 22, 3)
    assert results["return"] == pytest.approx(mean_return(0.22, [7, 8, 9]), rel=1e-5)
    assert results["score"] == pytest.approx(10 * results["return"])
    assert results["base"]["score"] == pytest.approx(10 * mean_return(0.0, [7, 8, 9]), rel=1e-5)
    assert results["fitted"]["score"] == pytest.approx(10 * mean_return(0.02, [7, 8, 9]), rel=1e-5)
    assert results["improvement"]["mean"] == pytest.approx(10 * STEPS * 0.22, rel=1e-5)
    assert results["improvement"]["low"] <= results["improvement"]["mean"] <= results["improvement"]["high"]
    assert (results["improvement"]["episodes"], results["improvement"]["unit"]) == (3, "score")
    assert (results["best"]["step"], results["best"]["episodes"]) == (20, 2)
    assert "simulator" in results["best"]["note"]
    assert [row["step"] for row in results["history"]] == [5, 10, 15, 20]
    assert [row["episodes"] for row in results["history"]] == [2] * 4
    assert results["history"][1]["improvement"] == pytest.approx(10 * STEPS * 0.1, rel=1e-5)
    assert results["updates_per_second"] > 0
    seconds = results["wall_time_s"]
    assert seconds["total"] == pytest.approx(seconds["training"] + seconds["evaluation"])
    assert seconds["evaluation"] > 0
    assert results["checkpoints"] == {"best": "checkpoints/best.ckpt", "last": "checkpoints/last.ckpt"}
    assert torch.load(tmp_path / results["checkpoints"]["last"], weights_only=True)["global_step"] == 22
    assert torch.load(tmp_path / results["checkpoints"]["best"], weights_only=True)["global_step"] == 20
    assert results["versions"]["torch"]
    assert results["machine"]["processor"]
    assert results["machine"]["cpu_threads"] == torch.get_num_threads()
    assert results["machine"]["accelerator"] is None
    assert list(tmp_path.glob("*.tmp")) == []


def test_the_base_meets_each_seed_once(tmp_path):
    module = ToyResidualModule()
    train(tmp_path, module, [RolloutEvaluation(num_episodes=2, final_episodes=3)])
    assert sum(module.base.calls) == 3 * STEPS


def test_evaluation_changes_no_random_number_of_the_training(tmp_path):
    traces = []
    for callbacks in ([], [RolloutEvaluation(num_episodes=2)]):
        pl.seed_everything(0, verbose=False)
        module = ToyResidualModule()
        train(tmp_path, module, callbacks)
        traces.append(module.trace)
    assert traces[0] == traces[1]


def test_evaluation_keeps_the_mode_of_every_part_and_closes_the_environments(tmp_path):
    module = ToyModule()
    module.frozen = torch.nn.Linear(1, 1).eval()
    train(tmp_path, module, [RolloutEvaluation(num_episodes=2)])
    assert module.training
    assert not module.frozen.training
    assert ToyEnvironment.opened == 0


def test_without_reference_scores_the_return_is_what_counts(tmp_path):
    recorder, evaluation = Recorder(), RolloutEvaluation(num_episodes=1, final_episodes=1)
    train(tmp_path, ToyResidualModule(), [evaluation, recorder], data=ToyData(reference_scores=None))
    assert not any("normalized_score" in name for name in recorder.metrics[-1])
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["score"] is None
    assert results["return_std"] is None  # of one episode
    assert results["improvement"]["mean"] == pytest.approx(STEPS * 0.2, rel=1e-5)
    assert results["improvement"]["low"] is None
    assert results["improvement"]["unit"] == "return"


def test_a_module_without_references_is_evaluated_alone(tmp_path):
    train(tmp_path, ToyModule(), [RolloutEvaluation(num_episodes=2)])
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["score"] > 0
    assert "base" not in results
    assert "improvement" not in results


def test_without_a_simulator_training_goes_on_and_says_why(tmp_path):
    data = ToyData(unavailable="no such simulator")
    recorder, callback = Recorder(), RolloutEvaluation()
    with pytest.warns(UserWarning, match=r"Rollout evaluation is off.*no such simulator"):
        trainer = train(tmp_path, ToyModule(), [callback, ResumableCheckpoint(), recorder], data=data)
    assert trainer.global_step == 20
    assert recorder.metrics == [{}] * 4
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["best"] is None
    assert results["checkpoints"] == {"best": None, "last": "checkpoints/last.ckpt"}


@pytest.mark.parametrize("method", ["validate", "test"])
def test_outside_of_training_a_missing_simulator_is_an_error(tmp_path, method):
    trainer = pl.Trainer(accelerator="cpu", logger=False, default_root_dir=tmp_path, callbacks=[RolloutEvaluation()])
    with pytest.raises(EnvironmentUnavailableError, match="pass `datamodule=`"):
        getattr(trainer, method)(ToyModule(), [torch.zeros(1)])
    with pytest.raises(EnvironmentUnavailableError, match="no such simulator"):
        getattr(trainer, method)(ToyModule(), datamodule=ToyData(unavailable="no such simulator"))


def test_a_module_that_is_no_policy_is_an_error(tmp_path):
    with pytest.raises(UserError, match="has no `act`"):
        train(tmp_path, BoringModel(), [RolloutEvaluation()])


def test_a_test_takes_all_episodes(tmp_path):
    callbacks = [RolloutEvaluation(num_episodes=1, final_episodes=3, first_seed=7), ResumableCheckpoint()]
    trainer = train(tmp_path, ToyResidualModule(), callbacks)
    (metrics,) = trainer.test(ToyResidualModule(), datamodule=ToyData(), verbose=False)
    assert metrics["rollout/return"] == pytest.approx(mean_return(0.0, [7, 8, 9]), rel=1e-5)
    (metrics,) = trainer.test(
        ToyResidualModule(), datamodule=ToyData(), ckpt_path=tmp_path / "checkpoints/last.ckpt", verbose=False
    )
    assert metrics["rollout/return"] == pytest.approx(mean_return(0.2, [7, 8, 9]), rel=1e-5)


def test_a_resumed_run_keeps_history_clock_and_base(tmp_path):
    train(tmp_path, ToyResidualModule(), [RolloutEvaluation(2, 2), ResumableCheckpoint()], max_steps=10)
    module, evaluation = ToyResidualModule(), RolloutEvaluation(2, 2)
    last = tmp_path / "checkpoints/last.ckpt"
    earlier = torch.load(last, weights_only=True)["callbacks"]["RolloutEvaluation"]["clock"]["total_s"]
    train(tmp_path, module, [evaluation, ResumableCheckpoint()], max_steps=20, ckpt_path=last)
    assert [row["step"] for row in evaluation.history] == [5, 10, 15, 20]
    assert module.base.calls == []
    assert evaluation.clock.total_s > earlier > 0


class LimitedData(ToyData):
    """Of an environment whose episodes may be shorter."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def make_environment(self):
        environment = ToyEnvironment()
        environment.spec = EnvSpec("Toy-v0", max_episode_steps=self.steps)
        return TimeLimit(environment, self.steps)


def test_a_test_with_another_time_limit_runs_the_base_anew(tmp_path):
    callbacks = [RolloutEvaluation(2, 2, first_seed=7), ResumableCheckpoint()]
    trainer = train(tmp_path, ToyResidualModule(), callbacks, data=LimitedData(STEPS))
    for steps, runs in ((STEPS, 0), (STEPS - 1, 2 * (STEPS - 1))):
        module, last = ToyResidualModule(), tmp_path / "checkpoints/last.ckpt"
        (metrics,) = trainer.test(module, datamodule=LimitedData(steps), ckpt_path=last, verbose=False)
        assert metrics["rollout/improvement"] == pytest.approx(10 * 0.2 * steps, rel=1e-5)
        assert sum(module.base.calls) == runs


def test_noise_on_actions_without_bounds_is_refused_before_the_training(tmp_path):
    class Unbounded(ToyEnvironment):
        def __init__(self) -> None:
            super().__init__()
            self.action_space = Box(-math.inf, math.inf, (1,))

    data = ToyData()
    data.make_environment = Unbounded
    module = ToyModule()
    with pytest.raises(UserError, match="`action_noise` is a share of the range of actions, which is not bounded here"):
        train(tmp_path, module, [RolloutEvaluation(action_noise=0.05)], data=data)
    assert module.trace == []
    assert ToyEnvironment.opened == 0


def test_a_dry_run_takes_one_episode_and_writes_nothing(tmp_path):
    module = ToyResidualModule()
    train(tmp_path, module, [RolloutEvaluation()], fast_dev_run=True)
    assert sum(module.base.calls) == STEPS
    assert not (tmp_path / "results.json").exists()


def test_a_callback_may_serve_two_runs(tmp_path):
    evaluation = RolloutEvaluation(2, 2)
    train(tmp_path, ToyResidualModule(), [evaluation], max_steps=10)
    module = ToyResidualModule()
    train(tmp_path, module, [evaluation], max_steps=5)
    assert [row["step"] for row in evaluation.history] == [5]
    assert sum(module.base.calls) == 2 * STEPS


def test_settings_are_primitives_and_leave_the_seed_out(tmp_path):
    module, data = ToyModule(), ToyData()
    module._set_hparams({"dims": (4, 4), "base": {"dropout": 0.1}, "folder": tmp_path})
    data._set_hparams({"batch_size": 8, "seed": 3})
    train(tmp_path, module, [RolloutEvaluation(1, 1)], data=data)
    assert json.loads((tmp_path / "results.json").read_text())["settings"] == {
        "model": {"dims": [4, 4], "base": {"dropout": 0.1}, "folder": str(tmp_path)},
        "data": {"batch_size": 8},
    }


def test_data_recorded_anew_under_the_same_name_are_another_setting(tmp_path):
    data = ToyData()
    data.contents = {"transitions": 7, "mean_reward": 0.5}
    train(tmp_path, ToyModule(), [RolloutEvaluation(1, 1)], data=data)
    found = json.loads((tmp_path / "results.json").read_text())["settings"]["data"]
    assert found == {"transitions": 7, "mean_reward": 0.5}


def test_another_precision_is_another_setting(tmp_path):
    train(tmp_path, ToyModule(), [RolloutEvaluation(num_episodes=1, final_episodes=1)], precision="bf16-mixed")
    assert json.loads((tmp_path / "results.json").read_text())["settings"]["precision"] == "bf16-mixed"


def test_no_episodes_during_training_leave_those_at_its_end(tmp_path):
    recorder = Recorder()
    train(tmp_path, ToyResidualModule(), [RolloutEvaluation(0, 3), ResumableCheckpoint(), recorder])
    results = json.loads((tmp_path / "results.json").read_text())
    assert recorder.metrics == [{}] * 4
    assert (results["episodes"], results["history"], results["best"]) == (3, [], None)
    assert results["checkpoints"] == {"best": None, "last": "checkpoints/last.ckpt"}


def test_no_episodes_at_the_end_leave_those_during_training(tmp_path):
    evaluation = RolloutEvaluation(2, 0)
    trainer = train(tmp_path, ToyResidualModule(), [evaluation])
    results = json.loads((tmp_path / "results.json").read_text())
    assert "score" not in results
    assert len(results["history"]) == 4
    assert trainer.test(ToyModule(), datamodule=ToyData(), verbose=False) == [{}]


def test_no_episodes_at_all_need_no_simulator(tmp_path, recwarn):
    train(tmp_path, ToyModule(), [RolloutEvaluation(0, 0)], data=ToyData(unavailable="no such simulator"))
    assert not any("simulator" in str(warning.message) for warning in recwarn)


def test_negative_episodes_are_an_error():
    with pytest.raises(UserError, match=r"num_episodes is -1 .* 0 for no evaluation"):
        RolloutEvaluation(num_episodes=-1)


def test_a_nan_policy_is_named(tmp_path):
    with pytest.raises(UserError, match="seed 10000"):
        train(tmp_path, ToyModule(step_size=math.nan), [RolloutEvaluation()])
    assert ToyEnvironment.opened == 0


@pytest.mark.slow
def test_two_processes_share_the_seeds_and_agree(tmp_path):
    callbacks = [RolloutEvaluation(num_episodes=3, final_episodes=3, first_seed=7), ResumableCheckpoint()]
    train(tmp_path, ToyResidualModule(), callbacks, max_steps=10, strategy="ddp_fork", devices=2)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["episodes"] == results["improvement"]["episodes"] == 3
    assert results["return"] == pytest.approx(mean_return(0.1, [7, 8, 9]), rel=1e-5)
    assert results["history"][-1]["return"] == pytest.approx(mean_return(0.1, [7, 8, 9]), rel=1e-5)
    assert results["base"]["return"] == pytest.approx(mean_return(0.0, [7, 8, 9]), rel=1e-5)
    saved = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["callbacks"]["ResumableCheckpoint"]
    assert len(saved["random_states"]) == 2


class PausingModule(ToyModule):
    """Its policy counts as the same one during the updates 6 to 15."""

    @property
    def policy_version(self) -> int:
        return min(self.trainer.global_step, 5) + max(0, self.trainer.global_step - 15)


def test_a_policy_that_stands_still_is_evaluated_once(tmp_path):
    evaluation = RolloutEvaluation(num_episodes=2, final_episodes=3)
    train(tmp_path / "whole", PausingModule(), [evaluation])
    assert [row["step"] for row in evaluation.history] == [5, 20]
    callbacks = [ResumableCheckpoint(), RolloutEvaluation(num_episodes=2, final_episodes=3)]
    train(tmp_path / "parts", PausingModule(), callbacks, max_steps=10)
    again = RolloutEvaluation(num_episodes=2, final_episodes=3)
    last = tmp_path / "parts" / "checkpoints" / "last.ckpt"
    train(tmp_path / "parts", PausingModule(), [ResumableCheckpoint(), again], ckpt_path=last)
    assert [row["step"] for row in again.history] == [5, 20]


def test_a_module_that_is_never_validated_is_refused(tmp_path):
    class Unvalidated(ToyModule):
        validation_step = pl.LightningModule.validation_step

    with pytest.raises(UserError, match="Unvalidated has no `validation_step` to validate with, expected it"):
        train(tmp_path, Unvalidated(), [RolloutEvaluation(num_episodes=2, final_episodes=1)])
    evaluation = RolloutEvaluation(num_episodes=0, final_episodes=1)
    train(tmp_path, Unvalidated(), [evaluation])
    assert evaluation.final["episodes"] == 1


class WarmingModule(ToyResidualModule):
    """Its policy is still being prepared during the first 10 updates, and counts as the same from 5 to 10."""

    @property
    def phase_name(self) -> str:
        return "preparation"

    @property
    def is_warming_up(self) -> bool:
        return self.trainer.global_step < 10

    @property
    def policy_version(self) -> int:
        return min(self.trainer.global_step, 5) + max(0, self.trainer.global_step - 10)


def test_a_warm_up_is_evaluated_under_a_name_of_its_own(tmp_path):
    logger = CSVLogger(tmp_path, name="", version="")
    evaluation = RolloutEvaluation(num_episodes=2, final_episodes=3)
    callbacks = [evaluation, ResumableCheckpoint()]
    train(tmp_path, WarmingModule(), callbacks, logger=logger)
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))

    def steps(name):
        return [int(row["step"]) + 1 for row in rows if row.get(name)]

    assert steps("warmup/normalized_score") == steps("warmup/improvement") == [5]
    # The references keep their names; the policy that the warm-up has left is where the headline begins.
    assert steps("rollout/base_return") == [5, 10, 15, 20]
    assert steps("rollout/normalized_score") == steps("rollout/improvement") == [10, 15, 20]
    assert [row["warmup"] for row in evaluation.history] == [True, False, False, False]
    assert evaluation.document["best"]["step"] == 20


def test_a_policy_of_the_warm_up_is_never_the_best(tmp_path):
    evaluation = RolloutEvaluation(num_episodes=2, final_episodes=3)
    train(tmp_path, WarmingModule(), [evaluation, ResumableCheckpoint()], max_steps=8, validate_every=4)
    assert [row["step"] for row in evaluation.history] == [4, 8]
    assert evaluation.document["best"] is None
    assert evaluation.document["checkpoints"] == {"best": None, "last": "checkpoints/last.ckpt"}
