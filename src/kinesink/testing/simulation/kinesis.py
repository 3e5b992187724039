"""One stream as its producers see it: the fake's model, without a wire.

Law: what a call is answered follows from the stream as it is when the call arrives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kinesink.core.records import EntryResult, ShardDescription, ShardId, StreamSummary
from kinesink.testing.streams import Put, SequenceNumbers, Stream, equal_ranges

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.core.records import PutRecordsEntry
    from kinesink.testing.limits import ShardLimits
    from kinesink.testing.streams import Shard, StoredRecord

__all__ = ["STREAM_NAME", "Kinesis", "put_of"]

STREAM_NAME: Final = "simulated"


class Kinesis:
    """A stream, and how it answers."""

    def __init__(self, shards: int, limits: ShardLimits | None, now: float) -> None:
        """Create the stream."""
        self._numbers = SequenceNumbers()
        self._limits = limits
        self._history: list[tuple[float, list[ShardDescription]]] = []
        self.stream = self._new_stream(0, shards, now)
        self.changed(now)

    def _new_stream(self, incarnation: int, shards: int, now: float) -> Stream:
        stream = Stream(STREAM_NAME, "arn", "0", incarnation, now, self._numbers)
        stream.limits = self._limits
        # Who wants to read a record is handed it when it is stored.
        stream.keep_records = 1
        stream.add_shards(equal_ranges(shards), now)
        return stream

    def recreate(self, shards: int, now: float) -> None:
        """Delete the stream, and create another one of the same name and settings."""
        old = self.stream
        self.stream = self._new_stream(old.incarnation + 1, shards, now)
        self.stream.distribution = old.distribution
        self.stream.max_record_kib = old.max_record_kib
        # Nobody lists the shards of a stream that is gone.
        self._history.clear()
        self.changed(now)

    def changed(self, now: float) -> None:
        """Remember the shards as they are from now on."""
        self._history.append((now, self.listing()))

    def put(
        self,
        slot: PutRecordsEntry,
        now: float,
        reader: Callable[[Shard, StoredRecord], None] | None = None,
    ) -> EntryResult:
        """Write one entry, or refuse it for the rate of its shard.

        :param reader: gets the record when it is stored; the stream itself forgets it.
        """
        put = put_of(slot)
        shard = self.stream.place(put)
        refusal = self.stream.throttled(shard, put, now)
        if refusal is not None:
            return EntryResult(error_code=refusal.code, error_message=refusal.message)
        stored = self.stream.store(shard, put, now)
        if reader is not None:
            reader(shard, stored)
        return EntryResult(stored.shard_id, stored.sequence_number)

    def listing(self) -> list[ShardDescription]:
        """Return the open shards."""
        return [
            ShardDescription(ShardId(shard.shard_id), *shard.hash_key_range)
            for shard in self.stream.open_shards
        ]

    def listing_of(self, time: float) -> list[ShardDescription]:
        """Return the shards that were open at a time, or at first."""
        past = [listing for since, listing in self._history if since <= time]
        return past[-1] if past else self._history[0][1]

    def previous_listing(self) -> list[ShardDescription]:
        """Return the shards that were open before the last change."""
        return self._history[-2:][0][1]

    def summary(self) -> StreamSummary:
        """Return what DescribeStreamSummary says."""
        stream = self.stream
        return StreamSummary(
            stream.max_record_bytes, stream.distribution, stream.mode, created=stream.created_at
        )


def put_of(slot: PutRecordsEntry) -> Put:
    """Return an entry as the stream takes it."""
    explicit = slot.explicit_hash_key
    return Put(slot.data, slot.partition_key, None if explicit is None else int(explicit))
