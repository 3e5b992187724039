"""The pace of a producer towards each shard, measured on the wire.

Law: over any window of W seconds a shard sees at most one bucket plus rate times W, in
records and in bytes, the rate being the ceiling; an entry larger than a bucket may go into
debt, but only from no debt.

For a constant rate this needs no windows: a level that rises with each entry and sinks
with the rate stays below one bucket if and only if every window does.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from kinesink.core.limits import SHARD_BYTES_PER_SECOND, SHARD_RECORDS_PER_SECOND
from kinesink.testing.simulation.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinesink.core.hash_key import HashKeyRange
    from kinesink.core.options import PipelineOptions
    from kinesink.core.records import ShardId

__all__ = ["PaceAudit"]

#: Entries up to this size may never go into debt: a shard's bucket at the lowest rate.
_SMALL: Final = 8 * 1024

#: What the limiter may be off by, as a part of a second's worth: its rounding.
_ROUNDING: Final = 1e-4


class _Level:
    """How full one shard's measure is."""

    __slots__ = ("bytes", "records", "updated_at")

    def __init__(self, now: float) -> None:
        self.records = 0.0
        self.bytes = 0.0
        self.updated_at = now


class PaceAudit:
    """The measures of all shards that one producer has sent to."""

    def __init__(self, options: PipelineOptions) -> None:
        rate = options.shard_rate_limit
        self._records_per_second = rate * SHARD_RECORDS_PER_SECOND
        self._bytes_per_second = rate * SHARD_BYTES_PER_SECOND
        self._most_records = max(1.0, self._records_per_second) * (1 + _ROUNDING)
        # The first aggregated record need not wait, however large.
        self._most_bytes = (
            max(self._bytes_per_second, options.aggregate_max_bytes)
            + self._bytes_per_second * _ROUNDING
        )
        self._levels: dict[ShardId, _Level] = {}
        self._ranges: Mapping[ShardId, HashKeyRange] = {}

    def sent(self, shard_id: ShardId | None, size: int, now: float) -> None:
        """Count an entry on its way to a shard."""
        if shard_id is None or math.isinf(self._bytes_per_second):
            return
        level = self._levels.get(shard_id)
        if level is None:
            level = self._levels[shard_id] = _Level(now)
        elapsed = now - level.updated_at
        level.updated_at = now
        level.records = max(0.0, level.records - elapsed * self._records_per_second) + 1
        before = max(0.0, level.bytes - elapsed * self._bytes_per_second)
        level.bytes = before + size
        if level.records > self._most_records:
            raise Violation(
                "rate",
                f"{shard_id} got {level.records:.1f} records above its rate; "
                f"a bucket is {self._most_records:.1f}",
            )
        if (before if size > _SMALL else level.bytes) > self._most_bytes:
            raise Violation(
                "rate",
                f"{shard_id} got {level.bytes:.0f} bytes above its rate, the last {size} of "
                f"them at once; a bucket is {self._most_bytes:.0f}",
            )

    def knows(self, ranges: Mapping[ShardId, HashKeyRange]) -> None:
        """Take note of the shards that the producer knows now, and their ranges.

        One that it has forgotten begins anew when it is back, and so does an id that stands
        for another range: its stream was created anew.
        """
        for shard_id in list(self._levels):
            if ranges.get(shard_id) != self._ranges.get(shard_id):
                del self._levels[shard_id]
        self._ranges = ranges
