"""Trainings that differ in their seed alone go step by step together, each in a thread with a trainer of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple

from spar_lightning.algorithms import Batch, Metrics
from spar_lightning.replay import Minibatches
from spar_lightning.training.updates.batched import BatchedExecution, Told
from spar_lightning.training.updates.joint import joint_execution
from spar_lightning.training.updates.stack import Training
from spar_lightning.types import UserError

_place: ContextVar[SeedPlace | None] = ContextVar("_place", default=None)


class Drawn(NamedTuple):
    """What a seed brings to its next updates."""

    minibatches: Minibatches
    update: int  # number of the first


class Finished(NamedTuple):
    """What a seed brings when its training is over."""


class AnotherEndedError(UserError):
    """A training cannot go on, since that of another seed does not."""

    def __init__(self) -> None:
        super().__init__(
            "the training of another seed has ended, expected all of them to go on together: see what it says, and go"
            " on with each by itself, from its own checkpoint"
        )


class SeedGroup:
    """Where threads meet: the last to come does for all what each has come for.

    Args:
        count: number of threads.
        at_meetings: called at each meeting, for what all have to decide alike.
    """

    def __init__(self, count: int, at_meetings: Callable[[], None]) -> None:
        self._meeting = threading.Barrier(count, action=self._do)
        self._brought: list[Training | Drawn | Finished | None] = [None] * count
        self._execution: BatchedExecution | None = None
        self._told: Told = []
        self.count = count
        self.folder: Path | None = None
        self._at_meetings = at_meetings
        self.building = threading.Lock()  # one after the other, since seeds are those of the whole process

    @property
    def is_broken(self) -> bool:
        """Whether nobody is waited for any more."""
        return self._meeting.broken

    def meet(self, number: int, brought: Training | Drawn | Finished) -> None:
        """Wait for all others.

        Raises:
            AnotherEndedError: if one of them does not come any more.
        """
        self._brought[number] = brought
        try:
            self._meeting.wait()
        except threading.BrokenBarrierError:
            raise AnotherEndedError from None

    def told(self, number: int) -> tuple[Metrics, Batch]:
        """What the last updates told of one seed."""
        return self._told[number]

    def leave(self) -> None:
        """Keep nobody waiting."""
        self._meeting.abort()

    def _do(self) -> None:
        self._at_meetings()
        kinds = {type(one) for one in self._brought}
        if len(kinds) > 1:
            raise AnotherEndedError  # some are finished, or at another stage
        trainings = [one for one in self._brought if isinstance(one, Training)]
        drawn = [one for one in self._brought if isinstance(one, Drawn)]
        if trainings:
            self._execution = joint_execution(trainings)
        elif drawn:
            assert self._execution is not None
            (update,) = {one.update for one in drawn}
            self._told = self._execution.run([one.minibatches for one in drawn], update)


class SeedPlace:
    """One thread's place in a group; the execution of its module's updates.

    Args:
        group: of all seeds.
        number: of this one, from 0.
    """

    def __init__(self, group: SeedGroup, number: int) -> None:
        self._group, self._number = group, number
        self._builds = False
        self.is_first, self.count = number == 0, group.count

    def common_folder(self, choose: Callable[[], Path]) -> Path:
        """The folder of all seeds, as the first that asks for it chooses; none asks but while it builds."""
        if self._group.folder is None:
            self._group.folder = choose()
        return self._group.folder

    def build(self) -> None:
        """Begin to make what is trained, when no other thread does."""
        self._group.building.acquire()
        self._builds = True

    def built(self) -> None:
        """Let the next one begin."""
        if self._builds:
            self._builds = False
            self._group.building.release()

    def bring(self, training: Training) -> None:
        """Come to a training, when everything of it is made."""
        self.built()
        self._group.meet(self._number, training)

    def run(self, minibatches: Minibatches, update: int) -> tuple[Metrics, Batch]:
        """Make updates, together with those of all other seeds."""
        self._group.meet(self._number, Drawn(minibatches, update))
        return self._group.told(self._number)


def current_place() -> SeedPlace | None:
    """The place of this thread, None where a training is by itself."""
    return _place.get()


def train_together(trainings: Sequence[Callable[[], object]], at_meetings: Callable[[], None] = lambda: None) -> None:
    """Make trainings of `AlgorithmModule`s with one algorithm and the same settings, each in a thread.

    Seeds, data, evaluations, logs and checkpoints are each training's own; the updates of all are one computation. Up
    to its first update each training has the process to itself, so that `seed_everything` holds for what it makes.

    Args:
        trainings: each makes its module, data and trainer, and fits.
        at_meetings: called in one of the threads before the updates of all, while the others wait.

    Raises:
        BaseException: what ended a training, after which the others end too.
    """
    group = SeedGroup(len(trainings), at_meetings)
    errors, interruptions = list[BaseException](), list[BaseException]()

    def run(number: int) -> None:
        place = SeedPlace(group, number)
        _place.set(place)
        place.build()
        try:
            if not group.is_broken:
                trainings[number]()
                place.built()  # where nothing was left to train, no training has let the next one begin
                group.meet(number, Finished())  # evaluations at the end may take longer for some
        except BaseException as error:
            errors.append(error)
            group.leave()
        finally:
            place.built()

    threads = [threading.Thread(target=run, args=(number,), name=f"seed-{number}") for number in range(len(trainings))]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            try:
                thread.join()
            except BaseException as error:  # a signal, which the trainings see too, where nothing of them is lost
                interruptions.append(error)
    reasons = sorted([*errors, *interruptions], key=lambda reason: isinstance(reason, AnotherEndedError))
    if reasons:
        raise reasons[0]
