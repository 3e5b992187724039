"""The account of one stream: every event accepted ends as delivered or dropped.

Law: a content is counted once when it arrives and once when it ends, by its number
of events; what has arrived and not ended is pending.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinesink.core.records import UserRecord

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinesink.core.entry import Entry
    from kinesink.core.records import Content, DropReason


class Ledger:
    """Totals of one stream, in events unless the name says otherwise."""

    def __init__(self) -> None:
        self.accepted = 0
        self.delivered = 0
        self.delivered_bytes = 0
        self.dropped: dict[DropReason, int] = {}
        self.pending = 0
        self.pending_bytes = 0
        self.retried = 0
        self.throttled = 0
        self.requests = 0
        self.entries = 0
        self.sent_bytes = 0
        self.wrong_shard = 0
        self.refreshes = 0
        #: Marks what arrives until the next flush.
        self.epoch = 0
        self._pending_by_epoch: dict[int, int] = {}

    def arrived(self, contents: Iterable[Content]) -> None:
        """Count contents in, and mark them with the current epoch."""
        epoch, events, size = self.epoch, 0, 0
        for content in contents:
            content.epoch = epoch
            if isinstance(content, UserRecord):
                events += 1
                size += len(content.data)
            else:
                events += len(content.data)
                size += data_bytes(content)
        if events:
            self.accepted += events
            self.pending += events
            self.pending_bytes += size
            self._pending_by_epoch[epoch] = self._pending_by_epoch.get(epoch, 0) + events

    def took(self, entry: Entry) -> None:
        """Count the events of an entry as delivered."""
        events, size = self._ended(entry.contents)
        self.delivered += events
        self.delivered_bytes += size

    def gave_up(self, contents: Iterable[Content], reason: DropReason) -> None:
        """Count contents as dropped."""
        events, _ = self._ended(contents)
        if events:
            self.dropped[reason] = self.dropped.get(reason, 0) + events

    def moved_out(self, contents: Iterable[Content]) -> None:
        """Count contents out as if they had never arrived: they are in another account."""
        events, _ = self._ended(contents)
        self.accepted -= events

    def refused(self, reason: DropReason) -> None:
        """Count one event that was accepted and dropped at once."""
        self.accepted += 1
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def take_back(self, reason: DropReason, events: int) -> int:
        """Count events that were given up as if they had never arrived: they are elsewhere.

        :returns: how many of them: no more than were given up here.
        """
        given_up = self.dropped.pop(reason, 0)
        taken = min(events, given_up)
        self.accepted -= taken
        if taken < given_up:
            self.dropped[reason] = given_up - taken
        return taken

    def close_epoch(self) -> int:
        """Return the epoch of all that is pending, and begin a new one."""
        self.epoch += 1
        return self.epoch - 1

    def ended(self, epoch: int) -> bool:
        """Tell whether everything of ``epoch`` and before has ended."""
        return not self._pending_by_epoch or min(self._pending_by_epoch) > epoch

    def _ended(self, contents: Iterable[Content]) -> tuple[int, int]:
        """Count contents out; return how many events, and their data in bytes."""
        by_epoch: dict[int, int] = {}
        size = 0
        for content in contents:
            if isinstance(content, UserRecord):
                events = 1
                size += len(content.data)
            else:
                events = len(content.data)
                size += data_bytes(content)
            epoch = content.epoch
            by_epoch[epoch] = by_epoch.get(epoch, 0) + events
        for epoch, events in by_epoch.items():
            left = self._pending_by_epoch[epoch] - events
            if left:
                self._pending_by_epoch[epoch] = left
            else:
                del self._pending_by_epoch[epoch]
        events = sum(by_epoch.values())
        self.pending -= events
        self.pending_bytes -= size
        return events, size


def data_bytes(content: Content) -> int:
    """Return the data of a content, in bytes."""
    if isinstance(content, UserRecord):
        return len(content.data)
    return sum(map(len, content.data))
