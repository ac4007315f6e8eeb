"""Scores of the policy in the simulator, during training and at its end."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.types import STEP_OUTPUT
from typing_extensions import override

from spar_lightning.callbacks.checkpoints.random_state import unchanged_random_state
from spar_lightning.callbacks.checkpoints.resumable_checkpoint import is_last_update
from spar_lightning.callbacks.clock import RunClock
from spar_lightning.callbacks.results.document import (
    comparison_results,
    history_row,
    noisy_results,
    results_document,
    run_folder,
    write_json,
)
from spar_lightning.callbacks.rollouts.background_rollouts import (
    BackgroundRollouts,
    Unfinished,
    is_warming_up,
    refuse_several_processes,
)
from spar_lightning.callbacks.rollouts.last_video import film_last
from spar_lightning.callbacks.rollouts.policy_rollouts import PolicyRollouts, eval_mode
from spar_lightning.callbacks.rollouts.rollout_logs import log_final, log_late, log_now
from spar_lightning.callbacks.simulator import environment_maker, simulated_data
from spar_lightning.evaluation import Comparison
from spar_lightning.stopping import Stopped
from spar_lightning.training.internals import has_validation_data
from spar_lightning.types import (
    EnvironmentUnavailableError,
    HasPolicyVersion,
    Policy,
    UserError,
)

_MOST_EPISODES = 10_000


class RolloutEvaluation(pl.Callback):
    """Rolls the policy and its references out on fixed seeds after every validation, in tests, and after training.

    A policy that stands still during training is evaluated once, and once more when the warm-up is over.

    Logs `rollout/return`, `rollout/length`, `rollout/normalized_score` where the data set defines one, the same for
    each reference policy as `rollout/<name>_return` and so on, and `rollout/improvement`: the mean difference to the
    reference `base` over the same seeds; at the end all of them as `final/...`. While the module is warming up what is
    the policy's own is logged as `warmup/...`: no such policy is the best. Writes `results.json` into the run's folder.
    No random number of the training changes. Where the simulator cannot be had, training goes on without scores.

    With `background`, the evaluations during training run in one other process on the CPU, while training goes on;
    each is logged at the update of its policy when its result is there, and `ResumableCheckpoint` keeps the best one
    all the same. Where one still runs when the next is due, training waits for it; so it does at its end, before the
    final evaluation. Numbers are those of the foreground where training is on the CPU too: threads and matmul precision
    are the same in both processes. There the module is rebuilt, as `type(module)(**module.hparams)`. Early stopping and
    other checkpoints cannot monitor `rollout/...` then: the metric is not there yet when they look. Otherwise they can,
    with `strict=False` where there is a warm-up, in which it is not there either.

    Args:
        num_episodes: episodes of an evaluation during training, and of a validation outside of it;
            0 switches evaluation off during training.
        final_episodes: episodes of the evaluation after training, and of a test; 0 leaves both out.
        first_seed: seed of the first episode; the others count up from it, so that all policies meet the same starts.
        background: evaluate in another process during training, which must be one process itself.
        action_noise: evaluate at the end and in tests once more, with noise on every action, to see how fragile the
            policies are: its deviation as a share of half the range of actions, such as 0.05; 0 leaves it out.
        video: film an episode of the last policy beside the base after training: `video.mp4` in the run's folder, and
            an animation in TensorBoard. Where nothing can be drawn, a line says so.
    """

    def __init__(
        self,
        num_episodes: int = 10,
        final_episodes: int = 20,
        first_seed: int = 10_000,
        background: bool = False,
        action_noise: float = 0.0,
        video: bool = False,
    ) -> None:
        if min(num_episodes, final_episodes) < 0 or max(num_episodes, final_episodes) > _MOST_EPISODES:
            raise UserError(
                f"num_episodes is {num_episodes} and final_episodes is {final_episodes}, expected 1 to "
                f"{_MOST_EPISODES:,} of each, or 0 for no evaluation"
            )
        if not 0 <= action_noise <= 1:
            raise UserError(f"action_noise is {action_noise}, expected 0 to 1: a share of half the range of actions")
        if first_seed < 0:
            raise UserError(f"first_seed is {first_seed}, expected at least 0")
        self.num_episodes = num_episodes
        self.final_episodes = final_episodes
        self.first_seed = first_seed
        self.background = background
        self.action_noise = action_noise
        self.video = video
        self.unavailable: str | None = None
        self.base_s: float | None = None
        """Seconds that an earlier stage of the same run took, for whoever trains it to tell."""
        self._simulator: PolicyRollouts | None = None
        self._background: BackgroundRollouts | None = None
        self._forget()

    def _forget(self) -> None:
        self.clock = RunClock()
        self.history: list[dict[str, Any]] = []
        self.final: dict[str, Any] = {}
        self.document: dict[str, Any] | None = None
        self._version: int | None = None  # of the policy that was evaluated last during training
        self._warmup = False  # whether it was still being prepared then
        self._unfinished_state: dict[str, Any] | None = None  # of a checkpoint, or of a validation that was stopped
        self._is_over = False

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Open the simulator.

        Raises:
            EnvironmentUnavailableError: outside of training, if it cannot be had.
            UserError: if the module is no policy or is never validated, `background` does not go with the trainer
                or its data, or `action_noise` with the environment.
        """
        if not isinstance(pl_module, Policy):
            raise UserError(f"{type(pl_module).__name__} has no `act`, expected a policy: leave rollout evaluation out")
        if stage == "fit":
            self._forget()
            if self.num_episodes:
                _require_validations(trainer, pl_module)
        self.final = {}
        if stage == "predict" or not (self.num_episodes or self.final_episodes):
            return
        try:
            self._close()
            self._simulator, self.unavailable = None, None
            self._simulator = PolicyRollouts(trainer, self.first_seed)
            if self.action_noise:
                self._simulator.check_noise()
            if stage == "fit" and self.background and self.num_episodes:
                refuse_several_processes(trainer)
                self._background = BackgroundRollouts(
                    environment_maker(trainer), simulated_data(trainer).reference_scores
                )
        except EnvironmentUnavailableError as error:
            if stage != "fit":
                raise
            self.unavailable = str(error)
            rank_zero_warn(f"Rollout evaluation is off, training goes on without scores: {error}")

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock, and again what a checkpoint says was under way."""
        self.clock.start()
        self._is_over = False
        self._resume_unfinished(trainer, pl_module)

    def _resume_unfinished(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        state, self._unfinished_state = self._unfinished_state, None
        if state is None or self._simulator is None:
            return
        evaluation = Unfinished.from_state(state, pl_module)
        if self._background is not None:
            self._begin(evaluation)
            return
        self._take(trainer, evaluation, self._simulator.evaluate_earlier(evaluation, self.num_episodes, self.clock))

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: STEP_OUTPUT, batch: Any, batch_idx: int
    ) -> None:
        """Take a result that came from the background; at the last update wait, while its checkpoint is the last."""
        if self._background is None or self._background.unfinished is None:
            return
        if self._background.is_ready or is_last_update(trainer):
            self._finish(trainer)
            row = self.history[-1]
            # Not under its own name, which a monitor would take for the score of the policy as it is now.
            name = "return" if row["score"] is None else "score"
            pl_module.log(name, row[name], prog_bar=True, logger=False)

    @override
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Evaluate on `num_episodes` seeds, here so that checkpoints and early stopping see the result."""
        if self._simulator is None or not self.num_episodes or trainer.sanity_checking:
            return
        if trainer.state.fn == TrainerFn.FITTING and isinstance(pl_module, HasPolicyVersion):
            version, warmup = pl_module.policy_version, is_warming_up(pl_module)
            if (version, warmup) == (self._version, self._warmup):
                return
            self._version, self._warmup = version, warmup
        self.clock.lap(trainer.global_step)
        if self._background is not None:
            self._finish(trainer)
            self._begin(Unfinished.take(trainer, pl_module))
            return
        try:
            comparison = self._simulator.evaluate(pl_module, self.num_episodes, self.clock)
        except Stopped:
            if trainer.state.fn == TrainerFn.FITTING:
                self._unfinished_state = Unfinished.take(trainer, pl_module).state()
            raise
        warmup = trainer.state.fn == TrainerFn.FITTING and is_warming_up(pl_module)
        log_now(pl_module, comparison, warmup)
        if trainer.state.fn == TrainerFn.FITTING:
            self.history.append(history_row(trainer.global_step, comparison, warmup))
        else:
            self.final = comparison_results(comparison)

    @override
    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Evaluate on `final_episodes` seeds."""
        if self._simulator is not None and self.final_episodes:
            log_now(pl_module, self._evaluate_last(self._simulator, pl_module))

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Evaluate the last policy on `final_episodes` seeds, after all others."""
        self._finish(trainer)
        if self._simulator is not None and self.final_episodes:
            log_final(trainer, self._evaluate_last(self._simulator, pl_module))
        self.clock.stop()
        self._is_over = True

    @override
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the results, now that the last checkpoint is there as well.

        Where a checkpoint left nothing to train there was no training to end: its evaluations are made here.
        """
        if not self._is_over:
            self.on_train_start(trainer, pl_module)
            self.on_train_end(trainer, pl_module)
        with eval_mode(pl_module):
            self.document = results_document(trainer, self.final, self.history, self.clock, self.base_s)
        folder = run_folder(trainer)
        for logger in trainer.loggers:  # a run whose results are there is complete, and nothing is logged anew
            logger.save()
        if trainer.is_global_zero and not getattr(trainer, "fast_dev_run", False):
            write_json(folder / "results.json", self.document)
            if self.video and self.unavailable is None:
                with unchanged_random_state(), eval_mode(pl_module):
                    film_last(trainer, pl_module, folder, self.first_seed)

    @override
    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Close the environments; what was under way may still go into a checkpoint."""
        if self._background is not None:
            self._unfinished_state = self._background.state()
        self._close()

    @override
    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Close the environments."""
        self._close()

    @override
    def state_dict(self) -> dict[str, Any]:
        """Clock, history, and the references' episodes, which a run that goes on need not repeat."""
        return {
            "environment_id": None if self._simulator is None else self._simulator.environment_id,
            "environment": None if self._simulator is None else self._simulator.environment,
            "references": {} if self._simulator is None else self._simulator.evaluator.state_dict(),
            "history": [dict(row) for row in self.history],
            "unfinished": self._background.state() if self._background is not None else self._unfinished_state,
            "clock": self.clock.state_dict(),
            "base_s": self.base_s,
            "version": self._version,
            "warmup": self._warmup,
        }

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint; episodes of another environment, or time limit, are forgotten."""
        self.history = [dict(row) for row in state_dict["history"]]
        self.clock.load_state_dict(state_dict["clock"])
        self.base_s = state_dict.get("base_s", self.base_s)
        self._unfinished_state = state_dict.get("unfinished")
        self._version, self._warmup = state_dict.get("version"), bool(state_dict.get("warmup", False))
        if self._simulator is not None and state_dict.get("environment") == self._simulator.environment:
            self._simulator.evaluator.load_state_dict(state_dict["references"])

    def _evaluate_last(self, simulator: PolicyRollouts, pl_module: pl.LightningModule) -> Comparison:
        """Evaluate on `final_episodes` seeds, with noise as well if asked to, and keep the results."""
        comparison = simulator.evaluate(pl_module, self.final_episodes, self.clock)
        self.final = comparison_results(comparison)
        if self.action_noise:
            noisy = simulator.evaluate(pl_module, self.final_episodes, self.clock, self.action_noise)
            self.final |= noisy_results(noisy)
        return comparison

    def _begin(self, evaluation: Unfinished) -> None:
        assert self._background is not None
        assert self._simulator is not None
        known = self._simulator.evaluator.state_dict()
        self._background.begin(evaluation, self._simulator.seeds(self.num_episodes), known)

    def _finish(self, trainer: pl.Trainer) -> None:
        if self._background is None or self._background.unfinished is None:
            return
        assert self._simulator is not None
        with self.clock.evaluation():  # what training waits, not what the other process takes
            evaluation, comparison, known = self._background.finish()
        self._simulator.evaluator.load_state_dict(known)
        self._take(trainer, evaluation, comparison)

    def _take(self, trainer: pl.Trainer, evaluation: Unfinished, comparison: Comparison) -> None:
        self.history.append(history_row(evaluation.step, comparison, evaluation.warmup))
        log_late(trainer, evaluation, comparison)

    def _close(self) -> None:
        if self._background is not None:
            self._background.close()
            self._background = None
        if self._simulator is not None:
            self._simulator.close()


def _require_validations(trainer: pl.Trainer, module: pl.LightningModule) -> None:
    """Refuse a training in which Lightning would leave out all validations, and evaluations with them, silently."""
    if trainer.limit_val_batches and not trainer.enable_validation:  # 0 is a choice of the user's
        without = "`validation_step`" if has_validation_data(trainer) else "data"
        raise UserError(
            f"{type(module).__name__} has no {without} to validate with, expected it: policies are evaluated at"
            " validations, which Lightning leaves out then. Give the module"
            " `def validation_step(self, batch, batch_idx): pass` and the data a `val_dataloader` of one item, or set"
            " `num_episodes=0` to evaluate at the end alone"
        )


def evaluation_of(trainer: pl.Trainer) -> RolloutEvaluation | None:
    """The one among a trainer's callbacks, None where there is none."""
    return next((found for found in trainer.callbacks if isinstance(found, RolloutEvaluation)), None)  # type: ignore[attr-defined]
