"""What the producer notes about itself, for whoever asks how it fares."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

from kinesink.readiness import Vitals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kinesink.shell.stream import Stream

#: Seconds between two looks for the oldest event, which cost a look at every entry.
_LOOK_INTERVAL: Final = 1.0


class Pulse:
    """Written by the producer's task, read from any thread.

    :param clock: the event loop's, which has an origin of its own on trio.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._offset = time.monotonic() - clock()
        self._delivered = 0
        self._look_at = -math.inf
        self._oldest = math.inf
        #: Replaced whole, so that readers see one moment.
        self.vitals = Vitals()

    def beat(self, streams: Iterable[Stream], now: float, last_error: str | None) -> None:
        """Note that the producer works, and what it has to do."""
        vitals = self.vitals
        moment = now + self._offset
        delivered = pending = 0
        for stream in streams:
            delivered += stream.delivered
            pending += stream.held_events
        delivered_at = moment if delivered > self._delivered else vitals.delivered_at
        self._delivered = delivered
        if not pending:
            self._oldest = math.inf
        elif now >= self._look_at or math.isinf(self._oldest):
            self._look_at = now + _LOOK_INTERVAL
            self._oldest = min(stream.pipeline.oldest() for stream in streams) + self._offset
        self.vitals = Vitals(moment, self._oldest, delivered_at, vitals.lost_at, last_error)

    def lost(self, now: float) -> None:
        """Note that events were given up."""
        self.vitals = self.vitals._replace(lost_at=now + self._offset)
