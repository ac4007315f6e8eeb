"""What each bundled data set is made of: which environment, which checkpoints, in which shares."""

from __future__ import annotations

from dataclasses import dataclass

from spar_lightning.datasets.naming import did_you_mean
from spar_lightning.datasets.recording.behavior import Behavior, BehaviorPolicy, load_behavior
from spar_lightning.types import DataError

BUNDLED_PREFIX = "spar/"
ENVIRONMENTS = ("walker2d", "hopper", "halfcheetah")
KINDS = ("medium", "medium-replay", "medium-expert", "expert")
BUNDLED_DATASETS = tuple(f"{BUNDLED_PREFIX}{env}/{kind}-v0" for env in ENVIRONMENTS for kind in KINDS)


@dataclass(frozen=True)
class Recipe:
    """One bundled data set."""

    dataset_id: str
    environment: str  # walker2d, hopper or halfcheetah
    kind: str  # one of KINDS

    def segments(self, steps: int) -> list[tuple[BehaviorPolicy, int]]:
        """The policies to roll out one after another, each with its number of transitions; they add up to `steps`."""
        behavior = load_behavior(self.environment)
        indices = self._checkpoint_indices(behavior)
        share, remainder = divmod(steps, len(indices))
        counts = [share + (position < remainder) for position in range(len(indices))]
        return [(behavior.checkpoints[index], count) for index, count in zip(indices, counts, strict=True) if count]

    def _checkpoint_indices(self, behavior: Behavior) -> tuple[int, ...]:
        return {
            "medium": (behavior.medium,),
            "medium-replay": behavior.replay,
            "medium-expert": (behavior.medium, behavior.expert),
            "expert": (behavior.expert,),
        }[self.kind]


def parse_bundled_id(dataset_id: str) -> Recipe:
    """Look up a bundled id such as `spar/walker2d/medium-v0`.

    Raises:
        DataError: there is no such bundled data set; the message names the nearest ones.
    """
    if dataset_id not in BUNDLED_DATASETS:
        raise DataError(
            f"There is no bundled data set `{dataset_id}`; {did_you_mean(dataset_id, BUNDLED_DATASETS)} "
            f"Bundled are `spar/<env>/<kind>-v0` with env in {', '.join(ENVIRONMENTS)} and kind in {', '.join(KINDS)}."
        )
    _, environment, name = dataset_id.split("/")
    return Recipe(dataset_id, environment, name.removesuffix("-v0"))
