import re

import pytest
import torch
from toy_training import ToyData, ToyModule, ToyResidualModule, train

from spar_lightning.callbacks import (
    ResidualMonitor,
    ResumableCheckpoint,
    RolloutEvaluation,
    RunSummary,
    StageProgressBar,
)
from spar_lightning.callbacks.run_summary import score_table
from spar_lightning.training.progress import _compact


def test_one_bar_counts_updates_of_the_whole_stage(tmp_path, capsys):
    bar = StageProgressBar("improve", refresh_rate=5)
    callbacks = [bar, RolloutEvaluation(1, 1)]
    train(tmp_path, ToyResidualModule(), callbacks, max_steps=22, enable_progress_bar=True)
    printed = capsys.readouterr().out
    assert "improve" in printed
    assert "22/22" in printed
    assert "rollout/normalized_score=" in printed
    assert "10000" not in printed  # the loader's length
    assert "v_num" not in printed
    assert "Validation" not in printed
    assert "Epoch" not in printed


class PhasedModule(ToyResidualModule):
    @property
    def phase_name(self):
        return "warm-up" if self.trainer.global_step < 10 else "improvement"

    is_warming_up = False


def test_the_bar_moves_by_time_and_says_what_is_done(tmp_path, capsys):
    bar = StageProgressBar("stage", refresh_rate=1_000_000, seconds=0.0, following=1e9)
    callbacks = [bar, RolloutEvaluation(1, 1), ResidualMonitor(5)]
    train(tmp_path, PhasedModule(), callbacks, enable_progress_bar=True)
    printed = capsys.readouterr().out
    for part in ("stage, warm-up:", "stage, evaluation:", "stage, improvement:", " 7/20 ", "residual=0.05"):
        assert part in printed
    first = re.search(r"left=(\d+):\d\d:\d\d", printed)  # of both stages: hours
    assert first
    assert int(first[1]) > 0


def test_a_bar_that_is_switched_off_draws_nothing(tmp_path, capsys):
    train(tmp_path, ToyModule(), [StageProgressBar("stage", refresh_rate=0, seconds=0.0)], enable_progress_bar=True)
    assert "stage" not in capsys.readouterr().out


def test_epochs_do_not_start_the_bar_anew(tmp_path, capsys):
    bar = StageProgressBar(refresh_rate=5)
    train(tmp_path, ToyModule(), [bar], 20, 1000, data=ToyData(length=6), enable_progress_bar=True)
    assert bar.train_progress_bar.n == bar.train_progress_bar.total == 20


def test_a_resumed_bar_starts_at_the_checkpoint(tmp_path, capsys):
    train(tmp_path, ToyModule(), [ResumableCheckpoint()], max_steps=10)
    bar, last = StageProgressBar(refresh_rate=5), tmp_path / "checkpoints/last.ckpt"
    train(tmp_path, ToyModule(), [bar, ResumableCheckpoint()], 20, ckpt_path=last, enable_progress_bar=True)
    assert (bar.train_progress_bar.initial, bar.train_progress_bar.n) == (10, 20)


@pytest.mark.parametrize(("value", "text"), [(12345.6, "12346"), (87.345, "87.3"), (0.000123, "0.000123")])
def test_numbers_are_short(value, text):
    assert _compact(torch.tensor(value)) == text


def test_the_summary_shows_scores_and_places(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PL_GLOBAL_SEED", "3")
    callbacks = [RunSummary(), ResumableCheckpoint(), RolloutEvaluation(2, 3)]
    train(tmp_path / "run", ToyResidualModule(), callbacks)
    printed = capsys.readouterr().out
    for part in (
        "toy/replay-v0, Toy-v0, seed 3, 20 updates in ",
        " s of it evaluation (",
        " updates/s in training)",
        "base ",
        "fitted ",
        "policy ",
        "+10.0",  # the improvement: 10 points a unit of return, 5 steps, 0.2 more a step
        "at 95%, on base, over the same 3 start states",
        "at update 20, over 2 episodes, chosen with the simulator",
        "run/results.json",
        "run/checkpoints/best.ckpt",
        "python -m spar_lightning evaluate run/checkpoints/last.ckpt\n",
    ):
        assert part in printed


def test_the_summary_names_code_of_the_users_that_evaluate_takes(tmp_path, capsys):
    class Own(ToyResidualModule):
        checkpoint_name = "my_methods.Own"

    data = ToyData()
    data.hparams["environment"] = "my_plants:Toy-v0"
    train(tmp_path, Own(), [RunSummary(), ResumableCheckpoint()], data=data)
    assert "last.ckpt --algorithm my_methods.Own --environment my_plants:Toy-v0\n" in capsys.readouterr().out


def test_the_summary_says_why_there_are_no_scores(tmp_path, capsys):
    data = ToyData(unavailable="no such simulator")
    with pytest.warns(UserWarning, match="off"):
        train(tmp_path, ToyModule(), [RunSummary(), RolloutEvaluation()], data=data)
    assert "no scores: no such simulator" in capsys.readouterr().out


def test_the_summary_works_alone(tmp_path, capsys):
    train(tmp_path, ToyModule(), [RunSummary()])
    assert "20 updates" in capsys.readouterr().out


def test_the_summary_says_that_evaluation_was_switched_off(tmp_path, capsys):
    train(tmp_path, ToyModule(), [RunSummary(), RolloutEvaluation(0, 0)])
    printed = capsys.readouterr().out
    assert "no scores: `final_episodes` is 0" in printed
    assert "of it evaluation" not in printed


@pytest.mark.parametrize(("command", "episodes"), [("test", 3), ("validate", 1)])
def test_an_evaluation_prints_the_scores_that_training_ends_with(tmp_path, capsys, command, episodes):
    module = ToyResidualModule()
    evaluation = RolloutEvaluation(num_episodes=1, final_episodes=3)
    trainer = train(tmp_path, module, [RunSummary(), evaluation])
    table = score_table(evaluation.final)
    capsys.readouterr()
    getattr(trainer, command)(module, datamodule=ToyData(), verbose=False)
    printed = capsys.readouterr().out.splitlines()
    for name in ("base", "fitted", "policy", "improvement"):
        assert len([line for line in printed if line.strip().startswith(name)]) == 1
    assert f"{episodes} start state{'s' if episodes > 1 else ''}" in "\n".join(printed)
    assert "nan" not in "".join(printed)
    if command == "test":
        assert [line for line in printed if line] == table


def test_small_returns_have_decimals():
    """As those of tasks that give 1 for a success."""
    row = {"score": None, "score_std": None, "return_std": 0.5, "episodes": 50, "best": None}
    improvement = {"mean": 0.05, "low": 0.008, "high": 0.09, "episodes": 50, "unit": "return"}
    lines = "\n".join(score_table({"base": row | {"return": 0.41}, "improvement": improvement, **row, "return": 0.46}))
    for part in ("0.41 +-  0.50", "0.46 +-  0.50", "+0.050 [+0.008, +0.090] at 95%", "clearly better"):
        assert part in lines.replace("  [", " [")


def test_undefined_numbers_are_dashes():
    row = {"score": None, "score_std": None, "return": 12.0, "return_std": None, "episodes": 1}
    lines = "\n".join(score_table(row | {"best": None}))
    assert "12 +-     -" in lines
    assert "None" not in lines
