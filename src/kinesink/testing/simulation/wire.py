"""What one producer puts on the wire: how large its requests are, and how fast they follow.

Law: no request exceeds its limits, and no shard gets more than its pace. A request that
was refused as a whole, and is sent again as it was or in halves, reached no shard the
first time and is not counted twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinesink.testing.simulation.rates import PaceAudit
from kinesink.testing.simulation.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinesink.core.collector import PutRecordsRequest
    from kinesink.core.hash_key import HashKeyRange
    from kinesink.core.options import PipelineOptions
    from kinesink.core.records import PutRecordsEntry, ShardId

__all__ = ["WireAudit"]


class WireAudit:
    """The requests of one producer."""

    def __init__(self, options: PipelineOptions) -> None:
        self._options = options
        self._pace = PaceAudit(options)
        self._refused: dict[int, PutRecordsEntry] = {}
        #: The largest record that the stream was ever known to take.
        self._largest_record = 0

    def sent(
        self, request: PutRecordsRequest, timeout: float, record_max_bytes: int, now: float
    ) -> None:
        """Check a request as it leaves."""
        self._largest_record = max(self._largest_record, record_max_bytes)
        if not 0 < timeout <= self._options.request_timeout:
            raise Violation("requests", f"a call may take {timeout} s")
        self._check_sizes(request)
        repeated = self._refused.pop(id(request.wire[0]), None) is not None
        for slot in request.wire[1:]:
            self._refused.pop(id(slot), None)
        if not repeated:
            for entry, slot in zip(request.entries, request.wire, strict=True):
                self._pace.sent(entry.predicted, size_of(slot), now)

    def refused(self, request: PutRecordsRequest) -> None:
        """Take note of a request that failed as a whole."""
        self._refused.update((id(slot), slot) for slot in request.wire)

    def knows(self, ranges: Mapping[ShardId, HashKeyRange]) -> None:
        """Take note of the shards that the producer knows now."""
        self._pace.knows(ranges)

    def _check_sizes(self, request: PutRecordsRequest) -> None:
        options = self._options
        sizes = [size_of(slot) for slot in request.wire]
        if not 0 < len(sizes) <= options.request_max_entries:
            raise Violation("requests", f"a request has {len(sizes)} entries")
        if sum(sizes) > options.request_max_bytes and len(sizes) > 1:
            raise Violation("requests", f"a request of {len(sizes)} has {sum(sizes)} bytes")
        if request.size != sum(sizes):
            raise Violation("requests", f"{sum(sizes)} bytes are taken for {request.size}")
        shares: dict[ShardId, list[int]] = {}
        for entry, size in zip(request.entries, sizes, strict=True):
            if size > entry.size:
                raise Violation("requests", f"an entry for {entry.size} bytes has {size}")
            if size > self._largest_record:
                raise Violation("requests", f"an entry has {size} bytes")
            if entry.predicted is not None:
                shares.setdefault(entry.predicted, []).append(size)
        for shard_id, parts in shares.items():
            if len(parts) > 1 and sum(parts) > options.request_max_bytes_per_shard:
                raise Violation("requests", f"{shard_id} gets {sum(parts)} bytes of a request")


def size_of(slot: PutRecordsEntry) -> int:
    """Return what an entry counts for, in bytes."""
    return len(slot.data) + len(slot.partition_key.encode())
