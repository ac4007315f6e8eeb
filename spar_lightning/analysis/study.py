"""A run under study: what its figures are drawn from, each part computed when it is first asked for."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spar_lightning.analysis.run import FinishedRun
from spar_lightning.analysis.sample import Sample
from spar_lightning.analysis.scaled import ScaledResidual
from spar_lightning.analysis.values import Calibration, Gains, calibration, expected_gains
from spar_lightning.callbacks.run_summary import score_table
from spar_lightning.evaluation import EpisodeRunner, Rollouts, normalized_score
from spar_lightning.replay import OfflineDataModule
from spar_lightning.training import SPARModule
from spar_lightning.training.checkpoints import load_module
from spar_lightning.types import DataError, EnvironmentUnavailableError, Policy, UserError

FACTORS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
"""Of the residual, in the figure of its scale."""


class LeftOutError(Exception):
    """A figure that cannot be drawn of this run; the message says why."""


class Study:
    """A finished run, with what figures ask of it.

    Args:
        run: folder of the run.
        ablation: folder of a run of the same base, manifold and critics with `improvement: value_gradient`.
        others: folders of runs with other seeds.
        episodes: of each policy in the simulator.
        states: of the data, at most.

    Raises:
        UserError: if a folder holds no finished run, or `episodes` or `states` are less than 1.
        CheckpointError: if a run's policy is no base with a residual.
    """

    def __init__(
        self,
        run: str | Path,
        ablation: str | Path | None = None,
        others: Sequence[str | Path] = (),
        episodes: int = 10,
        states: int = 10_000,
    ) -> None:
        for name, number in (("episodes", episodes), ("states", states)):
            if number < 1:
                raise UserError(f"`{name}` is {number}, expected at least 1")
        self.run = FinishedRun.open(run)
        self.others = [FinishedRun.open(other) for other in others]
        self._check_others()
        self.episodes, self.states = episodes, states
        self.module = _policy_of(self.run)
        self.ablation = None if ablation is None else _policy_of(FinishedRun.open(ablation))
        for kind in ("observation_dim", "action_dim"):
            expected, found = getattr(self.module, kind), getattr(self.ablation, kind, None)
            if found not in (None, expected):
                raise UserError(
                    f"`{kind}` of the ablation {ablation} is {found}, of the run {expected}: name one of this run"
                )
        improvement = None if self.ablation is None else self.ablation.hparams.get("improvement")
        if improvement not in (None, "value_gradient"):
            raise UserError(f"`improvement` of the ablation {ablation} is {improvement}, expected value_gradient")

    def _check_others(self) -> None:
        """Refuse what is no other seed of the run: itself, one twice, or a run of another algorithm."""
        known = {self.run.folder.resolve()}
        for other in self.others:
            kinds = [one.results.get("module") for one in (self.run, other)]
            if other.folder.resolve() in known or kinds[0] != kinds[1]:
                found = f"of {kinds[1]}" if kinds[0] != kinds[1] else "there already"
                raise UserError(
                    f"{other.folder} of `others` is {found}, expected further runs of {kinds[0]}, each once"
                )
            known.add(other.folder.resolve())

    @cached_property
    def data(self) -> OfflineDataModule:
        """The run's data, read."""
        try:
            data = OfflineDataModule(**self.run.config["data"])
        except (TypeError, ValueError) as error:
            raise UserError(
                f"{self.run.folder / 'config.yaml'} holds no settings of data ({error}), expected it as `fit` has"
                " written it"
            ) from error
        for kind in ("observation", "action"):
            found, expected = getattr(data, f"{kind}_dim"), getattr(self.module, f"{kind}_dim")
            if found != expected:
                raise UserError(
                    f"{kind}s of the data set {data.name} have {found} dimensions, the policy of {self.run.folder}"
                    f" expects {expected}: are they the data that it was trained on?"
                )
        data.prepare_data()
        data.setup("fit")
        return data

    @cached_property
    def action_names(self) -> list[str]:
        """What actions are called; numbers where the simulator does not say."""
        return self._names.actions or [f"action {number}" for number in range(self.module.action_dim)]

    @cached_property
    def observation_names(self) -> list[str]:
        """What observations are called; numbers where the simulator does not say."""
        numbers = range(self.module.observation_dim)
        return self._names.observations or [f"observation {number}" for number in numbers]

    @cached_property
    def _names(self) -> Any:
        return self.data.dimension_names()

    # ------------------------------------------------------------------------------------------------- of the data

    @cached_property
    def sample(self) -> Sample:
        """What the policy does at states of the data."""
        return Sample.take(self.module, self.data, self.states)

    @cached_property
    def ablation_sample(self) -> Sample | None:
        """The same of the ablation, at the same states; None where there is none."""
        return None if self.ablation is None else Sample.take(self.ablation, self.data, self.states)

    @cached_property
    def gains(self) -> Gains:
        """What critics expect of the policy over its base there."""
        return expected_gains(self.module, self.sample)

    # --------------------------------------------------------------------------------------------- of the simulator

    @cached_property
    def no_simulator(self) -> str | None:
        """Why there is no simulator here; None where there is one."""
        try:
            self.data.make_environment().close()
        except (DataError, EnvironmentUnavailableError) as error:
            return str(error)
        return None

    @cached_property
    def step_s(self) -> float | None:
        """Seconds of a step, where the simulator says."""
        if self.no_simulator is not None:
            return None
        environment = self.data.make_environment()
        step = getattr(environment.unwrapped, "dt", None)
        environment.close()
        return None if step is None else float(step)

    @property
    def seeds(self) -> list[int]:
        """Of the episodes: the run's own."""
        first = int(self.run.config["callbacks"]["rollout"]["first_seed"])
        return list(range(first, first + self.episodes))

    @cached_property
    def policy_rollouts(self) -> Rollouts:
        """The policy's episodes, recorded."""
        return self._roll_out(self.module)

    @cached_property
    def base_rollouts(self) -> Rollouts:
        """The base's episodes from the same starts, recorded."""
        return self._roll_out(self.module.base)

    @cached_property
    def scaled_returns(self) -> npt.NDArray[np.float64]:
        """Returns (F, n) with the residual scaled by each of `FACTORS`."""
        known = {0.0: self.base_rollouts, 1.0: self.policy_rollouts}
        runs = [known.get(factor) or self._roll_out(ScaledResidual(self.module, factor)) for factor in FACTORS]
        return np.stack([one.returns for one in runs])

    @cached_property
    def calibrations(self) -> dict[str, Calibration]:
        """Critics against the returns of the policy's and the base's episodes."""
        data = self.run.config["data"]
        factor = data.get("reward_scale", 1.0)
        if not isinstance(factor, int | float) or data.get("goal_terminations"):
            raise LeftOutError("the rewards that were trained on are not the simulator's times a number")
        settings = (float(self.module.hparams["discount"]), float(factor), float(data.get("reward_shift", 0.0)))
        rollouts = {"base": self.base_rollouts, "policy": self.policy_rollouts}
        return {name: calibration(self.module, one, *settings) for name, one in rollouts.items()}

    def values(self, returns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Returns of episodes as scores, where the data define them."""
        reference = self.data.reference_scores
        return returns if reference is None else normalized_score(returns, reference)

    @property
    def unit(self) -> str:
        """What `values` are."""
        return "return of an episode" if self.data.reference_scores is None else "normalized score"

    def _roll_out(self, policy: Policy) -> Rollouts:
        if self.no_simulator is not None:
            raise LeftOutError(f"there is no simulator here: {self.no_simulator}")
        with EpisodeRunner(self.data.make_environment) as runner:
            return runner.run(policy, self.seeds, record=True)

    # ------------------------------------------------------------------------------------------------------ in words

    def summary(self) -> str:
        """The run, its result as `fit` has printed it, and what is not among the figures."""
        results = self.run.results
        head = [f"{self.run.label}, {results['module']}, {self.run.updates:,} updates", *score_table(results)]
        return "\n".join([*head, *[f"left out: {reason}" for reason in self.missing]])

    @property
    def missing(self) -> list[str]:
        """What was not given, or cannot be had, with what to do about it."""
        found = []
        if self.no_simulator is not None:
            found.append(f"all rollouts, since there is no simulator here ({self.no_simulator})")
        if self.ablation is None:
            options = ["--model.improvement", "value_gradient", "--run_dir", "ABLATION"]
            line = shlex.join(["python", "-m", "spar_lightning", "fit", *self.run.warmup_taken_over, *options])
            found.append(f"the value-gradient ablation. Make it with `{line}`, and give that folder as `ablation`")
        if not self.others:
            found.append("other seeds. Give their folders as `others`")
        return found


def _policy_of(run: FinishedRun) -> SPARModule:
    return load_module(SPARModule, run.folder / "checkpoints" / "last.ckpt")
