"""The entries of a file from outside, such as a checkpoint's: of which types they must be, before they are used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from spar_lightning.types import CheckpointError

_NUMBER = (int, float)
_NAME = (str, type(None))


class Each(NamedTuple):
    """A dict of any names, with values of one kind."""

    value: Any


class Entries(NamedTuple):
    """A dict that must have some entries and may have others; what else is in it is not looked at."""

    needed: Mapping[str, Any]
    further: Mapping[str, Any] = {}


class Maybe(NamedTuple):
    """A part of one kind, or none."""

    value: Any


_COUNTS = Entries({}, {"total": Each(int), "current": Each(int)})
_LOOP = Entries(
    {
        "state_dict": Entries({}, {"combined_loader": [Entries({"position": int})]}),
        "epoch_loop.state_dict": Entries({"_batches_that_stepped": int}),
        "epoch_loop.batch_progress": Entries({"total": Each(int), "current": Each(int)}, {"is_last_batch": bool}),
        "epoch_progress": Entries({"total": Each(int), "current": Each(int)}),
    },
    {
        "epoch_loop.manual_optimization.optim_step_progress": _COUNTS,
        "epoch_loop.val_loop.batch_progress": _COUNTS,
        "epoch_loop.val_loop.state_dict": dict,
        "epoch_loop.automatic_optimization.state_dict": dict,
        "epoch_loop.manual_optimization.state_dict": dict,
    },
)
_GROUP = Entries(
    {"params": [int], "lr": (*_NUMBER, Tensor), "betas": [_NUMBER], "eps": _NUMBER, "weight_decay": _NUMBER},
    dict.fromkeys(("amsgrad", "maximize", "foreach", "capturable", "differentiable", "fused"), (bool, type(None))),
)
_OPTIMIZER = Entries(
    {
        "state": Each(Entries({"step": (*_NUMBER, Tensor), "exp_avg": Tensor, "exp_avg_sq": Tensor})),
        "param_groups": [_GROUP],
    }
)
_CALLBACK = Entries(
    {},
    {
        "history": [
            Entries(
                {"step": int, "score": (*_NUMBER, type(None)), "return": _NUMBER, "episodes": int},
                {"improvement": (*_NUMBER, type(None)), "warmup": bool},
            )
        ],
        "clock": Entries({"total_s": _NUMBER, "evaluation_s": _NUMBER}),
        "environment_id": _NAME,
        "version": (int, type(None)),
        "warmup": bool,
        "references": Each(Each([_NUMBER])),
        "random_states": [Entries({"python": list, "numpy": list, "torch": Tensor})],
        "monitor": _NAME,
        "dirpath": _NAME,
        "best_model_path": str,
        "last_model_path": str,
        "kth_best_model_path": str,
        "best_k_models": Each(Tensor),
        "best_model_score": (Tensor, type(None)),
        "current_score": (Tensor, type(None)),
    },
)

MODULE = Entries(
    {"hyper_parameters": Each(object), "state_dict": Each(Tensor)},
    {
        "module": str,
        "noise": Tensor,
        "simulator": Entries(
            {
                "spec": str,
                "observation_keys": (list, tuple, type(None)),
                "observation_dim": int,
                "action_dim": int,
                "module": str,
            }
        ),
        "format_version": int,
        "finished": bool,
        "global_step": int,
        "epoch": int,
        "callbacks": Entries({}, {"RolloutEvaluation": _CALLBACK}),
        "datamodule_hyper_parameters": Entries(
            {},
            {
                "dataset": str,
                "environment": _NAME,
                "observation_keys": (list, tuple, type(None)),
                "max_episode_steps": (int, type(None)),
            },
        ),
    },
)
"""What every checkpoint holds, and what is read of it to evaluate one."""

RESUMABLE = Entries(
    {
        "global_step": int,
        "epoch": int,
        "loops": Entries({"fit_loop": _LOOP}),
        "callbacks": Each(_CALLBACK),
        "optimizer_states": [_OPTIMIZER],
        "lr_schedulers": list,  # Lightning looks for it, and finds an empty one
    }
)
"""What a run goes on from, besides."""


def check_entries(found: Any, expected: Any, key: str = "") -> None:
    """See that a part of a file is of the kind that it should be.

    Args:
        found: the part.
        expected: a type or several, `Each`, `Entries`, `Maybe`, or a list of one such kind; a tuple is as good as a
            list.
        key: where the part is, for the message.

    Raises:
        CheckpointError: naming the first entry that is not.
    """
    if isinstance(expected, Maybe):
        if found is not None:
            check_entries(found, expected.value, key)
    elif isinstance(expected, Each | Entries):
        _check_type(found, dict, key)
        if isinstance(expected, Each):
            for name, value in found.items():
                check_entries(value, expected.value, _joined(key, name))
            return
        for name in expected.needed.keys() - found.keys():
            raise CheckpointError(f"`{_joined(key, name)}` is missing")
        for name, kind in {**expected.needed, **expected.further}.items():
            if name in found:
                check_entries(found[name], kind, _joined(key, name))
    elif isinstance(expected, list):
        _check_type(found, (list, tuple), key)
        for position, item in enumerate(found):
            check_entries(item, expected[0], f"{key}[{position}]")
    else:
        _check_type(found, (list, tuple) if expected is list else expected, key)


def _check_type(found: Any, expected: Any, key: str) -> None:
    kinds = expected if isinstance(expected, tuple) else (expected,)
    if isinstance(found, kinds) and not (isinstance(found, bool) and bool not in kinds and object not in kinds):
        if kinds == (int,) and found < 0:
            raise CheckpointError(f"`{key}` is {found}, expected at least 0")
        if isinstance(found, Tensor) and (found.layout != torch.strided or found.is_quantized or found.is_meta):
            raise CheckpointError(
                f"`{key}` is a {found.layout} of {found.dtype} on {found.device}, expected plain numbers"
            )
        return
    names = " or ".join("none" if kind is type(None) else kind.__name__ for kind in kinds)
    shown = repr(found) if isinstance(found, str | int | float) else f"a {type(found).__name__}"
    raise CheckpointError(f"`{key}` is {shown[:60]}, expected {names}")


def _joined(key: str, name: Any) -> str:
    return f"{key}.{name}" if key else str(name)
