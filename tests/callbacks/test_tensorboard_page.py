"""What TensorBoard shows of a run beside its scalars."""

import re

import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from toy_training import ToyData, ToyModule, ToyResidualModule, train

from spar_lightning.callbacks import ResidualMonitor, RolloutEvaluation, TensorBoardPage


def accumulated(folder):
    found = EventAccumulator(str(folder), size_guidance={"tensors": 0, "scalars": 0})
    found.Reload()
    return found


def run(folder, module, **arguments):
    logger = TensorBoardLogger(folder, name="", version="", default_hp_metric=False)
    callbacks = [RolloutEvaluation(2, 3), ResidualMonitor(5), TensorBoardPage()]
    train(folder, module, callbacks, logger=logger, **arguments)
    return accumulated(folder)


def text(found, tag):
    (event,) = found.Tensors(f"{tag}/text_summary")
    return event.tensor_proto.string_val[0].decode()


def hyper_parameters(found):
    """Settings and metrics beside them, and how the run has ended."""
    settings, metrics, status = {}, [], None
    for content in found.summary_metadata.values():
        if content.plugin_data.plugin_name == "hparams":
            data = HParamsPluginData.FromString(content.plugin_data.content)
            metrics += [info.name.tag for info in data.experiment.metric_infos]
            settings |= dict(data.session_start_info.hparams.items())
            status = data.session_end_info.status or status
    return settings, metrics, status


def charts(found):
    (event,) = found.Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    return {chart.title: list(chart.multiline.tag) for category in layout.category for chart in category.chart}


def test_policy_base_and_fitted_policy_are_in_one_chart(tmp_path):
    found = run(tmp_path, ToyResidualModule())
    first, *others = charts(found).values()
    shown = [tag for tag in found.Tags()["scalars"] if any(re.match(pattern, tag) for pattern in first)]
    assert shown == [f"rollout/{name}normalized_score" for name in ("", "base_", "fitted_")]
    assert all(any(re.match(pattern, "residual_by_action/dimension_0") for pattern in group) for group in others[2:3])


def test_returns_are_shown_where_there_are_no_scores(tmp_path):
    found = run(tmp_path, ToyResidualModule(), data=ToyData(reference_scores=None))
    assert next(iter(charts(found).values()))[0] == "rollout/return$"
    assert hyper_parameters(found)[1][0] == "final/return"


def test_the_text_holds_settings_and_result(tmp_path):
    (tmp_path / "config.yaml").write_text("model:\n  kappa: 3\n")
    found = run(tmp_path, ToyResidualModule())
    assert "      kappa: 3" in text(found, "run/configuration")
    assert "improvement" in text(found, "run/result")


def test_a_logger_of_the_defaults_shows_the_score_in_its_one_metric(tmp_path):
    logger = TensorBoardLogger(tmp_path, name="", version="")
    train(tmp_path, ToyResidualModule(), [RolloutEvaluation(2, 3)], logger=logger)
    scalars = accumulated(tmp_path).Scalars
    assert scalars("hp_metric")[-1].value == scalars("final/normalized_score")[-1].value != -1


def test_a_training_by_hand_shows_its_settings(tmp_path):
    assert "data" in text(run(tmp_path, ToyResidualModule()), "run/configuration")


def test_score_improvement_and_residual_stand_beside_the_settings(tmp_path):
    _, metrics, status = hyper_parameters(run(tmp_path, ToyResidualModule()))
    assert metrics == ["final/normalized_score", "final/improvement", "residual/abs_mean"]
    assert status


def test_a_policy_without_base_has_a_score_alone(tmp_path):
    assert hyper_parameters(run(tmp_path, ToyModule()))[1] == ["final/normalized_score"]


def test_without_a_simulator_the_residual_is_left(tmp_path):
    with pytest.warns(UserWarning, match="off"):
        found = run(tmp_path, ToyResidualModule(), data=ToyData(unavailable="no such simulator"))
    assert hyper_parameters(found)[1] == ["residual/abs_mean"]
    assert "no scores" in text(found, "run/result")
