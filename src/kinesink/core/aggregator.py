"""User records to entries: what may share an aggregated record, and for how long.

Law: an aggregated record is never larger than its limit, and its user records
either all belong to one predicted shard or all have one hash key.

Keyless events share one open aggregated record, whatever the number of shards;
which shard it goes to is decided when it is sent (the rate limiter knows who has
room). Keyed records have one open aggregated record per predicted shard. All that
is open shares one window: it closes when its oldest event has lingered, so that the
entries of a quiet stream leave together in one request, and an add costs the same
whatever is open.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING

from kinesink.core.aggregated_record import AggregateTables
from kinesink.core.entry import (
    HEADERS,
    KEYLESS_BASE_BYTES,
    Entry,
    effective_hash_key,
    raw_entry,
)
from kinesink.core.records import Chunk, UserRecord

if TYPE_CHECKING:
    from kinesink.core.options import PipelineOptions
    from kinesink.core.records import Content, ShardId


class Sharing(Enum):
    """Which user records may share an aggregated record."""

    SHARD = "shard"
    """Those of one predicted shard."""
    HASH_KEY = "hash_key"
    """Those with one and the same hash key."""
    NOTHING = "nothing"
    """None: each event is a record of its own."""


class _OpenAggregate:
    """Keyed user records of one group, and the exact size of what they will become."""

    __slots__ = ("limit", "predicted", "records", "tables")

    def __init__(self, predicted: ShardId | None, limit: int) -> None:
        self.predicted = predicted
        #: Bytes the aggregated record may have.
        self.limit = limit
        self.records: list[UserRecord] = []
        self.tables = AggregateTables()

    def close(self) -> Entry:
        if len(self.records) == 1:
            return raw_entry(self.records[0], self.predicted)
        size = self.tables.size + len((self.records[0].partition_key or "").encode())
        return Entry(list(self.records), size=size, predicted=self.predicted, tables=self.tables)


class Aggregator:
    """The window: open aggregated records, and the closed ones that wait for company."""

    def __init__(self, options: PipelineOptions) -> None:
        self._linger = options.linger
        self._max_bytes = options.aggregate_max_bytes
        self._max_events = options.aggregate_max_events or math.inf
        self._enough_entries = options.request_max_entries
        self._enough_bytes = options.request_max_bytes
        #: What may share an aggregated record, now.
        self.sharing = Sharing.NOTHING
        #: Largest record of the stream, in bytes.
        self.record_max_bytes = 0
        #: When the window closes.
        self.deadline = math.inf
        self._keyed: dict[ShardId | int, _OpenAggregate] = {}
        self._keyless: list[Content] = []
        self._keyless_events = 0
        self._keyless_size = KEYLESS_BASE_BYTES
        self._closed: list[Entry] = []
        self._closed_bytes = 0

    def fits(self, content: UserRecord) -> bool:
        """Tell whether a user record is within the record limit of the stream."""
        key_bytes = len(content.partition_key.encode()) if content.partition_key else 1
        return len(content.data) + key_bytes <= self.record_max_bytes

    def add_keyless(self, content: Content) -> list[bytes]:
        """Add keyless events; return those that exceed the record limit of the stream."""
        self.deadline = min(self.deadline, content.arrival + self._linger)
        if isinstance(content, UserRecord):
            self._make_room(len(content.data))
            self._keyless.append(content)
            return []
        return self._add_chunk(content)

    def add_keyed(self, record: UserRecord, predicted: ShardId | None) -> None:
        """Add a user record with a key that fits the record limit."""
        self.deadline = min(self.deadline, record.arrival + self._linger)
        key, explicit, size = record.partition_key or "", record.explicit_hash_key, len(record.data)
        if self._events_limit() == 1:
            self._close(raw_entry(record, predicted))
            return
        group = effective_hash_key(record) if predicted is None else predicted
        open_aggregate = self._keyed.get(group)
        if open_aggregate is not None and (
            open_aggregate.tables.size_with(key, explicit, size) > open_aggregate.limit
            or len(open_aggregate.records) >= self._max_events
        ):
            self._close(self._keyed.pop(group).close())
            open_aggregate = None
        if open_aggregate is None:
            # The outer partition key is the first record's, and counts for the record.
            limit = min(self._max_bytes, self.record_max_bytes - len(key.encode()))
            open_aggregate = _OpenAggregate(predicted, limit)
            if open_aggregate.tables.size_with(key, explicit, size) > limit:
                self._close(raw_entry(record, predicted))
                return
            self._keyed[group] = open_aggregate
        open_aggregate.tables.add(key, explicit, size)
        open_aggregate.records.append(record)

    def add_alone(self, record: UserRecord, predicted: ShardId | None) -> None:
        """Add a keyed user record that must not be aggregated."""
        self.deadline = min(self.deadline, record.arrival + self._linger)
        self._close(raw_entry(record, predicted))

    def close_keyless(self) -> None:
        """Close the open aggregated record of keyless events, if there is one."""
        if self._keyless:
            alone = self._keyless_events == 1
            size = _only_length(self._keyless[0]) if alone else self._keyless_size
            self._close(Entry(self._keyless, size=size + 1))
        self._keyless = []
        self._keyless_size = KEYLESS_BASE_BYTES
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

    def dissolve(self) -> list[Content]:
        """Return everything in the window and empty it, to be routed again."""
        self.deadline = -math.inf
        return [content for entry in self.take(-math.inf) for content in entry.contents]

    def _add_chunk(self, chunk: Chunk) -> list[bytes]:
        """Fill open aggregated records from the chunk; the loop is the hot path."""
        data, arrival, epoch = chunk.data, chunk.arrival, chunk.epoch
        limit, max_events, headers = self._size_limit(), self._events_limit(), HEADERS
        size, events = self._keyless_size, self._keyless_events
        too_large: list[bytes] = []
        start = 0
        for position, datum in enumerate(data):
            length = len(datum)
            grown = size + len(headers[length]) + length
            if grown > limit or events >= max_events:
                self._keep(data[start:position], arrival, epoch, size, events)
                self.close_keyless()
                start, size, events = position, KEYLESS_BASE_BYTES, 0
                grown = size + len(headers[length]) + length
                if length >= self.record_max_bytes:
                    too_large.append(datum)
                    start, grown, events = position + 1, size, -1
            size = grown
            events += 1
        self._keep(data[start:], arrival, epoch, size, events)
        return too_large

    def _keep(self, data: list[bytes], arrival: float, epoch: int, size: int, events: int) -> None:
        if data:
            self._keyless.append(Chunk(data, arrival, epoch))
        self._keyless_size, self._keyless_events = size, events

    def _make_room(self, data_bytes: int) -> None:
        """Count one keyless event, closing the open aggregated record if it is full."""
        growth = len(HEADERS[data_bytes]) + data_bytes
        if (
            self._keyless_size + growth > self._size_limit()
            or self._keyless_events >= self._events_limit()
        ):
            self.close_keyless()
        self._keyless_size += growth
        self._keyless_events += 1

    def _size_limit(self) -> int:
        return min(self._max_bytes, self.record_max_bytes - 1)

    def _events_limit(self) -> float:
        return 1 if self.sharing is Sharing.NOTHING else self._max_events

    def _close_all(self) -> None:
        self.close_keyless()
        for open_aggregate in self._keyed.values():
            self._close(open_aggregate.close())
        self._keyed = {}

    def _close(self, entry: Entry) -> None:
        self._closed.append(entry)
        self._closed_bytes += entry.size


def _only_length(content: Content) -> int:
    return len(content.data[0] if isinstance(content, Chunk) else content.data)
