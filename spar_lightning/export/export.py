"""From a checkpoint to a folder that can be deployed: the policy as one file, tried, timed, with a model card."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spar_lightning.export import numpy_policy
from spar_lightning.export.formats import FORMATS, Act, require_packages
from spar_lightning.export.metadata import metadata_of
from spar_lightning.export.model_card import CARD, check_card, model_card
from spar_lightning.export.program import capture
from spar_lightning.training import AlgorithmModule, load_trained
from spar_lightning.types import UserError
from spar_lightning.whole_file import check_folder, whole_file, write_text

TOLERANCE = 1e-5
"""Largest difference to `act`, as a share of half the range of actions, on inputs like the training data."""

_TRIED = 256  # observations
_TIMED = 300  # actions, after a tenth as many that are not timed


class Trial(NamedTuple):
    """How an exported file did, beside the module that it came from."""

    difference: float  # largest, as a share of half the range of actions, on inputs like the training data
    far_difference: float  # on inputs up to a thousand deviations away, and on huge ones
    latency_ms: float  # of one action, the median
    module_latency_ms: float  # of `act` of the module


class Exported(NamedTuple):
    """What was written."""

    files: list[Path]
    trial: Trial
    metadata: dict[str, Any]


def export_policy(checkpoint: Path, kind: str, folder: Path | None = None, algorithm: str | None = None) -> Exported:
    """Write the policy in a checkpoint as `policy.<kind>` with a model card beside it, and try it out.

    Args:
        checkpoint: of any algorithm.
        kind: one of `FORMATS`.
        folder: for the files; by default `export` in the run's folder.
        algorithm: class path of an own algorithm that the checkpoint is of.

    Raises:
        UserError: if the format is unknown or lacks a package, or the file does not do what the policy does.
        CheckpointError: if there is no trained policy in the file.
    """
    if kind not in FORMATS:
        raise UserError(f"the format is {kind}, expected one of {', '.join(FORMATS)}")
    require_packages(kind)
    module = load_trained(checkpoint, algorithm)
    metadata = metadata_of(checkpoint, module)
    folder = _default_folder(checkpoint) if folder is None else folder
    check_folder(folder)
    check_card(folder)
    file = folder / f"policy.{kind}"
    encoded = FORMATS[kind].encode(capture(module.algorithm), metadata)
    trial = _checked(module, kind, encoded)
    with whole_file(file) as stream:
        stream.write(encoded)
    files = [file]
    if kind == "npz":
        files.append(folder / "numpy_policy.py")
        write_text(files[-1], Path(numpy_policy.__file__).read_text(encoding="utf-8"))
    files.append(folder / CARD)
    write_text(files[-1], model_card(metadata, kind, trial.latency_ms))
    return Exported(files, trial, metadata)


def _checked(module: AlgorithmModule, kind: str, encoded: bytes) -> Trial:
    """Try a file out before it takes the place of another."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"policy.{kind}")
        with whole_file(path) as stream:
            stream.write(encoded)
        trial = try_out(module, FORMATS[kind].run(path))
    if not trial.difference <= TOLERANCE:
        raise UserError(
            f"the exported file differs by {trial.difference:.1e} from the policy, expected at most {TOLERANCE:.0e} of"
            " half the range of actions: it is not written. Choose another format"
        )
    return trial


def _default_folder(checkpoint: Path) -> Path:
    """Beside `checkpoints` in a run's folder, else beside the file."""
    parent = checkpoint.absolute().parent
    return (parent.parent if parent.name == "checkpoints" else parent) / "export"


def try_out(module: AlgorithmModule, act: Act) -> Trial:
    """Compare an exported file with the module's `act`, and time both."""
    normalizer = module.algorithm.normalizer
    mean, std = normalizer.observation_mean.numpy(), normalizer.observation_std.numpy()
    half_range = (normalizer.action_high - normalizer.action_low).numpy() / 2
    generator = np.random.default_rng(0)
    usual = generator.standard_normal((_TRIED, len(mean)), dtype=np.float32)

    def difference(observations: npt.NDArray[np.float32]) -> float:
        differences = np.abs(act(observations) - module.act(observations)) / half_range
        return float(differences.max())  # a NaN of either is one

    far = np.concatenate([mean + std * usual * scale for scale in (10, 100, 1000)] + [usual * np.float32(1e6)])
    one = (mean + std * usual[:1]).astype(np.float32)
    return Trial(
        difference(mean + std * usual),
        difference(far.astype(np.float32)),
        _median_ms(act, one),
        _median_ms(module.act, one),
    )


def _median_ms(act: Act, observations: npt.NDArray[np.float32]) -> float:
    times = []
    for _ in range(_TIMED + _TIMED // 10):
        start = time.perf_counter()
        act(observations)
        times.append(time.perf_counter() - start)
    return float(np.median(times[_TIMED // 10 :])) * 1e3
