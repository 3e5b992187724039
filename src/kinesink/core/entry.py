"""One slot of a PutRecords request with the user records it carries.

Law: an entry owns its contents until it is delivered, dropped or dissolved; its
bytes are made when it is sent and forgotten after, so waiting costs no second copy but
that of compressed lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kinesink.core.aggregated_record import (
    ENVELOPE_BYTES,
    HeaderCache,
    one_key_tables,
    seal,
    string_field_bytes,
)
from kinesink.core.limits import MAX_HASH_KEY_DIGITS
from kinesink.core.records import PutRecordsEntry, UserRecord, arrival_of, is_waited_for

if TYPE_CHECKING:
    from kinesink.core.aggregated_record import AggregateTables
    from kinesink.core.hash_key import Keys
    from kinesink.core.lines import Lines
    from kinesink.core.records import Content, ShardId

#: Keys of keyless events. One character each, so that they cost next to nothing;
#: several, because a Lambda event source with a ParallelizationFactor (at most 10)
#: spreads by partition key.
KEYLESS_PARTITION_KEYS: Final = "0123456789abcdef"

#: What an aggregated record of keyless events takes before its first event, at most.
KEYLESS_BASE_BYTES: Final = (
    ENVELOPE_BYTES + string_field_bytes(1) + string_field_bytes(MAX_HASH_KEY_DIGITS)
)

#: Headers of keyless sub-records by data length, shared by all pipelines of the process.
HEADERS: Final = HeaderCache()


class Entry:
    """User records that travel as one Kinesis record.

    There are three kinds: keyless (any shard will do, and it is chosen when the
    entry is sent), keyed and shared, keyed and alone. What is shared is an aggregated
    record, unless the entry is one of lines.
    """

    __slots__ = (
        "contents",
        "events",
        "failures",
        "high",
        "keyless",
        "lines",
        "low",
        "oldest",
        "outer_hash_key",
        "predicted",
        "size",
        "tables",
        "ticketed",
    )

    def __init__(
        self,
        contents: list[Content],
        *,
        size: int,
        predicted: ShardId | None = None,
        tables: AggregateTables | None = None,
        lines: Lines | None = None,
    ) -> None:
        """Take contents that are all keyless, or all keyed."""
        #: Whether none of its events has a key.
        self.keyless = contents[0].keyless
        self.contents = contents
        self.events = sum(map(len, contents))
        #: Bytes it counts for in a request (data and partition key), at most.
        self.size = size
        #: The shard it was made for; None while that is open.
        self.predicted = predicted
        #: The key tables of a keyed aggregated record.
        self.tables = tables
        #: What makes lines of the events; None where they are no lines.
        self.lines = lines
        #: Arrival of the oldest event, in seconds.
        self.oldest = min(map(arrival_of, contents))
        #: Failed attempts since it was formed.
        self.failures = 0
        #: Whether somebody waits for one of the records.
        self.ticketed = any(map(is_waited_for, contents))
        #: The hash key Kinesis routes it by, and the range its sub-records span.
        self.outer_hash_key = self.low = self.high = 0
        if not self.keyless:
            # Of many events with few keys, most have been looked at.
            keys: set[Keys] = set()
            for content in contents:
                if isinstance(content, UserRecord) and content.keys is not None:
                    keys.add(content.keys)
                else:
                    keys.update(content.each_keys())
            hash_keys = [each.hash_key for each in keys]
            self.outer_hash_key = self.first_keys.hash_key
            self.low = min(hash_keys)
            self.high = max(hash_keys)

    @property
    def shared(self) -> bool:
        """Whether several events travel in it."""
        return self.events > 1

    @property
    def aggregated(self) -> bool:
        """Whether it travels as an aggregated record."""
        return self.events > 1 and self.lines is None

    @property
    def first_keys(self) -> Keys:
        """The keys of the first event of a keyed entry, which are the outer ones."""
        return self.contents[0].each_keys()[0]

    def data(self) -> list[bytes]:
        """Return the data of every event in order."""
        data: list[bytes] = []
        for content in self.contents:
            if isinstance(content, UserRecord):
                data.append(content.data)
            else:
                data += content.data
        return data

    def bind(self, predicted: ShardId | None, hash_key: int) -> None:
        """Send a keyless entry to a shard, by a hash key that lies in its range."""
        self.predicted = predicted
        self.outer_hash_key = self.low = self.high = hash_key

    def encode(self, turn: int) -> PutRecordsEntry:
        """Return the entry as it goes on the wire.

        :param turn: a counter that spreads keyless entries over partition keys.
        """
        if self.keyless:
            return self._encode_keyless(KEYLESS_PARTITION_KEYS[turn % len(KEYLESS_PARTITION_KEYS)])
        keys = self.first_keys
        # Where the first one goes, whatever the outer key's own hash.
        hash_key = self.outer_hash_key if self.shared else keys.explicit_hash_key
        body, data = self.lines or self.tables, self.data()
        record = data[0] if body is None else body.encode(data)
        return PutRecordsEntry(
            record, keys.partition_key, None if hash_key is None else str(hash_key)
        )

    def _encode_keyless(self, key: str) -> PutRecordsEntry:
        hash_key = str(self.outer_hash_key)
        data = self.data()
        if self.lines is not None:
            return PutRecordsEntry(self.lines.encode(data), key, hash_key)
        if len(data) == 1:
            return PutRecordsEntry(data[0], key, hash_key)
        parts = one_key_tables(key, self.outer_hash_key)
        headers = HEADERS
        for datum in data:
            parts.append(headers[len(datum)])
            parts.append(datum)
        return PutRecordsEntry(seal(parts), key, hash_key)


def raw_entry(content: Content, predicted: ShardId | None) -> Entry:
    """Return an entry that carries one keyed event as it is."""
    (datum,), (keys,) = content.each(), content.each_keys()
    return Entry([content], size=len(datum) + keys.size, predicted=predicted)
