"""The entries of a checkpoint: of which types they must be, before they are used."""

from __future__ import annotations

from torch import Tensor

from spar_lightning.entries import Each, Entries, Maybe

_NUMBER = (int, float)
_NAME = (str, type(None))

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
        "environment": _NAME,
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
            },
            {"scale": Entries({"reference": Maybe([_NUMBER]), "note": str})},
        ),
        "observation_names": Maybe([str]),
        "format_version": int,
        "seed_everything": (int, type(None)),
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
