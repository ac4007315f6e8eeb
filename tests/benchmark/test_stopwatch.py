"""Exclusive times: every moment belongs to one part."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from spar_lightning.benchmark.measuring.stopwatch import Stopwatch, Watched, attached


class Clock:
    """Goes on only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Work:
    """Takes 1 s before and 2 s after its inner part of 4 s."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def outer(self) -> str:
        self.clock.now += 1
        self.inner()
        self.clock.now += 2
        return "done"

    def inner(self) -> None:
        self.clock.now += 4

    def fails(self) -> None:
        self.clock.now += 8
        raise RuntimeError("no")


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_parts_are_exclusive_and_add_up(clock: Clock) -> None:
    watch, work = Stopwatch(clock), Work(clock)
    with attached(watch, [Watched(work, "outer", "a"), Watched(work, "inner", "b")]):
        watch.start()
        clock.now += 16
        assert work.outer() == "done"
        clock.now += 32
        seconds = watch.stop()
    assert seconds == {"loop": 48.0, "a": 3.0, "b": 4.0}
    assert sum(seconds.values()) == clock.now


def test_the_first_argument_may_name_the_part(clock: Clock) -> None:
    watch = Stopwatch(clock)
    step = watch.wrap(lambda name: Work(clock).inner(), None)
    watch.start()
    step("critic")
    assert watch.stop() == {"loop": 0.0, "critic": 4.0}


def test_an_error_closes_its_part(clock: Clock) -> None:
    watch, work = Stopwatch(clock), Work(clock)
    with attached(watch, [Watched(work, "fails", "a")]):
        watch.start()
        with pytest.raises(RuntimeError):
            work.fails()
        clock.now += 1
        assert watch.stop() == {"a": 8.0, "loop": 1.0}


def test_it_may_be_stopped_inside_of_a_part(clock: Clock) -> None:
    watch = Stopwatch(clock)
    found: list[dict[str, float]] = []
    watch.start()
    watch.wrap(lambda: found.append(watch.stop()), "a")()
    assert found == [{"loop": 0.0, "a": 0.0}]


def test_owners_get_their_own_back(clock: Clock) -> None:
    work, other = Work(clock), Work(clock)
    own: Callable[[], None] = lambda: None  # noqa: E731
    other.inner = own  # type: ignore[method-assign]
    iterators = [iter([1, 2])]
    first = iterators[0]
    with attached(
        Stopwatch(clock),
        [
            Watched(work, "inner", "a"),
            Watched(other, "inner", "a"),
            Watched(work, "none", "a"),
            Watched(iterators, 0, "a"),
        ],
    ):
        assert next(iterators[0]) == 1
        assert "inner" in vars(work)
    assert "inner" not in vars(work)
    assert other.inner is own
    assert iterators == [first]
    assert not hasattr(work, "none")


def test_nothing_is_booked_before_the_start(clock: Clock) -> None:
    watch, work = Stopwatch(clock), Work(clock)
    with attached(watch, [Watched(work, "inner", "a")]):
        work.inner()
    assert not watch.seconds
