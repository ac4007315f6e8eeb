"""The arrays that a recording of flat vectors consists of, the same in D4RL's HDF5 files and in `.npz` archives.

| array | shape | |
|---|---|---|
| observations | (N, O) | |
| actions | (N, A) | continuous |
| rewards | (N,) or (N, 1), else `success_reward` | |
| terminals or terminations | (N,) or (N, 1), 0 or 1 | whether the task ended after this step |
| timeouts or truncations | (N,) or (N, 1), 0 or 1 | whether the episode was cut off after this step |
| next_observations | (N, O), optional | else those of the next row, within an episode |
| episode | (N,) or (N, 1) integers, optional | one number an episode, whose rows are together |
| success | (N,) or (N, 1), 0 or 1, optional | for `success_reward`: whether the task was done, in an end |

Time-outs or `episode` must be there, since they tell where episodes were cut off, unless the environment is known:
then its time limit does (`episode_bounds`). Without terminals nothing terminates. Other arrays are left alone.
Source: README and `d4rl/offline_env.py` of Farama-Foundation/D4RL; `episode` is our addition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from spar_lightning.datasets.sources.column import Column, NoColumn
from spar_lightning.types import DataError

SuccessReward = Literal["all", "success"]

FLOATS, NUMBERS, REALS, INTEGERS = "f", "fiu", "fiub", "iu"
_KINDS = {FLOATS: "floats", NUMBERS: "numbers", REALS: "numbers or booleans", INTEGERS: "integers"}


@dataclass(frozen=True)
class FlatColumns:
    """The arrays of a file with N rows: their shapes and types are right, their values are not read yet."""

    observations: Column  # (N, O)
    actions: Column  # (N, A)
    rewards: Column | None  # (N,) or (N, 1); None where `success_reward` stands for them
    next_observations: Column | None  # (N, O)
    terminations: Column | None  # (N,) or (N, 1), as the following two
    truncations: Column | None
    episode: Column | None
    success: Column | None = None  # None also where nobody asks for it

    @property
    def rows(self) -> int:
        """N."""
        return self.observations.shape[0]


def flat_columns(columns: Mapping[str, Column], success_reward: SuccessReward | None = None) -> FlatColumns:
    """Find the arrays by their names, and check them.

    Args:
        columns: the arrays of the file.
        success_reward: in the place of rewards that are not recorded 1 at the end of `all` episodes, or of those whose
            last row has a `success`, and 0 elsewhere. Such an end is a termination.

    Raises:
        DataError: one is missing or there twice, or has another shape, length or type.
    """
    _check_needed(columns, success_reward)
    terminations = _either(columns, "terminals", "terminations")
    if terminations is None and columns.keys() & {"done", "dones"}:
        raise DataError(
            "There are `dones`, but no `terminals`: they do not tell whether the task ended or the episode was cut off."
            " Store the two apart, as `terminals` and `timeouts`."
        )
    found = {
        "observations": check_column("observations", columns["observations"], 2, NUMBERS),
        "actions": check_column("actions", columns["actions"], 2, FLOATS),
        "rewards": _optional(columns, "rewards", 1, REALS),
        "next_observations": _optional(columns, "next_observations", 2, NUMBERS),
        "terminations": _optional(columns, terminations, 1, REALS),
        "truncations": _optional(columns, _either(columns, "timeouts", "truncations"), 1, REALS),
        "episode": _optional(columns, "episode", 1, INTEGERS),
        "success": _optional(columns, "success" if success_reward == "success" else None, 1, REALS),
    }
    _check_shapes({name: column.shape for name, column in found.items() if column is not None})
    return FlatColumns(**found)  # type: ignore[arg-type]  # those that must be there are


def _check_needed(columns: Mapping[str, Column], success_reward: SuccessReward | None) -> None:
    needed = ["observations", "actions", "rewards" if success_reward is None else "success"]
    missing = [name for name in needed[: 2 if success_reward == "all" else 3] if name not in columns]
    if missing:
        remedy = " Name the arrays so, as in `np.savez(path, observations=obs, actions=act, rewards=rew)`."
        if missing == ["rewards"]:
            remedy = " `success_reward` can put 1 at the end of episodes in their place."
        if isinstance(columns.get("data"), NoColumn):
            remedy = " If it is robomimic's, give the path of the file, in which its layout is known."
        raise DataError(
            f"There is no `{'` and no `'.join(missing)}`, only {', '.join(sorted(columns)) or 'nothing'}.{remedy}"
        )
    if success_reward is not None and "rewards" in columns:
        raise DataError(f"There are `rewards`, and `success_reward` is {success_reward}: leave out one of them.")


def _either(columns: Mapping[str, Column], old: str, new: str) -> str | None:
    """Which of the two names of an array is used, if any."""
    if old in columns and new in columns:
        raise DataError(f"There are both `{old}` and `{new}`, two names of the same array: keep one.")
    return next((name for name in (old, new) if name in columns), None)


def _optional(columns: Mapping[str, Column], name: str | None, dimensions: int, kinds: str) -> Column | None:
    return check_column(name, columns[name], dimensions, kinds) if name in columns and name is not None else None


def check_column(name: str, column: Column, dimensions: int, kinds: str) -> Column:
    """See that an array has so many dimensions, and values of some kinds.

    Raises:
        DataError: it has not.
    """
    if isinstance(column, NoColumn):
        raise DataError(
            f"`{name}` is {column.what}, expected an array in the file itself: parts go side by side, as in"
            " `np.concatenate([position, velocity], axis=1)`."
        )
    if name == "actions" and column.dtype.kind in REALS.replace(FLOATS, ""):
        raise DataError(
            f"`actions` holds values of type {column.dtype}: discrete actions are not supported, as policies here give "
            "continuous ones. If these are continuous, store them as floats."
        )
    if column.dtype.kind not in kinds:
        raise DataError(f"`{name}` holds values of type {column.dtype}, expected {_KINDS[kinds]}.")
    shape = column.shape
    flat = dimensions == 1 and len(shape) == 2 and shape[1] == 1
    if not (flat or len(shape) == dimensions) or 0 in shape[1:]:
        expected = "(N,) or (N, 1)" if dimensions == 1 else "(N, K) with one vector a row"
        raise DataError(f"`{name}` has shape {shape}, expected {expected}.{_reshaping(name, shape, dimensions)}")
    return column


def _reshaping(name: str, shape: tuple[int, ...], dimensions: int) -> str:
    if dimensions == 2 and len(shape) == 1:
        return f" Where a row is one number give `{name}[:, None]`."
    if dimensions == 2 and len(shape) == 3 and 0 not in shape:
        return f" Episodes go one after the other: `{name}.reshape(-1, {shape[2]})`, with `truncations` at their ends."
    return ""


def _check_shapes(shapes: Mapping[str, tuple[int, ...]]) -> None:
    rows = shapes["observations"][0]
    for name, shape in shapes.items():
        if shape[0] != rows:
            raise DataError(f"`{name}` has {shape[0]} rows, `observations` has {rows}; expected as many of each.")
    following = shapes.get("next_observations", shapes["observations"])
    if following != shapes["observations"]:
        raise DataError(f"`next_observations` has shape {following}, `observations` has {shapes['observations']}.")
    if rows == 0:
        raise DataError("There are arrays, but no row in them; expected at least one.")
