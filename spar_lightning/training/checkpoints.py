"""Loading of checkpoints from outside: weights only, with errors that say what does not fit."""

from __future__ import annotations

import stat
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import lightning.pytorch as pl
import torch
from torch import Tensor

from spar_lightning.entries import Entries, check_entries
from spar_lightning.training.checkpoint_entries import MODULE, RESUMABLE
from spar_lightning.types import CheckpointError

PARTS = ("hyper_parameters", "state_dict")
"""What a module is rebuilt from."""

MODULE_KEY = "module"
"""Where a checkpoint says which class of module it holds."""

SIMULATOR_KEY = "simulator"
"""Where a checkpoint says in which environment its policy is evaluated; see `Simulator.entry`."""

OBSERVATIONS_KEY = "observation_names"
"""Where a checkpoint says what lies side by side in an observation; None where that has no names."""

SEED_KEY = "seed_everything"
"""Where a checkpoint says the seed of its run, if it had one."""

FORMAT_KEY = "format_version"
FORMAT = 2
"""Of the checkpoints that this version writes; it reads those of 1 too, which say no version.

| format | |
|---|---|
| 0 | weights are those of the module itself, without `algorithm.` before their names: not read |
| 1 | says no version, nor whether its training had ended |
| 2 | `format_version`, `finished` |
"""

Module = TypeVar("Module", bound=pl.LightningModule)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a Lightning checkpoint without unpickling arbitrary objects.

    Raises:
        CheckpointError: if there is no such file that may be read, it is not as it was written, or it is not a
            checkpoint with hyper-parameters and weights.
    """
    _check_file(Path(path))
    _check_bits(Path(path))
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # bytes that are no pickle may raise anything, as `KeyError: 101` of a text
        # Not the error's own words: torch's advice is to load the file without this protection.
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}), expected a file of weights and plain "
            "values: is it whole, and written by this project?"
        ) from error
    parts = [checkpoint.get(key) for key in PARTS] if isinstance(checkpoint, dict) else []
    if not parts or not all(isinstance(part, dict) for part in parts):
        raise CheckpointError(
            f"{path} holds no `hyper_parameters` and `state_dict`, expected a Lightning checkpoint of this project"
        )
    _check_entries(checkpoint, MODULE, path)
    _check_format(checkpoint, path)
    return cast(dict[str, Any], checkpoint)


def is_there(path: Path) -> bool:
    """Whether anything stands in the place of a checkpoint; what is wrong with it is said when it is read."""
    try:
        path.lstat()
    except OSError as error:
        return not isinstance(error, FileNotFoundError | NotADirectoryError)
    return True


def _check_file(path: Path) -> None:
    try:
        if stat.S_ISREG(path.stat().st_mode):
            path.open("rb").close()
            return
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(
            f"there is no checkpoint {path}: give the path of a .ckpt file that a run has written"
        ) from None
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror}), expected a checkpoint that this user may read: see to its"
            " rights, or move it away and take another one of the run"
        ) from error
    raise CheckpointError(
        f"{path} is {'a folder' if path.is_dir() else 'no file'}, expected a .ckpt file that a run has written, such as"
        " checkpoints/last.ckpt in a run's folder: name one, or move away what stands in its place"
    )


def _check_bits(path: Path) -> None:
    """Refuse an archive with parts that do not have their checksum; torch writes one of each, and does not look."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception:  # no archive, or too damaged to be one, as loading will say
        return
    if damaged is not None:
        raise CheckpointError(
            f"{path} is damaged: its part {damaged} does not have its checksum, expected the bytes that were written."
            " Copy it again from where it came from, or take another checkpoint of this run"
        )


def _check_format(checkpoint: dict[str, Any], path: str | Path) -> None:
    """Refuse what an earlier version wrote and this one cannot use, or what only a later one knows."""
    weights = checkpoint["state_dict"]
    found = checkpoint.get(FORMAT_KEY, 1 if any(str(name).startswith("algorithm.") for name in weights) else 0)
    if found > FORMAT:
        raise CheckpointError(
            f"{path} has the format {found}, expected at most {FORMAT}: a later version of spar_lightning wrote it."
            " Update this one"
        )
    if found < 1:
        raise CheckpointError(
            f"{path} has the format 0, expected 1 to {FORMAT}: spar_lightning wrote it before algorithms had classes of"
            " their own, and its weights have other names. Evaluate it with the version that wrote it, or train anew"
            " with the settings in its run's config.yaml"
        )


def _check_entries(checkpoint: dict[str, Any], expected: Entries, path: str | Path) -> None:
    try:
        check_entries(checkpoint, expected)
    except CheckpointError as error:
        raise CheckpointError(f"{path} is no sound checkpoint: {error}. Take another one of this run") from error


def module_name(checkpoint: dict[str, Any]) -> str:
    """The class of module that a checkpoint holds; the first versions wrote none, and had one to write."""
    return str(checkpoint.get(MODULE_KEY, "SPARModule"))


def has_warmup(checkpoint: dict[str, Any]) -> bool:
    """Whether the run that wrote a checkpoint began with a warm-up, and not with the improvement alone."""
    return bool(checkpoint["hyper_parameters"].get("warmup_steps"))


def load_module(module_class: type[Module], path: str | Path) -> Module:
    """Rebuild a module from its own hyper-parameters and weights.

    Raises:
        CheckpointError: if the file is no checkpoint, or one of another class of module.
    """
    checkpoint = read_checkpoint(path)
    _check_shapes(module_class, checkpoint, path)
    try:
        module = module_class(**checkpoint["hyper_parameters"])
        module.load_state_dict(checkpoint["state_dict"])
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        expected = module_class.__name__
        if (found := checkpoint.get(MODULE_KEY, expected)) != expected:
            raise CheckpointError(
                f"{path} holds a {found}, expected a {expected}: name a checkpoint of one; `evaluate` takes either"
            ) from error
        reason = "".join(str(error).splitlines()[:1])
        raise CheckpointError(f"{path} does not hold a {expected}, as is expected: {reason}") from error
    return module.eval()


def check_resumable(
    module: pl.LightningModule, datamodule: pl.LightningDataModule, path: str | Path
) -> dict[str, tuple[Any, Any]]:
    """See that a run can go on from a checkpoint.

    Returns:
        Settings of module and data, and the seed, that differ without changing a shape, as (checkpoint's, this run's).

    Raises:
        CheckpointError: if a weight has another shape, with the settings that differ, or the data set is another one.
    """
    checkpoint = read_checkpoint(path)
    if missing := RESUMABLE.needed.keys() - checkpoint.keys():
        raise CheckpointError(
            f"{path} has no {', '.join(sorted(missing))}: it can be tested, but no run can go on from it"
        )
    _check_entries(checkpoint, RESUMABLE, path)
    data = checkpoint.get("datamodule_hyper_parameters", {})
    if not _is_same_data(data, datamodule):
        raise CheckpointError(
            f"{path} was trained on {data['dataset']}, not on {datamodule.hparams['dataset']}: resume it with"
            f" --data.dataset {data['dataset']}, or start a new run"
            + (" from its base with --bc.ckpt_path" if hasattr(module, "base") else "")
        )
    theirs, ours = checkpoint["hyper_parameters"], dict(module.hparams)
    differing = {key: (theirs.get(key), ours.get(key)) for key in ours if _differ(theirs.get(key), ours.get(key))}
    if difference := _difference(_shapes(checkpoint["state_dict"]), _shapes(module.state_dict())):
        settings = "; ".join(f"{key}: {old!r} in the checkpoint, {new!r} here" for key, (old, new) in differing.items())
        raise CheckpointError(
            f"{path} does not fit this model: {difference}. Settings that differ: {settings or 'none'}. Resume with the"
            " checkpoint's."
        )
    seed, recorded = getattr(datamodule, "run_seed", None), checkpoint.get(SEED_KEY)
    if None not in (seed, recorded) and seed != recorded:
        differing[SEED_KEY] = recorded, seed
    here = {key: datamodule.hparams.get(key) for key in data}
    if here.get("sha256", "") is None:  # the file is not read yet
        del here["sha256"]
    return differing | {key: (data[key], value) for key, value in here.items() if data[key] != value}


def _check_shapes(module_class: type[Module], checkpoint: dict[str, Any], path: str | Path) -> None:
    """Refuse weights that are not of the networks that the hyper-parameters name, before memory is taken for those."""
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore")
            expected = _shapes(module_class(**checkpoint["hyper_parameters"]).state_dict())
    except Exception:  # a constructor of the user's that needs numbers, or settings that building it will refuse
        return
    if difference := _difference(_shapes(checkpoint["state_dict"]), expected):
        raise CheckpointError(
            f"{path} is not of one piece: {difference} as its hyper-parameters have it. Take another one of this run"
        )


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in weights.items()}


def _difference(found: dict[str, tuple[int, ...]], expected: dict[str, tuple[int, ...]]) -> str:
    """The first weight of a checkpoint that is not as expected, in words; empty if there is none."""
    for name in expected | found:
        if name not in found:
            return f"weight {name} is missing, expected one of shape {expected[name]}"
        if name not in expected:
            return f"weight {name}, of shape {found[name]}, is one that the model does not have"
        if found[name] != expected[name]:
            return f"weight {name} has shape {found[name]}, expected {expected[name]}"
    return ""


def _differ(theirs: Any, ours: Any) -> bool:
    """Whether two settings do; a tensor is none that a module of this project has."""
    if isinstance(theirs, Tensor) or isinstance(ours, Tensor):
        return not (isinstance(theirs, Tensor) and isinstance(ours, Tensor) and torch.equal(theirs, ours))
    return bool(theirs != ours)


def _is_same_data(recorded: dict[str, Any], datamodule: pl.LightningDataModule) -> bool:
    """Whether a checkpoint was trained on these data: by their name, as it is given or absolute, or by their hash."""
    ours = datamodule.hparams
    if recorded.get("dataset", ours["dataset"]) in (ours["dataset"], getattr(datamodule, "name", None)):
        return True
    return recorded.get("sha256") is not None and recorded["sha256"] == ours.get("sha256")
