"""What was lost and is still to be told in the stream itself.

Law: every event that is given up is in exactly one loss record that arrives, or is still
here. A loss record that is lost itself comes back, and counts as one event more.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kinesink.core.records import DropReason, RecordResult

#: Seconds without a loss after which the pressure is taken to be over.
QUIET: Final = 1.0

#: Seconds between two loss records at least, and after which a loss is told also while others
#: still happen.
INTERVAL: Final = 10.0


class Loss(NamedTuple):
    """Events that were given up."""

    reasons: Mapping[str, int]
    """How many, by reason."""
    levels: Mapping[str, int]
    """How many of them had which level; those without one are not in it."""
    first: float
    """When the first was given up, in seconds since the epoch."""
    last: float
    """When the last was."""

    @property
    def events(self) -> int:
        """How many in all."""
        return sum(self.reasons.values())


class Losses:
    """Losses that nobody was told of in the stream. Belongs to the producer's task.

    :param write: writes a loss as lines of the stream; None while nobody has said how, and
        then nothing is told there.
    """

    def __init__(self, write: Callable[[Loss], tuple[bytes, ...]] | None = None) -> None:
        self.write = write
        self._reasons: Counter[str] = Counter()
        self._levels: Counter[str] = Counter()
        self._first = self._last = 0.0
        self._began = self._ended = -math.inf
        self._told_at = -math.inf

    def begin(self, now: float) -> None:
        """Go on by the clock of another event loop, which may have an origin of its own."""
        self._began = self._ended = now
        self._told_at = -math.inf

    @property
    def any_to_tell(self) -> bool:
        """Whether there is something to tell."""
        return bool(self._reasons) and self.write is not None

    def add(self, reason: DropReason, levels: Mapping[str | None, int], now: float) -> None:
        """Take note of events that were given up, by level.

        :param now: seconds on the monotonic clock.
        """
        moment = time.time()
        if not self._reasons:
            self._first, self._began = moment, now
        self._last, self._ended = moment, now
        self._reasons[reason.value] += sum(levels.values())
        self._levels.update({name: events for name, events in levels.items() if name is not None})

    def due_at(self) -> float:
        """Return when to tell what there is to tell."""
        over = min(self._ended + QUIET, self._began + INTERVAL)
        return max(over, self._told_at + INTERVAL)

    def take(self, now: float) -> Loss:
        """Return what is to be told, and forget it."""
        loss = Loss(dict(self._reasons), dict(self._levels), self._first, self._last)
        self._reasons.clear()
        self._levels.clear()
        self._told_at = now
        return loss

    def put_back(self, loss: Loss, now: float) -> None:
        """Take back what could not be told."""
        if not self._reasons:
            self._last, self._began, self._ended = loss.last, now, now
        self._first = loss.first
        self._reasons.update(loss.reasons)
        self._levels.update(loss.levels)


class LossTicket:
    """What becomes of a loss record."""

    def __init__(self, losses: Losses, loss: Loss, clock: Callable[[], float]) -> None:
        self._losses = losses
        self._loss = loss
        self._clock = clock

    def resolve(self, result: RecordResult) -> None:
        """Take it back if it was lost."""
        if result.reason is None:
            return
        now = self._clock()
        self._losses.put_back(self._loss, now)
        self._losses.add(result.reason, {"WARNING": 1}, now)
