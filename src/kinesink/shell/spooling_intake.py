"""The hand-off where every event is on disk before the log call returns."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from kinesink.shell.admission import check_record
from kinesink.shell.intake import EVENT_OVERHEAD_BYTES, CountingIntake, KeyedEvent
from kinesink.statistics import Statistics, combine

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.shell.overflow import Policy
    from kinesink.shell.spooler import Spooler


class SpoolingIntake(CountingIntake):
    """An intake that saves what it is given, and then hands it on while there is room.

    What has no room in memory waits on disk. Where the disk refuses, it is an intake like any
    other. Safe from any thread and signal handler; a call touches the disk.
    """

    __slots__ = ("spooler",)

    spooler: Spooler

    def __init__(
        self,
        max_pending_bytes: int,
        wake: Callable[[], None],
        policy: Policy | None = None,
        *,
        max_events: int | None = None,
    ) -> None:
        """Begin empty; :attr:`spooler` must follow.

        :param max_events: bound on the events in memory; None for none.
        """
        most = sys.maxsize if max_events is None else max_events
        super().__init__(max_pending_bytes, wake, policy, max_events=most)

    def put(self, item: bytes | KeyedEvent, data_bytes: int, level: int | None = None) -> bool:
        """Save an event and hand it over; False if neither disk nor memory has room for it."""
        event = item if isinstance(item, KeyedEvent) else KeyedEvent(item, None, None)
        data, key, hash_key, waiting = event
        # Whoever waits for its result knows what became of it.
        if waiting is not None or not _can_be_sent(event):
            return super().put(item, data_bytes, level)
        ticket = self.spooler.keep(data, key, hash_key, level)
        if ticket is None:
            return super().put(item, data_bytes, level)
        size = data_bytes + EVENT_OVERHEAD_BYTES
        if self.fits(size, 1.0):
            self._loose_bytes += size
            self._items.append(KeyedEvent(data, key, hash_key, ticket))
        else:
            self.spooler.park(ticket)
        if not self.awake:
            self.awake = True
            self.wake()
        return True

    def turns_away(self, level: int | None) -> bool:  # noqa: ARG002 - all go to disk
        """Turn nothing away: there is room on disk."""
        return False

    def statistics(self, *, own: int = 0) -> Statistics:
        """Return the account of all that was ever handed over here."""
        account = super().statistics(own=own)
        # Read last: what the task has taken away of it by then, it had been given before.
        parked = self.spooler.parked_by_callers.value
        return combine(account, Statistics(accepted=parked, pending=parked, spooled=parked))


def _can_be_sent(event: KeyedEvent) -> bool:
    """Tell whether an event is one that Kinesis may take, as far as it tells by itself."""
    if event.partition_key is None and event.explicit_hash_key is None:
        return type(event.data) is bytes
    try:
        check_record(event.data, event.partition_key, event.explicit_hash_key, sys.maxsize)
    except (TypeError, ValueError):
        # Whoever takes it in says so.
        return False
    return type(event.data) is bytes
