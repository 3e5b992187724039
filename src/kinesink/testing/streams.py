"""Streams, shards and records: what the fake service remembers.

Law of this file: it knows nothing of requests, members or formats. Nothing here is
thread-safe; :class:`kinesink.testing.FakeKinesis` holds one lock around all of it.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Final, NamedTuple

from kinesink.core.hash_key import HashKeyRange, hash_key_of
from kinesink.core.limits import KIB, MAX_HASH_KEY
from kinesink.testing.errors import ApiError, invalid_argument, not_found
from kinesink.testing.limits import ShardLimits, ShardMeter

__all__ = [
    "AUTO",
    "ON_DEMAND",
    "PROVISIONED",
    "USER_PARTITION_KEY",
    "Put",
    "Shard",
    "ShardView",
    "StoredRecord",
    "Stream",
    "equal_ranges",
]

PROVISIONED: Final = "PROVISIONED"
ON_DEMAND: Final = "ON_DEMAND"
AUTO: Final = "AUTO"
USER_PARTITION_KEY: Final = "USER_PARTITION_KEY"


class Put(NamedTuple):
    """One record on its way in: an entry of PutRecords, or the members of PutRecord."""

    data: bytes
    partition_key: str | None
    """None on streams that distribute records themselves, if the client left it out."""
    explicit_hash_key: int | None = None

    @property
    def size(self) -> int:
        """Bytes that count against every limit: the data and the key in UTF-8."""
        return len(self.data) + len((self.partition_key or "").encode())

    @property
    def hash_key(self) -> int:
        """What routes the record: the explicit hash key, else the MD5 of the key."""
        if self.explicit_hash_key is not None:
            return self.explicit_hash_key
        return hash_key_of(self.partition_key or "")


class StoredRecord(NamedTuple):
    """One record as a shard holds it."""

    shard_id: str
    """The shard that took it."""
    sequence_number: str
    """56 digits, increasing in the order of arrival over the whole fake."""
    partition_key: str | None
    explicit_hash_key: int | None
    """What the client sent; consumers of the real service never see it."""
    data: bytes
    arrival: float
    """Seconds on the fake's clock."""


@dataclass(frozen=True)
class ShardView:
    """One shard at one moment, as ListShards would show it."""

    shard_id: str
    hash_key_range: HashKeyRange
    """Both ends belong to the shard."""
    parent_shard_id: str | None
    adjacent_parent_shard_id: str | None
    """The second parent of a merged shard."""
    starting_sequence_number: str
    ending_sequence_number: str | None
    """None while the shard is open."""

    @property
    def is_open(self) -> bool:
        """Tell whether the shard takes records."""
        return self.ending_sequence_number is None


@dataclass(eq=False)
class Shard:
    """One shard and the records in it, oldest first."""

    number: int
    """Counts the shards of a stream; the digits of the id."""
    shard_id: str
    hash_key_range: HashKeyRange
    starting_sequence_number: str
    opened_at: float
    parents: tuple[str, ...] = ()
    ending_sequence_number: str | None = None
    closed_at: float | None = None
    records: list[StoredRecord] = field(default_factory=list)
    meter: ShardMeter | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether the shard takes records."""
        return self.ending_sequence_number is None

    def view(self) -> ShardView:
        """Return a copy that stays as it is."""
        first, second = (*self.parents, None, None)[:2]
        return ShardView(
            self.shard_id,
            self.hash_key_range,
            first,
            second,
            self.starting_sequence_number,
            self.ending_sequence_number,
        )


def equal_ranges(shards: int) -> list[HashKeyRange]:
    """Cut the hash keys into equal ranges as the service does: of four, the first ends …863."""
    edges = [(MAX_HASH_KEY + 1) * i // shards for i in range(shards + 1)]
    return [HashKeyRange(edges[i], edges[i + 1] - 1) for i in range(shards)]


class SequenceNumbers:
    """Issues sequence numbers: 56 digits, increasing, the last 12 of them the shard's number."""

    def __init__(self) -> None:
        """Start at the first number."""
        self.issued = 0
        """How many there were."""

    def next(self, shard_number: int) -> str:
        """Return the next number, higher than every one before it, as text and as integer."""
        self.issued += 1
        return f"49{self.issued:042d}{shard_number:012d}"


@dataclass(eq=False)
class Stream:
    """One stream: its settings and its shards, closed ones included, by id in order."""

    name: str
    arn: str
    account: str
    incarnation: int
    """Tells streams apart that had the same name one after another."""
    created_at: float
    numbers: SequenceNumbers
    mode: str = PROVISIONED
    max_record_kib: int = 1024
    distribution: str | None = None
    """Only on-demand streams have a strategy."""
    limits: ShardLimits | None = None
    keep_records: int | None = None
    """About how many records a shard remembers; None: all."""
    transition: str = "ACTIVE"
    transition_ends: float = 0.0
    """Until when the status is ``transition``; ACTIVE afterwards."""
    shards: dict[str, Shard] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Prepare the index of open shards, empty so far."""
        self._open: list[Shard] = []
        self._open_ends: list[int] = []
        self._turn = count()

    def status(self, now: float) -> str:
        """Return CREATING, UPDATING, DELETING or ACTIVE."""
        return self.transition if now < self.transition_ends else "ACTIVE"

    def begin(self, status: str, ends: float) -> None:
        """Enter a status that lasts until ``ends``."""
        self.transition = status
        self.transition_ends = ends

    # Shards

    @property
    def open_shards(self) -> list[Shard]:
        """The shards that take records, in the order of their ranges."""
        return self._open

    def shard(self, shard_id: str) -> Shard:
        """Return a shard by id, or raise ``ResourceNotFoundException``."""
        try:
            return self.shards[shard_id]
        except KeyError:
            raise not_found(
                f"Could not find shard {shard_id} in stream {self.name} "
                f"under account {self.account}."
            ) from None

    def add_shards(self, ranges: list[HashKeyRange], now: float) -> None:
        """Open one shard per range, without parents."""
        for hash_key_range in ranges:
            self._open_shard(hash_key_range, now)
        self.index()

    def split(self, shard: Shard, new_starting_hash_key: int, now: float) -> None:
        """Close ``shard`` and open two children that meet at ``new_starting_hash_key``."""
        self._require_open(shard)
        start, end = shard.hash_key_range
        if not start < new_starting_hash_key <= end:
            raise invalid_argument(
                f"NewStartingHashKey {new_starting_hash_key} used in SplitShard() on shard "
                f"{shard.shard_id} in stream {self.name} under account {self.account} is not "
                f"both greater than the shard's StartingHashKey {start} and at most the "
                f"shard's EndingHashKey {end}."
            )
        self._close(shard, now)
        for half in (
            HashKeyRange(start, new_starting_hash_key - 1),
            HashKeyRange(new_starting_hash_key, end),
        ):
            self._open_shard(half, now, (shard.shard_id,))
        self.index()

    def merge(self, shard: Shard, adjacent: Shard, now: float) -> None:
        """Close two neighbours and open their union."""
        self._require_open(shard)
        self._require_open(adjacent)
        low, high = sorted((shard, adjacent), key=lambda each: each.hash_key_range)
        if low.hash_key_range.end + 1 != high.hash_key_range.start:
            raise invalid_argument(
                f"Shards {shard.shard_id} and {adjacent.shard_id} in stream {self.name} under "
                f"account {self.account} are not an adjacent pair of shards eligible for merging"
            )
        self._close(shard, now)
        self._close(adjacent, now)
        union = HashKeyRange(low.hash_key_range.start, high.hash_key_range.end)
        self._open_shard(union, now, (shard.shard_id, adjacent.shard_id))
        self.index()

    def scale(self, shards: int, now: float) -> None:
        """Reshard into equal ranges, by splits and then merges, as the service does."""
        starts = [each.start for each in equal_ranges(shards)]
        for start in starts:
            shard = self.owner(start)
            if shard.hash_key_range.start != start:
                self.split(shard, start, now)
        superfluous = {each.hash_key_range.start for each in self._open} - set(starts)
        for start in sorted(superfluous):
            self.merge(self.owner(start - 1), self.owner(start), now)

    def owner(self, hash_key: int) -> Shard:
        """Return the open shard whose range holds ``hash_key``."""
        return self._open[bisect_left(self._open_ends, hash_key)]

    def _open_shard(self, owned: HashKeyRange, now: float, parents: tuple[str, ...] = ()) -> None:
        number = len(self.shards)
        shard_id = f"shardId-{number:012d}"
        meter = None if self.limits is None else ShardMeter(self.limits, now)
        self.shards[shard_id] = Shard(
            number, shard_id, owned, self.numbers.next(number), now, parents, meter=meter
        )

    def _close(self, shard: Shard, now: float) -> None:
        shard.ending_sequence_number = self.numbers.next(shard.number)
        shard.closed_at = now

    def index(self) -> None:
        """Find the open shards; to be called whenever :attr:`shards` has changed."""
        self._open = sorted(
            (each for each in self.shards.values() if each.is_open),
            key=lambda each: each.hash_key_range,
        )
        self._open_ends = [each.hash_key_range.end for each in self._open]

    def _require_open(self, shard: Shard) -> None:
        if not shard.is_open:
            raise not_found(
                f"Shard {shard.shard_id} in stream {self.name} under account {self.account} has "
                "already been merged or split, and thus is not eligible for merging or splitting."
            )

    # Records

    def place(self, put: Put) -> Shard:
        """Return the open shard that will take ``put``; a stream on AUTO takes turns."""
        if self.distribution == AUTO:
            return self._open[next(self._turn) % len(self._open)]
        return self.owner(put.hash_key)

    def throttled(self, shard: Shard, put: Put, now: float) -> ApiError | None:
        """Count ``put`` against the limits of ``shard``; return the refusal if it is too much."""
        if shard.meter is None or shard.meter.admit(put.size, now):
            return None
        return self.rate_exceeded(shard)

    def rate_exceeded(self, shard: Shard) -> ApiError:
        """Return the refusal of a record for the rate of its shard."""
        return ApiError(
            "ProvisionedThroughputExceededException",
            f"Rate exceeded for shard {shard.shard_id} in stream {self.name} "
            f"under account {self.account}.",
        )

    def store(self, shard: Shard, put: Put, now: float) -> StoredRecord:
        """Append a record to ``shard``."""
        record = StoredRecord(
            shard.shard_id,
            self.numbers.next(shard.number),
            put.partition_key,
            put.explicit_hash_key,
            put.data,
            now,
        )
        shard.records.append(record)
        if self.keep_records is not None and len(shard.records) > 2 * self.keep_records:
            del shard.records[: len(shard.records) - self.keep_records]
        return record

    def next_position(self, shard: Shard) -> int:
        """Return a sequence number above all that were issued and below all that will be."""
        return int(self.numbers.next(shard.number))

    def records(self) -> Iterator[StoredRecord]:
        """Yield the records that are still held, shard by shard."""
        for shard in self.shards.values():
            yield from shard.records

    @property
    def max_record_bytes(self) -> int:
        """How large the data and the key of one record may be together."""
        return self.max_record_kib * KIB
