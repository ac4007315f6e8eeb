"""Videos: policies side by side from one start state, and one clear line where nothing can be drawn."""

from __future__ import annotations

import io
import os
from typing import Any

import gymnasium as gym
import imageio.v2 as imageio
import numpy as np
import pytest
from toy_environment import STEPS, Constant, ToyEnvironment, bonus

from spar_lightning.evaluation.video import _drawn, check_video, choose_renderer, is_whole, write_video
from spar_lightning.types import EnvironmentUnavailableError, Policy, UserError


class DrawnEnvironment(ToyEnvironment):
    """A grey picture that gets lighter with the time."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__()
        self.metadata = {"render_fps": 10}
        self.render_mode = render_mode

    def render(self) -> Any:
        return np.full((90, 70, 3), 40 * self.time, dtype=np.uint8) if self.render_mode == "rgb_array" else None


class Single:
    """`Constant` for one observation at a time."""

    def __init__(self, action: float) -> None:
        self.policy = Constant(action)

    def act(self, observations: np.ndarray) -> np.ndarray:
        return self.policy.act(observations[None])[0]


def _film(kind: str, policies: dict[str, Policy], make: Any = DrawnEnvironment) -> tuple[dict[str, float], Any]:
    stream = io.BytesIO()
    returns = write_video(stream, kind, make, policies, seed=3)
    return returns, imageio.mimread(io.BytesIO(stream.getvalue()), format=kind, memtest=False)


@pytest.mark.parametrize("kind", [".gif", ".mp4"])
def test_both_policies_are_seen_until_both_have_ended(kind: str) -> None:
    returns, frames = _film(kind, {"base": Single(-1.0), "policy": Single(0.5)})  # the first ends at once
    assert returns["base"] == pytest.approx(bonus(3) - 1.0)
    assert returns["policy"] == pytest.approx(STEPS * (bonus(3) + 0.5))
    assert len(frames) == STEPS + 1
    assert frames[0].shape[:2] == (96, 144), "whole blocks, so that no codec changes the size"
    below = np.array([frame[70:85, [35, 105], 0].mean(axis=0) for frame in frames])
    assert below[:, 0] == pytest.approx([0, *[40] * STEPS], abs=8), "who has ended stands still"
    assert below[:, 1] == pytest.approx([40 * step for step in range(STEPS + 1)], abs=8)
    assert ToyEnvironment.opened == 0


def test_a_video_that_is_cut_is_found_out() -> None:
    stream = io.BytesIO()
    write_video(stream, ".mp4", DrawnEnvironment, {"policy": Single(0.5)}, seed=3)
    video = stream.getbuffer()
    assert is_whole(video)
    assert not any(is_whole(video[:length]) for length in range(0, len(video), 7))


def test_the_return_so_far_is_written_above() -> None:
    _, frames = _film(".gif", {"policy": Single(0.5)})
    labels = [np.asarray(frame)[:24, :, 0].astype(int) - 40 * step for step, frame in enumerate(frames)]
    assert np.ptp(labels[0]) > 100
    assert (labels[0] != labels[-1]).any()


def test_what_cannot_draw_is_said_in_one_line() -> None:
    class Blind(DrawnEnvironment):
        def render(self) -> Any:
            raise gym.error.Error("no\nscreen")

    with pytest.raises(
        EnvironmentUnavailableError, match=r"no video can be drawn here .no screen.: it takes EGL or"
    ) as e:
        _film(".mp4", {"policy": Single(0.5)}, Blind)
    assert "\n" not in str(e.value)
    assert ToyEnvironment.opened == 0


def test_an_unknown_kind_and_a_missing_package_are_refused(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"expected a name that ends in .mp4 or .gif"):
        check_video(tmp_path / "out.avi2")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'spar-lightning\[video\]'"):
        check_video(tmp_path / "out.mp4")


def test_a_renderer_is_chosen_only_where_the_user_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("ctypes.util.find_library", lambda name: name if name == "OSMesa" else None)
    choose_renderer()
    assert os.environ["MUJOCO_GL"] == "osmesa"
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    choose_renderer()
    assert os.environ["MUJOCO_GL"] == "glfw"


@pytest.mark.parametrize("name", ["Hopper-v5", "Walker2d-v5", "HalfCheetah-v5"])
def test_a_robot_that_walks_away_stays_in_the_picture(name: str) -> None:
    def far_away(render_mode: str) -> gym.Env[Any, Any]:
        return AtADistance(gym.make(name, render_mode=render_mode))

    try:
        with _drawn(far_away) as environment:
            pictures = [environment.reset(options={"joint": angle}) and environment.render() for angle in (0.0, 0.5)]
    except EnvironmentUnavailableError:
        pytest.skip("nothing can be drawn here")
    assert (np.asarray(pictures[0]) != np.asarray(pictures[1])).any(), "expected to see that it moves a joint"


class AtADistance(gym.Wrapper[Any, Any, Any, Any]):
    """Starts 15 metres from the origin, with the last joint as is asked for."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=0)
        simulator: Any = self.env.unwrapped
        positions = simulator.data.qpos.copy()
        positions[0] += 15.0
        positions[-1] += (options or {}).get("joint", 0.0)
        simulator.set_state(positions, simulator.data.qvel)
        return observation, info
