"""One stream as a fleet of producers sees it: the fake's model, without a wire.

Law: what a call is answered follows from the stream as it is when the call arrives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kinesink.core.records import EntryResult, ShardDescription, ShardId, StreamSummary
from kinesink.testing.streams import Put, SequenceNumbers, Stream, equal_ranges

if TYPE_CHECKING:
    from kinesink.core.records import PutRecordsEntry
    from kinesink.testing.limits import ShardLimits
    from kinesink.testing.streams import Shard

__all__ = ["STREAM_NAME", "Kinesis"]

STREAM_NAME: Final = "simulated"


class Kinesis:
    """A stream, and how it answers."""

    def __init__(self, shards: int, limits: ShardLimits | None, now: float) -> None:
        """Create the stream."""
        self._numbers = SequenceNumbers()
        self._limits = limits
        self._incarnation = 0
        self.stream = self._new_stream(shards, now)

    def _new_stream(self, shards: int, now: float) -> Stream:
        stream = Stream(
            STREAM_NAME, "arn", "0", self._incarnation, now, self._numbers, limits=self._limits
        )
        # The readers of a simulation look at a record when it is stored.
        stream.keep_records = 1
        stream.add_shards(equal_ranges(shards), now)
        return stream

    def put(self, slot: PutRecordsEntry, now: float) -> EntryResult:
        """Write one entry, or refuse it for the rate of its shard."""
        put = put_of(slot)
        return self.write(self.stream.place(put), put, now)

    def write(self, shard: Shard, put: Put, now: float) -> EntryResult:
        """Write a record to a shard, or refuse it for the rate of the shard."""
        refusal = self.stream.throttled(shard, put, now)
        if refusal is not None:
            return EntryResult(error_code=refusal.code, error_message=refusal.message)
        stored = self.stream.store(shard, put, now)
        return EntryResult(stored.shard_id, stored.sequence_number)

    def listing(self) -> list[ShardDescription]:
        """Return the open shards."""
        return [
            ShardDescription(ShardId(shard.shard_id), *shard.hash_key_range)
            for shard in self.stream.open_shards
        ]

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
