"""Comparing a data set with the installed simulator: do the logged actions lead where the data say?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from typing_extensions import Unpack

from spar_lightning.datasets.dataset import Episode, OfflineDataset
from spar_lightning.datasets.sources.reading_settings import ReadingSettings
from spar_lightning.datasets.sources.registry import open_dataset
from spar_lightning.inspection.checking.replay import Replay, open_replay
from spar_lightning.inspection.checking.report import OUTLIER, CheckReport, EpisodeEnds, Errors
from spar_lightning.inspection.checking.sampling import Spread, StepChoice
from spar_lightning.simulators.environments import installed_simulators
from spar_lightning.types import DataError

Array = npt.NDArray[np.float64]

_OF_REWARDS = ("reward", "termination")  # what depends on the goal too


def check_dataset(
    name: str,
    environment: str | None = None,
    steps: int = 1000,
    seed: int = 0,
    observation_keys: Sequence[str] | None = None,
    **reading: Unpack[ReadingSettings],
) -> CheckReport:
    """Replay logged actions from logged states in the installed simulator, and compare what comes of them.

    The steps are drawn from the whole data set, which is read once, an episode at a time; beside them the last steps
    of some episodes are looked at, where flags and next observations go wrong.

    Args:
        name: of the data set, as `open_dataset` takes it.
        environment: Gymnasium id of the environment to compare with; by default the one that the data name, with
            their arguments.
        steps: transitions to replay.
        seed: of the choice of transitions; the same seed chooses the same ones.
        observation_keys: which parts of dict observations to put side by side; by default as `open_dataset` does.
        reading: as of `open_dataset`.

    Raises:
        DataError: the data cannot be opened or read, name no environment, do not fit it, or the state of the
            environment cannot be rebuilt from its observations.
        EnvironmentUnavailableError: the environment cannot be made here.
    """
    return check_opened(open_dataset(name, observation_keys, **reading), environment, steps, seed)


def check_opened(
    dataset: OfflineDataset, environment: str | None = None, steps: int = 1000, seed: int = 0
) -> CheckReport:
    """`check_dataset` for a data set that is open."""
    for argument, value, least in (("steps", steps, 1), ("seed", seed, 0)):
        if value < least:
            raise DataError(f"`{argument}` is {value}, expected at least {least}.")
    spec = dataset.evaluated_in(environment, None).environment_spec
    if spec is None:
        raise DataError(
            f"`{dataset.name}` does not say which environment it comes from: name it, as in `--environment Hopper-v4`."
        )
    replay = open_replay(spec, dataset.observation_keys)
    try:
        replay.check_dimensions(dataset.name, dataset.observation_dim, dataset.action_dim)
        return _compare(dataset, spec.id, replay, StepChoice(dataset, replay.horizon, steps, seed))
    finally:
        replay.close()


class _Replayed(NamedTuple):
    """What became of one step."""

    observation: Array  # (O,) errors
    reward: float  # error
    termination: bool  # whether it differs
    drawn: bool  # among all steps, not as the end of an episode only
    last: bool  # of an episode


@dataclass
class _Found:
    """The replayed steps, and why others could not be."""

    replayed: list[_Replayed] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)  # of those drawn

    def add(self, replay: Replay, episode: Episode, drawn: list[int], end: bool) -> None:
        """Replay the steps that were drawn of an episode and, if asked to, its last one."""
        last = len(episode.rewards) - 1
        steps = sorted({*drawn, last}) if end else drawn
        known = [step for step in steps if step < len(episode.next_observations) and _is_finite(episode, step)]
        self.left_out["a number is missing or not finite"] += len(set(drawn) - set(known))
        for step, outcome in replay.outcomes(episode, known):
            if isinstance(outcome, str):
                self.left_out[outcome] += step in drawn
                continue
            logged = episode.next_observations[step].astype(np.float64)
            self.replayed.append(
                _Replayed(
                    observation=np.abs(outcome.next_observation - logged),
                    reward=abs(outcome.reward - float(episode.rewards[step])),
                    termination=outcome.terminated != (episode.termination and step == last),
                    drawn=step in drawn,
                    last=step == last,
                )
            )


def _is_finite(episode: Episode, step: int) -> bool:
    row = (episode.observations[step], episode.actions[step], episode.next_observations[step], episode.rewards[step])
    return all(np.isfinite(part).all() for part in row)


def _compare(dataset: OfflineDataset, environment: str, replay: Replay, choice: StepChoice) -> CheckReport:
    observations, rewards, found, first = Spread(), Spread(), _Found(), 0
    for number, episode in enumerate(dataset.episodes()):
        if not len(episode.rewards):
            continue
        observations.add(episode.observations)
        rewards.add(episode.rewards[:, None])
        found.add(replay, episode, choice.steps(number, first, len(episode.rewards)), choice.end(number))
        first += len(episode.rewards)
    if not any(step.drawn for step in found.replayed):
        reasons = ", ".join(f"{reason} ({count:,} steps)" for reason, count in found.left_out.items())
        raise DataError(f"No step of `{dataset.name}` can be replayed: {reasons or 'there are no transitions'}.")
    return _report(dataset, environment, replay, found, observations.std, float(rewards.std[0]))


def _report(
    dataset: OfflineDataset, environment: str, replay: Replay, found: _Found, std: Array, reward_std: float
) -> CheckReport:
    drawn = [step for step in found.replayed if step.drawn]
    raw = np.stack([step.observation for step in drawn])
    scaled = raw / std
    reward_errors, terminations = (np.array([getattr(step, name) for step in drawn]) for name in _OF_REWARDS)
    far = scaled.max(1) > OUTLIER
    if replay.tells_rewards:
        far |= (reward_errors / reward_std > OUTLIER) | terminations
    return CheckReport(
        dataset=dataset.name,
        environment=environment,
        simulators=installed_simulators(),
        method=replay.method,
        transitions=dataset.num_transitions,
        replayed=len(raw),
        left_out={reason: count for reason, count in found.left_out.items() if count},
        next_observations=Errors.of(scaled.max(1)),
        next_observations_raw=Errors.of(raw.max(1)),
        worst_dimension=int(np.quantile(scaled, 0.95, axis=0).argmax()),
        rewards=Errors.of(reward_errors / reward_std) if replay.tells_rewards else None,
        rewards_raw=Errors.of(reward_errors) if replay.tells_rewards else None,
        differing_terminations=int(terminations.sum()) if replay.tells_rewards else None,
        outliers=int(far.sum()),
        ends=_ends([step for step in found.replayed if step.last], std, replay.tells_rewards),
    )


def _ends(last: Sequence[_Replayed], std: Array, tells_terminations: bool) -> EpisodeEnds:
    return EpisodeEnds(
        replayed=len(last),
        elsewhere=sum(bool((step.observation / std).max() > OUTLIER) for step in last),
        differing_terminations=sum(step.termination for step in last) if tells_terminations else None,
    )
