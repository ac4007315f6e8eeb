"""When something that is done every n updates is due."""

from __future__ import annotations

from spar_lightning.types import UserError


class Interval:
    """Is due once for every multiple of `every` that the update count reaches, also where it advances by several.

    Args:
        every: updates; 0 is never due.

    Raises:
        UserError: if `every` is negative.

    >>> interval = Interval(10)
    >>> [step for step in range(4, 40, 4) if interval.is_due(step)]
    [12, 20, 32]
    """

    def __init__(self, every: int) -> None:
        if every < 0:
            raise UserError(f"an interval of {every} updates was given, expected 1 or more, or 0 to switch it off")
        self.every = every
        self._multiples = 0

    def start(self, step: int) -> None:
        """Begin at an update count, 0 or that of a checkpoint: multiples up to it are not due any more."""
        self._multiples = self._count(step)

    def is_due(self, step: int) -> bool:
        """Whether a further multiple has been reached since the last call."""
        passed, self._multiples = self._multiples, self._count(step)
        return self._multiples > passed

    def _count(self, step: int) -> int:
        return step // self.every if self.every else 0
