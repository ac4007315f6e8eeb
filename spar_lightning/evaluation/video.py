"""Videos of policies in a simulator, side by side, from the same start state."""

from __future__ import annotations

import contextlib
import ctypes.util
import importlib.util
import io
import os
import platform
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from spar_lightning.types import EnvironmentUnavailableError, Policy, UserError

Frame = npt.NDArray[np.uint8]
"""A picture (height, width, 3)."""

SUFFIXES = (".mp4", ".gif")

_LIBRARIES = {"egl": "EGL", "osmesa": "OSMesa"}  # MuJoCo's name -> the system's, of what draws without a screen
_BLOCK = 16  # codecs want multiples of it
_MOST_FRAMES = 20_000


def check_video(path: Path) -> None:
    """See that a video of this name can be written, before anything is rolled out.

    Raises:
        UserError: if a package is missing, or its kind is not known.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"the video is {path}, expected a name that ends in {' or '.join(SUFFIXES)}")
    if missing := [name for name in ("imageio", "imageio_ffmpeg") if importlib.util.find_spec(name) is None]:
        raise UserError(f"a video needs {', '.join(missing)}: `pip install 'spar-lightning[video]'`, or leave it out")


def write_video(
    stream: BinaryIO,
    kind: str,
    make_environment: Callable[[str], gym.Env[Any, Any]],
    policies: Mapping[str, Policy],
    seed: int,
) -> dict[str, float]:
    """Write one episode of each policy, side by side; who has ended stands still until all have.

    Args:
        stream: where to.
        kind: one of `SUFFIXES`.
        make_environment: makes one environment of a render mode.
        policies: by what is written above them, together with their returns so far.
        seed: of the start state.

    Returns:
        The return of each.

    Raises:
        EnvironmentUnavailableError: if the environment cannot be drawn here.
        UserError: if the encoder fails, as where the folder of temporary files is full.
        OSError: if the stream takes no more.
    """
    import imageio.v2 as imageio

    with contextlib.ExitStack() as open_ones:
        environments = {name: open_ones.enter_context(_drawn(make_environment)) for name in policies}
        rate = next(iter(environments.values())).metadata.get("render_fps", 30)
        # A GIF tells how long a frame is shown, in milliseconds.
        of_mp4 = {"fps": rate, "macro_block_size": _BLOCK, "ffmpeg_log_level": "quiet"}
        settings = {"duration": 1000 / rate, "loop": 0} if kind == ".gif" else of_mp4
        returns: dict[str, float] = dict.fromkeys(policies, 0.0)
        encoded = io.BytesIO()  # on a full disk the libraries' writers either say nothing or say too much
        writer: Any = imageio.get_writer(encoded, format=kind, mode="I", **settings)
        try:
            with writer:
                for frame in _episode(environments, policies, seed, returns):
                    writer.append_data(frame)
        except OSError as error:
            raise _unfinished() from error
    if kind == ".mp4" and not is_whole(encoded.getbuffer()):
        raise _unfinished()
    stream.write(encoded.getbuffer())
    return returns


def is_whole(video: memoryview) -> bool:
    """Whether an MP4 is complete: its boxes, each with its length before it, fill it, and its index is one of them."""
    place, kinds = 0, set[bytes]()
    while place + 16 <= len(video):
        length, kind = struct.unpack_from(">I4s", video, place)
        length = struct.unpack_from(">Q", video, place + 8)[0] if length == 1 else length
        if length < 8:
            return False
        kinds.add(kind)
        place += length
    return place == len(video) and b"moov" in kinds


def _unfinished() -> UserError:
    return UserError(
        f"the video was not encoded to its end, expected a whole one: free space in {tempfile.gettempdir()}, where the"
        " encoder works, or name a file that ends in .gif"
    )


def _episode(
    environments: Mapping[str, gym.Env[Any, Any]], policies: Mapping[str, Policy], seed: int, returns: dict[str, float]
) -> Iterator[Frame]:
    observations = {name: environment.reset(seed=seed)[0] for name, environment in environments.items()}
    frames = {name: _labelled(environments[name], name, 0.0) for name in policies}
    for _ in range(_MOST_FRAMES):
        yield _side_by_side(list(frames.values()))
        if not observations:
            return
        for name in list(observations):
            action = policies[name].act(np.asarray(observations[name]))
            observations[name], reward, terminated, truncated, _ = environments[name].step(action)
            returns[name] += float(reward)
            frames[name] = _labelled(environments[name], name, returns[name])
            if terminated or truncated:
                del observations[name]


@contextlib.contextmanager
def _drawn(make_environment: Callable[[str], gym.Env[Any, Any]]) -> Iterator[gym.Env[Any, Any]]:
    """An environment that draws, tried out."""
    choose_renderer()
    environment = None
    try:
        environment = make_environment("rgb_array")
        _follow(environment)
        environment.reset(seed=0)
        picture: Any = environment.render()
        if np.ndim(picture) != 3:
            raise TypeError("it gives no pictures")
    except UserError:  # it cannot be had at all, or is another one
        raise
    except Exception as error:  # of OpenGL's, MuJoCo's and pygame's many classes
        if environment is not None:
            with contextlib.suppress(Exception):
                environment.close()
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise EnvironmentUnavailableError(
            f"no video can be drawn here ({reason}): it takes EGL or OSMesa (`apt install libegl1` or `libosmesa6`),"
            " chosen with MUJOCO_GL=egl or osmesa. Leave the video out to score without"
        ) from error
    try:
        yield environment
    finally:
        environment.close()


def _follow(environment: gym.Env[Any, Any]) -> None:
    """Have MuJoCo look through the camera that moves with a robot, where its model has one: Gymnasium's stays."""
    renderer: Any = getattr(environment.unwrapped, "mujoco_renderer", None)
    if getattr(renderer, "camera_id", None) != -1:
        return
    model = renderer.model
    cameras = {model.camera(number).name: number for number in range(model.ncam)}
    renderer.camera_id = cameras.get("track", -1)


def choose_renderer() -> None:
    """Have MuJoCo draw without a screen where there is none, by what the system has; a choice of the user's stays."""
    if "MUJOCO_GL" in os.environ or platform.system() != "Linux":
        return
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return
    found = next((name for name, library in _LIBRARIES.items() if ctypes.util.find_library(library)), None)
    if found is not None:
        os.environ["MUJOCO_GL"] = found


def _labelled(environment: gym.Env[Any, Any], name: str, total: float) -> Frame:
    from PIL import Image, ImageDraw

    picture = Image.fromarray(np.ascontiguousarray(environment.render(), dtype=np.uint8))
    size = max(12, picture.height // 20)
    drawing = ImageDraw.Draw(picture)
    drawing.text(
        (size // 2, size // 2), f"{name}  {total:.0f}", "white", font_size=size, stroke_width=2, stroke_fill="black"
    )
    return np.asarray(picture)


def _side_by_side(frames: list[Frame]) -> Frame:
    """Pictures beside one another, padded with black at the right and below to whole blocks."""
    joined = np.concatenate(frames, axis=1)
    missing = [(0, -length % _BLOCK) for length in joined.shape[:2]]
    return np.pad(joined, [*missing, (0, 0)])
