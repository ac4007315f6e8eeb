"""What a comparison of a data set with the installed simulator found."""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Verdict = Literal["same", "same but for some", "other ends", "different"]

TOLERANCE = 1e-3
"""The 95th percentile of the errors up to which a simulator counts as that of the data, in standard deviations.

Measured with data of 3,000 to 4,000 steps and MuJoCo 4.0.0: where an environment replays its own data, the 95th
percentiles are up to 6e-6 for next observations and 2e-6 for rewards (Hopper, Walker2d, HalfCheetah, Ant, Humanoid,
Swimmer, PointMaze, AntMaze, Adroit), from storing float32 and from the solver's unknown start. Where versions differ
they are 0.09 (next observations of Walker2d-v4 in Walker2d-v5: the friction of a foot) and 8e-3 (rewards of Ant-v4 in
Ant-v5: the cost of contacts).
"""

OUTLIER = 1e-2
"""An error that no replay of an environment's own data reached; the largest was 4e-3, at a contact of Humanoid.

A few of them in data that otherwise agree tell of rare differences: in Hopper-v4 and Hopper-v5 the reward of the step
that falls.
"""


WRONG_ENDS = 0.05
"""The share of episodes' ends that may differ; where an environment replays its own data, none does."""


class EpisodeEnds(NamedTuple):
    """What became of the last steps of episodes, a few of all that is replayed, where recordings go wrong."""

    replayed: int
    elsewhere: int  # led to another next observation, by more than `OUTLIER`
    differing_terminations: int | None  # None where the observations do not tell the goal

    @property
    def are_wrong(self) -> bool:
        """Whether so many differ that it is no accident."""
        return max(self.elsewhere, self.differing_terminations or 0) > WRONG_ENDS * self.replayed

    def __str__(self) -> str:
        if not self.replayed:
            return "none could be replayed: whether they are right is not known"
        terminations = (
            "terminations not compared"
            if self.differing_terminations is None
            else f"{self.differing_terminations:,} terminate in one of the two only"
        )
        return f"{self.replayed:,} replayed: {self.elsewhere:,} lead elsewhere, {terminations}"


class Errors(NamedTuple):
    """Absolute errors over the replayed steps."""

    median: float
    percentile_95: float
    largest: float

    @classmethod
    def of(cls, errors: npt.NDArray[np.float64]) -> Errors:
        """Summarize errors (N,)."""
        return cls(float(np.median(errors)), float(np.quantile(errors, 0.95)), float(errors.max()))


@dataclass(frozen=True)
class CheckReport:
    """How well the installed simulator repeats what a data set has recorded."""

    dataset: str
    environment: str
    simulators: dict[str, str]  # package -> installed version
    method: str  # what was replayed
    transitions: int  # in the data set
    replayed: int  # steps that were compared
    left_out: dict[str, int]  # why steps could not be replayed -> how many
    next_observations: Errors  # of the worst dimension, in its standard deviation over the data
    next_observations_raw: Errors  # of the worst dimension, in its own units
    worst_dimension: int  # with the largest 95th percentile, in standard deviations
    rewards: Errors | None  # in standard deviations; None where the observations do not tell the goal
    rewards_raw: Errors | None
    differing_terminations: int | None
    outliers: int  # steps with an error above `OUTLIER`, or another termination
    ends: EpisodeEnds

    @property
    def verdict(self) -> Verdict:
        """Whether the simulator is that of the data."""
        errors = [self.next_observations, *([] if self.rewards is None else [self.rewards])]
        if not all(error.percentile_95 <= TOLERANCE for error in errors):  # so that a NaN never passes
            return "different"
        if self.ends.are_wrong:
            return "other ends"
        return "same but for some" if self.outliers else "same"

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        report = asdict(self)
        for name, value in report.items():
            if isinstance(value, Errors | EpisodeEnds):
                report[name] = value._asdict()
        return {**report, "tolerance": TOLERANCE, "outlier": OUTLIER, "verdict": self.verdict}

    def __str__(self) -> str:
        versions = ", ".join(f"{package} {version}" for package, version in self.simulators.items())
        lines = [f"{self.dataset} in {self.environment} ({versions})"]
        lines += [f"replayed {self.replayed:,} of {self.transitions:,} transitions: {self.method}"]
        lines += [f"left out {count:,}: {reason}" for reason, count in self.left_out.items()]
        lines += ["", f"{'error':<18}{'median':>11}{'95th pct.':>11}{'largest':>11}"]
        lines += [_line("next observation", self.next_observations, f"std (worst: dimension {self.worst_dimension})")]
        lines += [_line("", self.next_observations_raw, "raw")]
        if self.rewards is not None and self.rewards_raw is not None:
            lines += [_line("reward", self.rewards, "std"), _line("", self.rewards_raw, "raw")]
            lines += [f"{'termination':<18}{self.differing_terminations:>11,} differ"]
        else:
            lines += ["reward            not compared: the observations do not tell the goal"]
        lines += [f"episode ends      {self.ends}"]
        conclusion = textwrap.wrap(f"{self.verdict}: {self._explanation()}", width=100)
        return "\n".join([*lines, "", *conclusion])

    def _explanation(self) -> str:
        if self.verdict == "same":
            return "the simulator repeats the data, so scores here compare with those of the data's environment."
        if self.verdict == "same but for some":
            return (
                f"the simulator repeats the data but for {self.outliers:,} of {self.replayed:,} steps, so scores here "
                "nearly compare with those of the data's environment."
            )
        if self.verdict == "other ends":
            return (
                "the simulator repeats the data, but episodes do not end there as they do here. Were time-outs stored "
                "as terminations, or terminations left out? Or was what a reset led to stored as the last next "
                "observation? Values that bootstrap from such ends are wrong."
            )
        rewards = "" if self.rewards is None else f", rewards by {self.rewards.percentile_95:.1e}"
        return (
            "the simulator here does not repeat the data, so scores do not compare with those of the data's "
            "environment: another version, or logs in other units or another order. "
            f"Next observations are off by {self.next_observations.percentile_95:.1e} standard deviations{rewards} "
            f"(95th percentile; {TOLERANCE:g} would pass)."
        )


def _line(name: str, errors: Errors, unit: str) -> str:
    return f"{name:<18}{errors.median:>11.1e}{errors.percentile_95:>11.1e}{errors.largest:>11.1e}  {unit}"
