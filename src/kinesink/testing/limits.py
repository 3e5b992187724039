"""What a shard takes per second: token buckets, as the service keeps them.

The buckets work on the fake's clock, so a test under a virtual clock is throttled at
exactly the same entries each time.
"""

from dataclasses import dataclass, field
from typing import Final

from kinesink.core.limits import MIB, SHARD_BYTES_PER_SECOND, SHARD_RECORDS_PER_SECOND

__all__ = ["READS_PER_SECOND", "READ_BYTES_PER_SECOND", "ShardLimits", "ShardMeter"]

READS_PER_SECOND: Final = 5
READ_BYTES_PER_SECOND: Final = 2 * MIB
"""What all readers of a shard share (API reference of GetRecords, November 2026)."""


@dataclass(frozen=True)
class ShardLimits:
    """How much one shard takes, per second; the defaults are the service's."""

    records_per_second: float = SHARD_RECORDS_PER_SECOND
    """User-visible records, whatever their size."""
    bytes_per_second: float = SHARD_BYTES_PER_SECOND
    """Data and partition keys."""
    burst: float = 1.0
    """Seconds' worth that an idle shard takes at once."""
    reads_per_second: float | None = None
    """Calls of GetRecords; None: any number. The service's is :data:`READS_PER_SECOND`."""
    read_bytes_per_second: float | None = None
    """Data in their answers; None: any amount. The service's is
    :data:`READ_BYTES_PER_SECOND`."""


@dataclass
class _Bucket:
    """A token bucket that lets through what is larger than itself, into debt, when full."""

    rate: float
    capacity: float
    filled_at: float
    tokens: float = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = self.capacity

    def refill(self, now: float) -> None:
        """Add what came in since the last time."""
        self.tokens = min(self.capacity, self.tokens + (now - self.filled_at) * self.rate)
        self.filled_at = now

    def has(self, amount: float) -> bool:
        """Tell whether ``amount`` may be taken."""
        return self.tokens >= min(amount, self.capacity)


def _full(rate: float | None, seconds: float, now: float) -> _Bucket | None:
    return None if rate is None else _Bucket(rate, rate * seconds, now)


class ShardMeter:
    """The buckets of one shard: records and bytes, in and out."""

    def __init__(self, limits: ShardLimits, now: float) -> None:
        """Start with full buckets at the time ``now``, in seconds."""
        self._records = _Bucket(
            limits.records_per_second, limits.records_per_second * limits.burst, now
        )
        self._bytes = _Bucket(limits.bytes_per_second, limits.bytes_per_second * limits.burst, now)
        self._reads = _full(limits.reads_per_second, limits.burst, now)
        self._read_bytes = _full(limits.read_bytes_per_second, limits.burst, now)

    def admit(self, size: int, now: float) -> bool:
        """Take one record of ``size`` bytes, or tell that it must be refused."""
        self._records.refill(now)
        self._bytes.refill(now)
        if not (self._records.has(1) and self._bytes.has(size)):
            return False
        self._records.tokens -= 1
        self._bytes.tokens -= size
        return True

    def admit_read(self, now: float) -> bool:
        """Take one call of GetRecords, or tell that it must be refused."""
        for bucket in filter(None, (self._reads, self._read_bytes)):
            bucket.refill(now)
            if not bucket.has(1):
                return False
        if self._reads is not None:
            self._reads.tokens -= 1
        return True

    def charge_read(self, size: int) -> None:
        """Count the data of an answer, after which others may have to wait for seconds."""
        if self._read_bytes is not None:
            self._read_bytes.tokens -= size
