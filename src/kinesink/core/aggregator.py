"""User records to entries: what may share a Kinesis record, and for how long.

Law: a shared record is never larger than its limit, and the user records of an
aggregated one either all belong to one predicted shard or all have one hash key.

Keyless events share one open record, whatever the number of shards; which shard it
goes to is decided when it is sent (the rate limiter knows who has room). Keyed user
records have one open record per predicted shard. All that is open shares one window: it
closes when its oldest event has lingered, so that the entries of a quiet stream leave
together in one request, and an add costs the same whatever is open.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from enum import Enum
from itertools import accumulate, compress
from typing import TYPE_CHECKING, Final

from kinesink.core.framing import KEYLESS_KEY_BYTES, framing_of
from kinesink.core.limits import PARTITION_KEY_MAX_CHARACTERS
from kinesink.core.records import ShardId

if TYPE_CHECKING:
    from kinesink.core.entry import Entry
    from kinesink.core.framing import OpenKeyed
    from kinesink.core.lines import Compress
    from kinesink.core.options import PipelineOptions
    from kinesink.core.records import Content


#: A partition key is at most so many bytes: UTF-8 has four or less of a character (RFC 3629).
_KEY_MAX_BYTES: Final = 4 * PARTITION_KEY_MAX_CHARACTERS

#: What a framing adds to an event that travels alone, at most: the end of a line, in bytes.
_ALONE_MAX_BYTES: Final = 1

Group = ShardId | int | None
"""What keyed events that may share a record have in common: the predicted shard, or else the
hash key, or nothing where that does not matter."""


class Sharing(Enum):
    """Which user records may share a Kinesis record."""

    EVERYTHING = "everything"
    """All of them: where they go is not ours to say, and matters to no consumer."""
    SHARD = "shard"
    """Those of one predicted shard."""
    HASH_KEY = "hash_key"
    """Those with one and the same hash key."""
    NOTHING = "nothing"
    """None: each event is a record of its own."""


class Aggregator:
    """The window: open records, and the closed ones that wait for company."""

    def __init__(self, options: PipelineOptions, compressor: Compress | None = None) -> None:
        """Begin with an empty window.

        :param compressor: compresses lines; what ``options.compression`` names.
        """
        self._framing = framing_of(options, compressor)
        self._linger = options.linger
        self._max_events = options.aggregate_max_events or sys.maxsize
        self._enough_entries = options.request_max_entries
        self._enough_bytes = options.request_max_bytes
        #: What may share a record, now.
        self.sharing = Sharing.NOTHING
        self._event_max_bytes = 0
        #: When the window closes.
        self.deadline = math.inf
        self._keyed: dict[Group, OpenKeyed] = {}
        self._keyless: list[Content] = []
        self._keyless_events = 0
        self._keyless_size = self._framing.keyless_base
        self._closed: list[Entry] = []
        self._closed_bytes = 0

    @property
    def event_max_bytes(self) -> int:
        """Largest event (data and partition key) that the stream takes, in bytes."""
        return self._event_max_bytes

    def use_record_limit(self, record_max_bytes: int) -> None:
        """Let no record be larger than ``record_max_bytes`` from now on."""
        self._event_max_bytes = self._framing.largest_event(record_max_bytes)

    def fits(self, datum: bytes, key_bytes: int) -> bool:
        """Tell whether an event is within the record limit of the stream."""
        return self._framing.event_bytes(datum) + key_bytes <= self._event_max_bytes

    def surely_fit(self, data: list[bytes]) -> bool:
        """Tell whether all are within the record limit, whatever their partition keys."""
        most = self._event_max_bytes - _KEY_MAX_BYTES - _ALONE_MAX_BYTES
        return max(map(len, data)) <= most

    def add_keyless(self, content: Content) -> list[bytes]:
        """Add keyless events; return those that exceed the record limit of the stream."""
        self.deadline = min(self.deadline, content.arrival + self._linger)
        data = content.each()
        sizes = self._framing.added_bytes(data)
        if max(sizes, default=0) < self._event_max_bytes:
            self._fill(content, sizes)
            return []
        most = self._event_max_bytes - KEYLESS_KEY_BYTES
        fit = [self._framing.event_bytes(datum) <= most for datum in data]
        if any(fit):
            self._fill(content.only(fit), list(compress(sizes, fit)))
        return [datum for datum, fits in zip(data, fit, strict=True) if not fits]

    def add_keyed(self, content: Content, group: Group) -> None:
        """Add events of one group that fit the record limit, each with a key."""
        if self.sharing is Sharing.NOTHING or self._max_events == 1:
            self.add_alone(content, group)
            return
        self.deadline = min(self.deadline, content.arrival + self._linger)
        predicted = shard_of(group)
        start, end = 0, len(content)
        while start < end:
            shared = self._keyed.get(group)
            if shared is None:
                # The outer partition key is the first event's, and counts for the record.
                room = self._event_max_bytes - content.each_keys()[start].size
                shared = self._framing.open(predicted, room)
            most = min(end, start + self._max_events - shared.events)
            filled = shared.fill(content, start, most)
            if filled > start:
                self._keyed[group] = shared
                start = filled
            elif shared.events:
                self._close(self._keyed.pop(group).close())
            else:  # Larger than any shared record: it travels alone.
                self._close(self._framing.alone(content.part(start, start + 1), predicted))
                start += 1

    def add_alone(self, content: Content, group: Group) -> None:
        """Add events with keys that must share nothing."""
        self.deadline = min(self.deadline, content.arrival + self._linger)
        for position in range(len(content)):
            single = content.part(position, position + 1)
            self._close(self._framing.alone(single, shard_of(group)))

    def close_keyless(self) -> None:
        """Close the open record of keyless events, if there is one."""
        if self._keyless:
            self._close(self._framing.keyless(self._keyless, self._keyless_size))
        self._keyless = []
        self._keyless_size = self._framing.keyless_base
        self._keyless_events = 0

    @property
    def closed_entries(self) -> int:
        """Entries that wait for company only."""
        return len(self._closed)

    def hurry(self) -> None:
        """Let what is in the window linger no longer."""
        if self._keyless or self._keyed or self._closed:
            self.deadline = -math.inf

    def take(self, now: float) -> list[Entry]:
        """Return the entries that may go now: all of a due window, or a full request."""
        if now >= self.deadline:
            self._close_all()
            self.deadline = math.inf
        elif len(self._closed) < self._enough_entries and self._closed_bytes < self._enough_bytes:
            return []
        closed, self._closed = self._closed, []
        self._closed_bytes = 0
        return closed

    def contents(self) -> list[Content]:
        """Return everything in the window."""
        contents = [content for entry in self._closed for content in entry.contents]
        contents += self._keyless
        contents += [content for shared in self._keyed.values() for content in shared.contents]
        return contents

    def dissolve(self) -> list[Content]:
        """Return everything in the window and empty it, to be routed again."""
        contents = self.contents()
        self._keyless, self._keyed, self._closed = [], {}, []
        self.take(math.inf)
        return contents

    def _fill(self, content: Content, sizes: list[int]) -> None:
        """Fill records with events that fit: one search per record, not one per event."""
        max_events = self._events_limit()
        ends = list(accumulate(sizes))
        start = before = 0
        while start < len(ends):
            # Looked at for each record: what compression achieves is learned on the way.
            limit = self._framing.size_limit(self._event_max_bytes - KEYLESS_KEY_BYTES)
            room = limit - self._keyless_size
            end = min(
                bisect_right(ends, before + room, lo=start),
                start + max_events - self._keyless_events,
            )
            if end <= start:
                if self._keyless:
                    self.close_keyless()
                    continue
                end = start + 1  # Larger than any shared record: it travels alone.
            self._keyless.append(content.part(start, end))
            self._keyless_events += end - start
            self._keyless_size += ends[end - 1] - before
            start, before = end, ends[end - 1]

    def _events_limit(self) -> int:
        return 1 if self.sharing is Sharing.NOTHING else self._max_events

    def _close_all(self) -> None:
        self.close_keyless()
        for shared in self._keyed.values():
            self._close(shared.close())
        self._keyed = {}

    def _close(self, entry: Entry) -> None:
        self._closed.append(entry)
        self._closed_bytes += entry.size


def shard_of(group: Group) -> ShardId | None:
    """Return the predicted shard of a group; None without one."""
    return group if isinstance(group, str) else None
