"""How events share a Kinesis record: what each adds, how much fits, what it becomes.

Law: a size said here is the size on the wire, or an upper bound of it; an entry made
here never exceeds the record it was made for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from kinesink.core.aggregated_record import AggregateTables
from kinesink.core.entry import HEADERS, KEYLESS_BASE_BYTES, Entry, raw_entry
from kinesink.core.limits import KIB
from kinesink.core.lines import Lines, compressible, join, line_bytes

if TYPE_CHECKING:
    from kinesink.core.lines import Compress
    from kinesink.core.options import PipelineOptions
    from kinesink.core.records import Content, ShardId

#: Bytes of the partition key of keyless entries.
KEYLESS_KEY_BYTES: Final = 1

#: Most bytes of lines compressed at once, unless records are configured to be larger:
#: it happens in the event loop, and takes a few milliseconds.
_COMPRESSED_AT_ONCE: Final = 256 * KIB

#: How fast the estimate of the compression ratio follows: the weight of the newest.
_RATIO_WEIGHT: Final = 0.25


class OpenKeyed(Protocol):
    """A record of keyed events under construction."""

    @property
    def contents(self) -> list[Content]:
        """The events in it."""

    @property
    def events(self) -> int:
        """How many they are."""

    def fill(self, content: Content, start: int, end: int) -> int:
        """Add the events of a content from ``start`` up to ``end`` that fit.

        :returns: the position of the first event that was not added.
        """

    def close(self) -> Entry:
        """Return the entry it has become."""


class Framing(Protocol):
    """One way to put events into Kinesis records."""

    #: Bytes a record of keyless events takes before its first event, at most.
    keyless_base: int

    def largest_event(self, record_max_bytes: int) -> int:
        """Return the largest event (data and partition key) for a record limit, in bytes."""

    def event_bytes(self, datum: bytes) -> int:
        """Return what an event counts for when it travels alone, without its key."""

    def added_bytes(self, data: list[bytes]) -> list[int]:
        """Return what each keyless event adds to a record, in bytes."""

    def size_limit(self, room: int) -> int:
        """Return how far to fill a record that has ``room`` bytes for data."""

    def keyless(self, contents: list[Content], size: int) -> Entry:
        """Return the entry of keyless events that add up to ``size`` bytes."""

    def alone(self, content: Content, predicted: ShardId | None) -> Entry:
        """Return the entry of one keyed event."""

    def open(self, predicted: ShardId | None, room: int) -> OpenKeyed:
        """Begin a record of keyed events that has ``room`` bytes for data."""


class _AddedBytes(dict[int, int]):
    """What a keyless sub-record adds to an aggregated record, by the length of its data."""

    _MAX_LENGTHS: Final = 8192

    def __missing__(self, data_bytes: int) -> int:
        if len(self) >= self._MAX_LENGTHS:
            self.clear()
        added = self[data_bytes] = data_bytes + len(HEADERS[data_bytes])
        return added


_ADDED_BYTES: Final = _AddedBytes()


class Aggregated:
    """Framing ``kpl``: two or more events are an aggregated record, one travels as it is."""

    keyless_base = KEYLESS_BASE_BYTES

    def __init__(self, options: PipelineOptions) -> None:
        self._max_bytes = options.aggregate_max_bytes

    def largest_event(self, record_max_bytes: int) -> int:
        """Return the record limit: an event alone is sent as it is."""
        return record_max_bytes

    def event_bytes(self, datum: bytes) -> int:
        """Return the length of the event."""
        return len(datum)

    def added_bytes(self, data: list[bytes]) -> list[int]:
        """Return the length of each sub-record, exact but for the outer tables."""
        return list(map(_ADDED_BYTES.__getitem__, map(len, data)))

    def size_limit(self, room: int) -> int:
        """Return the limit of an aggregated record."""
        return min(self._max_bytes, room)

    def keyless(self, contents: list[Content], size: int) -> Entry:
        """Return an aggregated record, or the one event as it is."""
        first = contents[0]
        if len(contents) == 1 and len(first) == 1:
            size = _only_length(first)
        return Entry(contents, size=size + KEYLESS_KEY_BYTES)

    def alone(self, content: Content, predicted: ShardId | None) -> Entry:
        """Return the event as it is."""
        return raw_entry(content, predicted)

    def open(self, predicted: ShardId | None, room: int) -> OpenKeyed:
        """Begin an aggregated record with key tables of its own."""
        return _OpenAggregate(self, predicted, self.size_limit(room))


class _Open:
    """What records of keyed events have in common while they are open."""

    def __init__(self, predicted: ShardId | None, limit: int) -> None:
        self._predicted = predicted
        self._limit = limit
        self.contents: list[Content] = []
        self.events = 0

    def _take(self, content: Content, start: int, end: int) -> int:
        if end > start:
            self.contents.append(content.part(start, end))
            self.events += end - start
        return end


class _OpenAggregate(_Open):
    """Keyed events of one group, and the exact size of what they will become."""

    def __init__(self, framing: Aggregated, predicted: ShardId | None, limit: int) -> None:
        super().__init__(predicted, limit)
        self._framing = framing
        self._tables = AggregateTables()

    def fill(self, content: Content, start: int, end: int) -> int:
        data, keys = content.each(), content.each_keys()
        return self._take(content, start, self._tables.fill(data, keys, start, end, self._limit))

    def close(self) -> Entry:
        if self.events == 1:
            return self._framing.alone(self.contents[0], self._predicted)
        size = self._tables.size + _first_key_bytes(self.contents[0])
        return Entry(self.contents, size=size, predicted=self._predicted, tables=self._tables)


class Joined:
    """Framing ``lines``, compressed or not."""

    keyless_base = 0

    def __init__(self, options: PipelineOptions, compress: Compress | None) -> None:
        """Begin with an estimate that every compressor exceeds on text: it does not shrink.

        :param compress: what ``options.compression`` names; None without.
        """
        self._max_bytes = options.aggregate_max_bytes
        self._compress = compress
        self._at_once = max(_COMPRESSED_AT_ONCE, options.aggregate_max_bytes)
        self._ratio = 1.0

    def largest_event(self, record_max_bytes: int) -> int:
        """Return the record limit, or what surely fits into it after compression."""
        return record_max_bytes if self._compress is None else compressible(record_max_bytes)

    def event_bytes(self, datum: bytes) -> int:
        """Return the length of the line."""
        return line_bytes(datum)

    def added_bytes(self, data: list[bytes]) -> list[int]:
        """Return the length of each line."""
        return list(map(line_bytes, data))

    def size_limit(self, room: int) -> int:
        """Return how many bytes of lines are likely to have the wanted size once compressed."""
        if self._compress is None:
            return min(self._max_bytes, room)
        return min(int(self._max_bytes * self._ratio), self._at_once, room)

    def keyless(self, contents: list[Content], size: int) -> Entry:
        """Return an entry of lines."""
        return self.entry(contents, size, KEYLESS_KEY_BYTES, None)

    def alone(self, content: Content, predicted: ShardId | None) -> Entry:
        """Return an entry of one line."""
        (datum,) = content.each()
        return self.entry([content], line_bytes(datum), _first_key_bytes(content), predicted)

    def open(self, predicted: ShardId | None, room: int) -> OpenKeyed:
        """Begin an entry of lines."""
        return _OpenLines(self, predicted, self.size_limit(room))

    def entry(
        self, contents: list[Content], size: int, of_key: int, predicted: ShardId | None
    ) -> Entry:
        """Return an entry of lines that have ``size`` bytes, compressed if that is wanted."""
        if self._compress is None:
            return Entry(contents, size=size + of_key, predicted=predicted, lines=Lines())
        data = [datum for content in contents for datum in content.each()]
        compressed = self._compress(join(data))
        self._ratio += _RATIO_WEIGHT * (max(1.0, size / len(compressed)) - self._ratio)
        lines = Lines(compressed)
        return Entry(contents, size=len(compressed) + of_key, predicted=predicted, lines=lines)


class _OpenLines(_Open):
    """Keyed events of one group, to be lines of one record."""

    def __init__(self, framing: Joined, predicted: ShardId | None, limit: int) -> None:
        super().__init__(predicted, limit)
        self._framing = framing
        self._size = 0

    def fill(self, content: Content, start: int, end: int) -> int:
        data = content.each()
        for position in range(start, end):
            size = self._size + line_bytes(data[position])
            if size > self._limit:
                return self._take(content, start, position)
            self._size = size
        return self._take(content, start, end)

    def close(self) -> Entry:
        of_key = _first_key_bytes(self.contents[0])
        return self._framing.entry(self.contents, self._size, of_key, self._predicted)


def _first_key_bytes(content: Content) -> int:
    """Return the bytes of the first event's partition key, as Kinesis counts them."""
    return content.each_keys()[0].size


def _only_length(content: Content) -> int:
    (datum,) = content.each()
    return len(datum)


def framing_of(options: PipelineOptions, compress: Compress | None) -> Framing:
    """Return the framing that the options ask for.

    ``none`` is ``kpl`` where nothing ever shares a record, which the router sees to.
    """
    return Joined(options, compress) if options.framing == "lines" else Aggregated(options)
