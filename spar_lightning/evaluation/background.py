"""Evaluation in another process, while training goes on in this one."""

from __future__ import annotations

import io
import signal
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import torch
from torch import nn

from spar_lightning.evaluation.comparison import Comparison, PolicyEvaluator
from spar_lightning.evaluation.rollout import Environment
from spar_lightning.evaluation.worker import Worker
from spar_lightning.stopping import SIGNALS
from spar_lightning.types import HasReferencePolicies, Policy, UserError

Episodes = dict[str, Any]
"""The references' known episodes: what `PolicyEvaluator.state_dict` gives."""

_PATIENCE = 0.1  # seconds between two looks at whether a policy could be sent


class Snapshot(NamedTuple):
    """A policy at one moment, as what it is rebuilt from: safe to keep while the policy goes on learning."""

    make: Callable[..., nn.Module]  # of hyper-parameters; it is pickled
    contents: bytes  # a weights-only file of hyper-parameters and weights

    @classmethod
    def take(cls, module: nn.Module, hyper_parameters: Mapping[str, Any]) -> Snapshot:
        """Copy a module's weights.

        Its class, or its `maker` if it has one, must give one of the same shape when called with the hyper-parameters.
        """
        file = io.BytesIO()
        weights = {name: value.clone() for name, value in module.state_dict().items()}  # a view is saved with the whole
        torch.save({"hyper_parameters": dict(hyper_parameters), "state_dict": weights}, file)
        return cls(maker_of(module), file.getvalue())

    def restore(self) -> nn.Module:
        """The module, on the CPU and in eval mode; draws random numbers."""
        contents = torch.load(io.BytesIO(self.contents), map_location="cpu", weights_only=True)
        module = self.make(**contents["hyper_parameters"])
        module.load_state_dict(contents["state_dict"])
        return module.eval()


def maker_of(module: nn.Module) -> Callable[..., nn.Module]:
    """What makes a module of the same kind."""
    maker: Callable[..., nn.Module] = getattr(module, "maker", type(module))
    return maker


def evaluate_snapshot(evaluator: PolicyEvaluator, snapshot: Snapshot, seeds: Sequence[int]) -> Comparison:
    """Evaluate a policy and the references that it has; see `PolicyEvaluator.evaluate`."""
    policy = snapshot.restore()
    assert isinstance(policy, Policy)
    references = policy.reference_policies() if isinstance(policy, HasReferencePolicies) else {}
    with torch.no_grad():
        return evaluator.evaluate(policy, references, seeds)


class BackgroundEvaluator:
    """Evaluates snapshots in one process of its own, one at a time; see `Worker`.

    Nobody waits for the seconds in which it starts. It computes on the CPU, with as many threads and in the same matmul
    precision as this process has now, so that it rounds alike.

    Args:
        make_environment: makes one environment; it is pickled, and must not carry a data set along.
        reference_scores: returns of a random and an expert policy, if there are any.
    """

    def __init__(
        self, make_environment: Callable[[], Environment], reference_scores: tuple[float, float] | None = None
    ) -> None:
        self._unsent: Exception | None = None
        arithmetic = torch.get_num_threads(), torch.get_float32_matmul_precision()
        self._worker = Worker(_serve, make_environment, reference_scores, *arithmetic)
        self._connection, self.process = self._worker.connection, self._worker.process

    def submit(self, snapshot: Snapshot, seeds: Sequence[int], known: Episodes) -> None:
        """Begin an evaluation; its `result` is to be had before the next.

        Args:
            snapshot: of the policy.
            seeds: one episode each.
            known: episodes that the references need not repeat.
        """
        # A snapshot is larger than a pipe, and the process may not be reading yet.
        threading.Thread(target=self._send, args=((snapshot, list(seeds), known),), daemon=True).start()

    def _send(self, job: tuple[Snapshot, list[int], Episodes]) -> None:
        try:
            self._connection.send(job)
        except (OSError, TypeError):
            pass  # the process has ended, which `result` tells; a connection that is closed meanwhile has no handle
        except Exception as error:  # pickle's are of several classes; nothing of it was sent
            self._unsent = error  # closing is left to who reads: a reader does not hear of it

    def is_ready(self) -> bool:
        """Whether `result` would not wait; microseconds."""
        return self._unsent is not None or self._connection.closed or self._connection.poll()

    def result(self) -> tuple[Comparison, Episodes]:
        """Wait for the evaluation that was submitted, and take it with the references' episodes known by then.

        Raises:
            UserError: if an action was not finite, or the process has ended.
            RuntimeError: if anything else failed in the process; the message is its traceback.
        """
        try:
            while self._unsent is None and not self._connection.poll(_PATIENCE):
                pass
            if self._unsent is not None:
                raise UserError(
                    f"the policy cannot be sent to the evaluation process ({self._unsent}), expected a class that can"
                    " be imported there: switch background evaluation off"
                ) from self._unsent
            outcome = self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._ended() from error
        if isinstance(outcome, Exception):
            raise outcome
        comparison, episodes = outcome
        return comparison, episodes

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._worker.close()

    def _ended(self) -> UserError:
        return UserError(
            f"the evaluation process {self._worker.ended(5)}, expected a result: was it killed, or memory short? Above"
            " may stand why. Go on from the last checkpoint, without background evaluation"
        )


def _serve(
    connection: Connection,
    make_environment: Callable[[], Environment],
    reference_scores: tuple[float, float] | None,
    num_threads: int,
    precision: str,
) -> None:
    for number in SIGNALS:  # a terminal and a cluster send them to both
        signal.signal(number, signal.SIG_IGN)  # the other process ends this one
    torch.set_num_threads(num_threads)
    torch.set_float32_matmul_precision(precision)
    evaluator = PolicyEvaluator(make_environment, reference_scores)
    try:
        while True:
            snapshot, seeds, known = connection.recv()
            connection.send(_outcome(evaluator, snapshot, seeds, known))
    except (EOFError, OSError):  # the other process is gone
        evaluator.close()


def _outcome(
    evaluator: PolicyEvaluator, snapshot: Snapshot, seeds: list[int], known: Episodes
) -> tuple[Comparison, Episodes] | Exception:
    try:
        evaluator.load_state_dict(known)
        return evaluate_snapshot(evaluator, snapshot, seeds), evaluator.state_dict()
    except UserError as error:
        return error
    except Exception:  # of whatever class: not every exception can be sent
        return RuntimeError(f"evaluation failed in its process:\n{traceback.format_exc()}")
