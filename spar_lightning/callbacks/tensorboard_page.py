"""What a run shows in TensorBoard beside its curves: a page of charts, its settings, and what it came to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import lightning.pytorch as pl
import yaml
from lightning.pytorch.loggers import TensorBoardLogger
from typing_extensions import override

from spar_lightning.callbacks.results.document import run_folder, run_seed
from spar_lightning.callbacks.results.provenance import training_settings
from spar_lightning.callbacks.rollouts.rollout_evaluation import evaluation_of
from spar_lightning.callbacks.run_summary import score_table
from spar_lightning.documents import flat_settings
from spar_lightning.training.progress import WARMUP
from spar_lightning.types import HasReferencePolicies, HasResidual

NORMALIZED_SCORE, RETURN = "normalized_score", "return"


class TensorBoardPage(pl.Callback):
    """Writes what TensorBoard's tabs beside the scalars hold; it stands behind `RolloutEvaluation`.

    `Custom scalars` shows policy, base and fitted policy in one chart, the warm-up's policy as a curve of its own;
    improvement, residual and critic below. `Text` holds the configuration and the final table. `HParams` sets final
    score, improvement and size of the residual beside the settings.
    """

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the page, the settings, and what will be beside them."""
        configuration = _configuration(trainer)
        for logger in _loggers(trainer):
            logger.experiment.add_custom_scalars(layout(_unit(trainer)))
            logger.experiment.add_text("run/configuration", _as_code(configuration), 0)
            _write_settings(logger, trainer, pl_module)

    @override
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the result, and that the run is over."""
        evaluation = evaluation_of(trainer)
        document = None if evaluation is None else evaluation.document
        for logger in _loggers(trainer):
            if document is not None:
                table = "\n".join(score_table(document))
                logger.experiment.add_text("run/result", _as_code(table), trainer.global_step)
            *_, over = _summaries({}, {})
            logger.experiment._get_file_writer().add_summary(over)  # as Lightning's own logger does
            logger.experiment.flush()


def layout(unit: str) -> dict[str, dict[str, list[Any]]]:
    """The charts of the page: titles, and patterns of the tags in each.

    Args:
        unit: of the scores, as their tags end.
    """
    return {
        "Overview": {
            f"{unit.replace('_', ' ')}: policy, base, fitted, warm-up": _lines(
                f"rollout/{unit}$", f"rollout/base_{unit}$", f"rollout/fitted_{unit}$", f"{WARMUP}{unit}$"
            ),
            "improvement over the base": _lines("rollout/improvement$", f"{WARMUP}improvement$"),
            "size of the residual": _lines("residual/abs_mean$"),
            "size of each action's residual": _lines("residual_by_action/"),
            "critic: value of data's and policy's actions": _lines("critic/(q_data|q_policy|target_q)$"),
            "losses": _lines("[a-z]+/[a-z_]*loss$"),
        }
    }


def _lines(*patterns: str) -> list[Any]:
    return ["Multiline", list(patterns)]


def _loggers(trainer: pl.Trainer) -> Iterator[TensorBoardLogger]:
    if trainer.is_global_zero and not getattr(trainer, "fast_dev_run", False):
        yield from (logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger))


def _unit(trainer: pl.Trainer) -> str:
    scored = getattr(getattr(trainer, "datamodule", None), "reference_scores", None) is not None
    return NORMALIZED_SCORE if scored else RETURN


def _configuration(trainer: pl.Trainer) -> str:
    """The file that the command line has written; without one, the settings that matter to a result."""
    path = run_folder(trainer) / "config.yaml"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    return str(yaml.safe_dump(training_settings(trainer), sort_keys=False))


def _as_code(text: str) -> str:
    """In Markdown, which the tab renders."""
    return "\n".join(f"    {line}" for line in text.splitlines())


def _write_settings(logger: TensorBoardLogger, trainer: pl.Trainer, module: pl.LightningModule) -> None:
    tags = []
    evaluation = evaluation_of(trainer)
    if evaluation is not None and evaluation.final_episodes and evaluation.unavailable is None:
        tags.append(f"final/{_unit(trainer)}")
        if isinstance(module, HasReferencePolicies) and module.reference_policies():
            tags.append("final/improvement")
    if isinstance(module, HasResidual):
        tags.append("residual/abs_mean")
    settings = _shown({"seed": run_seed(trainer), **training_settings(trainer)})
    experiment, run, _ = _summaries(settings, dict.fromkeys(tags, 0.0))
    writer = logger.experiment._get_file_writer()
    writer.add_summary(experiment)
    writer.add_summary(run)


def _shown(settings: Mapping[str, Any]) -> dict[str, bool | str | float | int]:
    """Settings as what the tab can show.

    >>> _shown({"model": {"kappa": 1.4, "base": {"widths": [256, 256]}, "limit": None}})
    {'model.kappa': 1.4, 'model.base.widths': '[256, 256]'}
    """
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in flat_settings(settings).items()
        if value is not None
    }


def _summaries(settings: dict[str, Any], metrics: dict[str, float]) -> tuple[Any, Any, Any]:
    """Summaries of the experiment, of the run's start with its settings, and of its end."""
    from torch.utils.tensorboard.summary import hparams

    found: tuple[Any, Any, Any] = hparams(settings, metrics)  # type: ignore[no-untyped-call]
    return found
