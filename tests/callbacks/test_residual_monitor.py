import lightning.pytorch as pl
import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from toy_training import ToyData, ToyModule, ToyResidualModule, train

from spar_lightning.callbacks import ResidualMonitor, ResumableCheckpoint
from spar_lightning.types import DimensionNames, UserError


def events(folder):
    accumulator = EventAccumulator(str(folder), size_guidance={"histograms": 0, "scalars": 0})
    accumulator.Reload()
    return accumulator


def scalars(folder, tag):
    return [(event.step, event.value) for event in events(folder).Scalars(tag)]


@pytest.fixture
def logger(tmp_path):
    return TensorBoardLogger(tmp_path, name="", version="")


def test_scalars_and_histograms_are_logged_once_a_probe(tmp_path, logger):
    train(tmp_path, ToyResidualModule(), [ResidualMonitor(6)], logger=logger, log_every_n_steps=1)
    # Steps count batches from 0, as Lightning's own do. The residual is 0.01 an update, in both dimensions.
    expected = [(5, 0.06), (11, 0.12), (17, 0.18)]
    assert scalars(tmp_path, "residual/abs_mean") == [(step, pytest.approx(value)) for step, value in expected]
    assert scalars(tmp_path, "residual/latent_saturation")[0][1] == 0.0
    assert scalars(tmp_path, "residual/latent_norm")[0][1] == 1.0
    # The manifold is the first dimension, the change goes as far along the second; it is fitted after 10 updates.
    assert scalars(tmp_path, "support/normal_drift") == [(17, pytest.approx(0.5))]
    histogram = events(tmp_path).Histograms("residual/dimension_1")
    assert [(event.step, event.histogram_value.num) for event in histogram] == [(5, 256), (11, 256), (17, 256)]


class NamingData(ToyData):
    def dimension_names(self):
        return DimensionNames(None, ["left hip", "knee"])


def test_joints_have_their_names(tmp_path, logger):
    train(tmp_path, ToyResidualModule(), [ResidualMonitor(6)], data=NamingData(), logger=logger)
    sizes = [(5, pytest.approx(0.06)), (11, pytest.approx(0.12)), (17, pytest.approx(0.18))]
    for name in ("left_hip", "knee"):
        assert scalars(tmp_path, f"residual_by_action/{name}") == sizes
        assert len(events(tmp_path).Histograms(f"residual/{name}")) == 3


class OneAction(ToyResidualModule):
    def probe_residual(self, observations):
        probe = super().probe_residual(observations)
        ones = {name: getattr(probe, name)[:, :1] for name in ("base_actions", "actions", "unclipped_actions")}
        return probe._replace(**ones, jacobians=probe.jacobians[:, :1])


def test_a_single_action_is_one_dimension(tmp_path, logger):
    train(tmp_path, OneAction(), [ResidualMonitor(6)], logger=logger)
    tags = [tag for tag in events(tmp_path).Tags()["scalars"] if tag.startswith("residual")]
    assert "residual_by_action/dimension_0" in tags
    assert "residual/abs_mean_per_dimension" not in tags
    assert scalars(tmp_path, "residual_by_action/dimension_0") == scalars(tmp_path, "residual/abs_mean")


def test_the_states_are_evenly_spaced_and_always_the_same(tmp_path):
    module = ToyResidualModule()
    train(tmp_path, module, [ResidualMonitor(6, num_states=3)])
    assert len(module.probed) == 3
    for observations in module.probed:
        assert observations[:, 0].tolist() == [0.0, 498.0, 998.0]  # of 0, 2, ... 998


def test_a_resumed_run_logs_what_an_uninterrupted_one_logs(tmp_path):
    def run(name, max_steps, ckpt_path=None):
        logger = TensorBoardLogger(tmp_path, name=name, version=str(max_steps))
        callbacks = [ResidualMonitor(6), ResumableCheckpoint(dirpath=str(tmp_path / name / "checkpoints"))]
        train(tmp_path, ToyResidualModule(), callbacks, max_steps, ckpt_path=ckpt_path, logger=logger)
        return logger.log_dir

    whole = run("whole", 20)
    run("parts", 10)
    rest = run("parts", 20, tmp_path / "parts/checkpoints/last.ckpt")
    for tag in ("residual/abs_mean", "support/normal_drift"):
        assert scalars(rest, tag) == [event for event in scalars(whole, tag) if event[0] >= 10]


def test_a_probe_changes_no_random_number_of_the_training(tmp_path):
    traces = []
    for callbacks in ([], [ResidualMonitor(2)]):
        pl.seed_everything(0, verbose=False)
        module = ToyResidualModule()
        train(tmp_path, module, callbacks)
        traces.append(module.trace)
    assert traces[0] == traces[1]


def test_it_leaves_a_policy_without_a_residual_alone(tmp_path):
    assert train(tmp_path, ToyModule(), [ResidualMonitor(2)]).global_step == 20


def test_other_loggers_get_the_scalars(tmp_path):
    logger = CSVLogger(tmp_path)
    trainer = train(tmp_path, ToyResidualModule(), [ResidualMonitor(6)], logger=logger)
    assert "residual/abs_mean" in (tmp_path / "lightning_logs/version_0/metrics.csv").read_text()
    assert float(trainer.callback_metrics["residual/abs_mean"]) == pytest.approx(0.18)


def test_an_interval_of_zero_switches_it_off(tmp_path):
    module = ToyResidualModule()
    train(tmp_path, module, [ResidualMonitor(0)])
    assert module.probed == []


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({"num_states": 0}, "num_states is 0"), ({"every_n_updates": -1}, "interval of -1 .* 0 to switch it off")],
)
def test_impossible_settings_are_errors(settings, expected):
    with pytest.raises(UserError, match=expected):
        ResidualMonitor(**settings)
