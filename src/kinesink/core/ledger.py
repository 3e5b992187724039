"""The account of one stream: every event accepted ends as delivered or dropped.

Law: a content is counted once when it arrives and once when it ends, by its number
of events; what has arrived and not ended is pending.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinesink.core.records import Chunk

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

    def arrived(self, content: Content) -> None:
        """Count a content in, and mark it with the current epoch."""
        events = len(content)
        content.epoch = self.epoch
        if not events:
            return
        self.accepted += events
        self.pending += events
        self.pending_bytes += data_bytes(content)
        self._pending_by_epoch[self.epoch] = self._pending_by_epoch.get(self.epoch, 0) + events

    def took(self, entry: Entry) -> None:
        """Count the events of an entry as delivered."""
        for content in entry.contents:
            self.delivered += len(content)
            self.delivered_bytes += self._ended(content)

    def gave_up(self, contents: Iterable[Content], reason: DropReason) -> None:
        """Count contents as dropped."""
        for content in contents:
            self.dropped[reason] = self.dropped.get(reason, 0) + len(content)
            self._ended(content)

    def moved_out(self, contents: Iterable[Content]) -> None:
        """Count contents out as if they had never arrived: they are in another account."""
        for content in contents:
            self.accepted -= len(content)
            self._ended(content)

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

    def _ended(self, content: Content) -> int:
        """Count a content out; return its data in bytes."""
        events, size = len(content), data_bytes(content)
        self.pending -= events
        self.pending_bytes -= size
        left = self._pending_by_epoch[content.epoch] - events
        if left:
            self._pending_by_epoch[content.epoch] = left
        else:
            del self._pending_by_epoch[content.epoch]
        return size


def data_bytes(content: Content) -> int:
    """Return the data of a content, in bytes."""
    if isinstance(content, Chunk):
        return sum(map(len, content.data))
    return len(content.data)
