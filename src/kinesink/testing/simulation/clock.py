"""A clock that jumps: what is to happen, in the order of its time.

Law: time moves only to the next thing that happens, or in a jump that is asked for; of two
at one time the one that was arranged first comes first, so a run is the same each time.
"""

from __future__ import annotations

import math
from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["VirtualClock"]


class VirtualClock:
    """The time, in seconds, and what was arranged for later."""

    def __init__(self, now: float) -> None:
        """Begin at ``now``; far from zero, so that a forgotten offset shows."""
        self.now = now
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Let something happen at a time, or now if that has passed."""
        self._serial += 1
        heappush(self._due, (max(time, self.now), self._serial, action))

    def run(self, until: float) -> None:
        """Let everything happen that is due up to a time, and stand there."""
        while self.next_at <= until:
            self.advance()
        self.now = max(self.now, until)

    @property
    def next_at(self) -> float:
        """When the next thing happens; infinite without any."""
        return self._due[0][0] if self._due else math.inf

    def advance(self) -> None:
        """Let the next thing happen."""
        due, _, action = heappop(self._due)
        self.now = max(self.now, due)
        action()

    def sleep(self, seconds: float) -> None:
        """Jump, as the clock of a machine that was suspended; what was due meanwhile is late."""
        self.now += seconds
