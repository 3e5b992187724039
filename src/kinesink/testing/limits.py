"""What a shard takes per second: token buckets, as the service keeps them.

The buckets work on the fake's clock, so a test under a virtual clock is throttled at
exactly the same entries each time.
"""

from dataclasses import dataclass, field

from kinesink.core.limits import SHARD_BYTES_PER_SECOND, SHARD_RECORDS_PER_SECOND

__all__ = ["ShardLimits", "ShardMeter"]


@dataclass(frozen=True)
class ShardLimits:
    """How much one shard takes, per second; the defaults are the service's."""

    records_per_second: float = SHARD_RECORDS_PER_SECOND
    """User-visible records, whatever their size."""
    bytes_per_second: float = SHARD_BYTES_PER_SECOND
    """Data and partition keys."""
    burst: float = 1.0
    """Seconds' worth that an idle shard takes at once."""


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


class ShardMeter:
    """The two buckets of one shard: records and bytes."""

    def __init__(self, limits: ShardLimits, now: float) -> None:
        """Start with full buckets at the time ``now``, in seconds."""
        self._records = _Bucket(
            limits.records_per_second, limits.records_per_second * limits.burst, now
        )
        self._bytes = _Bucket(limits.bytes_per_second, limits.bytes_per_second * limits.burst, now)

    def admit(self, size: int, now: float) -> bool:
        """Take one record of ``size`` bytes, or tell that it must be refused."""
        self._records.refill(now)
        self._bytes.refill(now)
        if not (self._records.has(1) and self._bytes.has(size)):
            return False
        self._records.tokens -= 1
        self._bytes.tokens -= size
        return True
