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

from kinesink.core.entry import effective_hash_key
from kinesink.core.framing import KEYLESS_KEY_BYTES, framing_of, key_bytes
from kinesink.core.limits import PARTITION_KEY_MAX_CHARACTERS
from kinesink.core.records import Chunk, UserRecord

if TYPE_CHECKING:
    from kinesink.core.entry import Entry
    from kinesink.core.framing import OpenKeyed
    from kinesink.core.lines import Compress
    from kinesink.core.options import PipelineOptions
    from kinesink.core.records import Content, ShardId


#: A partition key is at most so many bytes: UTF-8 has four or less of a character (RFC 3629).
_KEY_MAX_BYTES: Final = 4 * PARTITION_KEY_MAX_CHARACTERS


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
        self._keyed: dict[ShardId | int | None, OpenKeyed] = {}
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

    def fits(self, content: UserRecord) -> bool:
        """Tell whether a user record is within the record limit of the stream."""
        data = self._framing.event_bytes(content.data)
        if data + _KEY_MAX_BYTES <= self._event_max_bytes:
            return True
        return data + key_bytes(content) <= self._event_max_bytes

    def add_keyless(self, content: Content) -> list[bytes]:
        """Add keyless events; return those that exceed the record limit of the stream."""
        self.deadline = min(self.deadline, content.arrival + self._linger)
        data = content.each()
        sizes = self._framing.added_bytes(data)
        if max(sizes, default=0) < self._event_max_bytes:
            self._fill(content, data, sizes)
            return []
        most = self._event_max_bytes - KEYLESS_KEY_BYTES
        fit = [self._framing.event_bytes(datum) <= most for datum in data]
        data_that_fit = list(compress(data, fit))
        if data_that_fit:
            self._fill(content, data_that_fit, list(compress(sizes, fit)))
        return [datum for datum, fits in zip(data, fit, strict=True) if not fits]

    def add_keyed(self, record: UserRecord, predicted: ShardId | None) -> None:
        """Add a user record with a key that fits the record limit."""
        self.deadline = min(self.deadline, record.arrival + self._linger)
        if self.sharing is Sharing.NOTHING or self._max_events == 1:
            self._close(self._framing.alone(record, predicted))
            return
        group: ShardId | int | None = predicted
        if predicted is None and self.sharing is not Sharing.EVERYTHING:
            group = effective_hash_key(record)
        shared = self._keyed.get(group)
        if shared is not None:
            if len(shared.records) < self._max_events and shared.add(record):
                return
            self._close(self._keyed.pop(group).close())
        # The outer partition key is the first record's, and counts for the record.
        shared = self._framing.open(predicted, self._event_max_bytes - key_bytes(record))
        if shared.add(record):
            self._keyed[group] = shared
        else:
            self._close(self._framing.alone(record, predicted))

    def add_alone(self, record: UserRecord, predicted: ShardId | None) -> None:
        """Add a keyed user record that must share nothing."""
        self.deadline = min(self.deadline, record.arrival + self._linger)
        self._close(self._framing.alone(record, predicted))

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
        contents += [record for shared in self._keyed.values() for record in shared.records]
        return contents

    def dissolve(self) -> list[Content]:
        """Return everything in the window and empty it, to be routed again."""
        contents = self.contents()
        self._keyless, self._keyed, self._closed = [], {}, []
        self.take(math.inf)
        return contents

    def _fill(self, content: Content, data: list[bytes], sizes: list[int]) -> None:
        """Fill records with events that fit: one search per record, not one per event."""
        max_events = self._events_limit()
        ends = list(accumulate(sizes))
        start = before = 0
        while start < len(data):
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
            self._keyless.append(_part(content, data, start, end))
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


def _part(content: Content, data: list[bytes], start: int, end: int) -> Content:
    """Return the events from ``start`` to ``end``; a user record has one, and is kept."""
    if isinstance(content, UserRecord):
        return content
    part = data if end - start == len(data) else data[start:end]
    return Chunk(part, content.arrival, content.epoch)
