"""The video of the last policy: in the folder and in TensorBoard, or one line that says why not."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import numpy as np
import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from toy_training import STEPS, ToyData, ToyEnvironment, ToyResidualModule, train

from spar_lightning.callbacks import RolloutEvaluation, RunSummary
from spar_lightning.callbacks.rollouts.last_video import TAG, animated


class DrawnEnvironment(ToyEnvironment):
    """A grey picture that gets lighter with the time."""

    def __init__(self, render_mode: str | None = None, blind: bool = False) -> None:
        super().__init__()
        self.metadata = {"render_fps": 10}
        self.render_mode, self.blind = render_mode, blind

    def render(self) -> Any:
        if self.blind:
            raise RuntimeError("no display")
        assert self.render_mode == "rgb_array"
        return np.full((90, 70, 3), 40 * self.time, dtype=np.uint8)


class DrawnData(ToyData):
    def __init__(self, blind: bool = False) -> None:
        super().__init__()
        self.blind = blind

    def environment_maker(self) -> Any:
        return functools.partial(DrawnEnvironment, blind=self.blind)


class OneAtATime:
    """A policy for one observation or many, of one for many."""

    def __init__(self, policy: Any) -> None:
        self.policy = policy

    def act(self, observations: Any) -> Any:
        many = self.policy.act(np.atleast_2d(observations))
        return many if np.ndim(observations) > 1 else many[0]


class Filmed(ToyResidualModule):
    def act(self, observations: Any) -> Any:
        return OneAtATime(super()).act(observations)

    def reference_policies(self) -> Any:
        return {name: OneAtATime(policy) for name, policy in super().reference_policies().items()}


def run(folder: Path, data: ToyData, video: bool = True, **arguments: Any) -> None:
    train(folder, Filmed(), [RunSummary(), RolloutEvaluation(1, 1, video=video)], data=data, **arguments)


def test_the_last_policy_is_filmed_beside_its_base(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logger = TensorBoardLogger(tmp_path, name="", version="")
    run(tmp_path, DrawnData(), logger=[logger, CSVLogger(tmp_path)])
    frames = imageio.mimread(tmp_path / "video.mp4", memtest=False)
    assert len(frames) == STEPS + 1
    assert frames[0].shape[:2] == (96, 144), "two pictures side by side, in whole blocks"
    events = EventAccumulator(str(tmp_path)).Reload()
    (image,) = events.Images(TAG)
    assert (image.step, image.height, image.width) == (20, 96, 144)
    animation = imageio.mimread(io.BytesIO(image.encoded_image_string), format="GIF")
    assert len(animation) == len(frames)
    assert f"video            {tmp_path / 'video.mp4'}" in capsys.readouterr().out
    assert ToyEnvironment.opened == 0


def test_where_nothing_can_be_drawn_a_line_says_so_and_the_run_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.warns(UserWarning, match=r"no video of the last policy, and the run goes on without: .*no display"):
        run(tmp_path, DrawnData(blind=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.json"]
    with pytest.warns(UserWarning, match=r"no video of the last policy.* expected one with `environment_maker`"):
        run(tmp_path, ToyData())
    assert "improvement" in capsys.readouterr().out


def test_it_is_not_made_unless_asked_for_nor_where_there_is_no_simulator(tmp_path: Path) -> None:
    run(tmp_path, DrawnData(), video=False)
    with pytest.warns(UserWarning, match="Rollout evaluation is off"):
        run(tmp_path, ToyData(unavailable="no such simulator"))
    assert not (tmp_path / "video.mp4").exists()


def test_a_long_video_is_a_short_animation_of_the_same_time(tmp_path: Path) -> None:
    frames = [np.full((480, 960, 3), index % 256, dtype=np.uint8) for index in range(251)]
    imageio.mimwrite(tmp_path / "long.mp4", frames, fps=50, macro_block_size=16)
    contents, size = animated(tmp_path / "long.mp4")
    assert size == (240, 480)
    with imageio.get_reader(io.BytesIO(contents), format="GIF") as animation:
        assert 50 <= len(animation) <= 100
        assert animation.get_meta_data(0)["duration"] == pytest.approx(60)  # every third of 20 ms
