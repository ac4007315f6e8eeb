"""What runs in a child process: one contender or the peak, silent, told what to do through a pipe."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch
from tqdm import tqdm

from spar_lightning.benchmark.contenders import count_flops, train
from spar_lightning.benchmark.measuring.gate import WindowGate
from spar_lightning.benchmark.measuring.memory import peak_memory
from spar_lightning.benchmark.measuring.peak import Shape, measure_peaks
from spar_lightning.benchmark.settings import Setting
from spar_lightning.evaluation.worker import Worker
from spar_lightning.training.updates.tensor_cores import use_tensor_cores
from spar_lightning.types import UserError

_PATIENCE = 20.0  # seconds for a child to clear up
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Finished:
    """A contender's last words."""

    flops_per_update: float
    memory_mb: float  # largest resident size
    imports_mb: float  # the same before anything was built: libraries alone
    device_memory_mb: float | None


@dataclass(frozen=True)
class Failed:
    """What went wrong in a child."""

    error: str


class ChildError(UserError):
    """A child ended before it was told to."""


class Child:
    """A process that loads its libraries, and then waits to be asked.

    Args:
        target: runs in the process, with the other end of the pipe as its first argument.
        threads: that it may compute with.
        arguments: the target's others.
    """

    def __init__(self, target: Callable[..., None], threads: int, *arguments: Any) -> None:
        with _thread_variables(threads), _interrupts_ignored():
            self._worker = Worker(_run, target, threads, *arguments)
        self._connection = self._worker.connection

    def answer(self) -> Any:
        """Wait for its next message.

        Raises:
            ChildError: if there is none to come; with the child's own words if it had any.
        """
        try:
            answer = self._connection.recv()
        except (EOFError, ConnectionResetError):
            raise ChildError(f"the process {self._worker.ended(_PATIENCE)}") from None
        if isinstance(answer, Failed):
            raise ChildError(answer.error)
        return answer

    def ask(self, command: str) -> Any:
        """Tell it something, and wait for the answer.

        Raises:
            ChildError: as `answer`.
        """
        with suppress(BrokenPipeError, ConnectionResetError):  # what it said before it went is still to be read
            self._connection.send(command)
        return self.answer()

    def end(self) -> None:
        """See that it is gone."""
        self._worker.close()


def run_contender(connection: Connection, setting: Setting, warmup: int, window: int) -> None:
    """Count a contender's operations, then train it under the parent's command."""
    imports = peak_memory() / 1e6
    use_tensor_cores(_device(setting.accelerator))
    flops = count_flops(setting)
    train(setting, WindowGate(connection, warmup, window))
    on_device = torch.cuda.max_memory_allocated() / 1e6 if setting.accelerator == "gpu" else None
    connection.send(Finished(flops, peak_memory() / 1e6, imports, on_device))


def run_peak(connection: Connection, shapes: Sequence[Shape], accelerator: str) -> None:
    """Measure the machine's peak under the parent's command."""
    use_tensor_cores(device := _device(accelerator))
    measure_peaks(connection, shapes, device)


def _device(accelerator: str) -> torch.device:
    return torch.device("cuda" if accelerator == "gpu" else "cpu")


def _run(connection: Connection, target: Callable[..., None], threads: int, *arguments: Any) -> None:
    _be_silent()
    torch.set_num_threads(threads)
    try:
        connection.recv()  # whoever is ready first does not compute while others load their libraries
        target(connection, *arguments)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # nobody is listening any more
    except Exception as error:
        connection.send(Failed(_last_words(error)))


def _last_words(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})" if frames else ""  # noqa: PTH119
    return f"{type(error).__name__}: {error}{place}"


def _be_silent() -> None:
    """Progress bars are drawn, for they cost time in a run too, but not shown."""
    warnings.simplefilter("ignore")
    tqdm.set_lock(threading.RLock())  # its own would be a semaphore, which a process that is ended leaves behind
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    for number in (1, 2):
        os.dup2(nowhere, number)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """A process started within ignores Ctrl-C from its first moment: the parent answers it, and ends the child."""
    if threading.current_thread() is not threading.main_thread():  # no other may set handlers
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _thread_variables(threads: int) -> Iterator[None]:
    """Read by numerical libraries when a process starts."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
