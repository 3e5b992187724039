"""Builders of what the core's tests are about: user records, chunks and entries."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kinesink.core.aggregated_record import AggregateTables
from kinesink.core.collector import Collector
from kinesink.core.entry import Entry, raw_entry
from kinesink.core.hash_key import Keys
from kinesink.core.options import PipelineOptions
from kinesink.core.pace import Quiet, ShardPace
from kinesink.core.rate_limiter import RateLimiter
from kinesink.core.records import Chunk, ShardDescription, ShardId, UserRecord
from kinesink.core.shard_map import ShardMap

if TYPE_CHECKING:
    from kinesink.core.records import RecordResult
    from kinesink.core.shard_map import Shard

OPTIONS = PipelineOptions()


class Results:
    """A ticket that keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[RecordResult] = []

    def resolve(self, result: RecordResult) -> None:
        """Take the result."""
        self.told.append(result)


def keyed(
    data: bytes = b"x",
    partition_key: str = "k",
    *,
    explicit_hash_key: int | None = None,
    arrival: float = 0.0,
    ticket: Results | None = None,
) -> UserRecord:
    """Return a user record with a key."""
    return UserRecord(
        data,
        arrival=arrival,
        partition_key=partition_key,
        explicit_hash_key=explicit_hash_key,
        ticket=ticket,
    )


def keyless(*data: bytes, arrival: float = 0.0) -> Chunk:
    """Return a run of keyless events."""
    return Chunk(list(data), arrival)


def keyless_entry(size: int = 100, *, arrival: float = 0.0) -> Entry:
    """Return an entry of one keyless event that counts for `size` bytes."""
    return Entry([keyless(bytes(size - 1), arrival=arrival)], size=size)


def keyed_entry(
    size: int = 100, *, predicted: ShardId | None = None, arrival: float = 0.0
) -> Entry:
    """Return an entry of one keyed user record that counts for `size` bytes."""
    return raw_entry(keyed(bytes(size - 1), arrival=arrival), predicted)


def aggregate_of(*records: UserRecord, predicted: ShardId | None = None) -> Entry:
    """Return an aggregated record of keyed user records."""
    tables = tables_of(
        *((r.partition_key or "", r.explicit_hash_key, len(r.data)) for r in records)
    )
    size = tables.size + len((records[0].partition_key or "").encode())
    return Entry(list(records), size=size, predicted=predicted, tables=tables)


def tables_of(*events: tuple[str, int | None, int]) -> AggregateTables:
    """Return the tables of events, each given by its keys and the length of its data."""
    tables = AggregateTables()
    data = [bytes(length) for _, _, length in events]
    keys = [Keys(key, hash_key) for key, hash_key, _ in events]
    assert tables.fill(data, keys, 0, len(events)) == len(events)
    return tables


def aggregated(*records: tuple[str, int | None, bytes]) -> bytes:
    """Return an aggregated record."""
    tables = tables_of(*((key, hash_key, len(data)) for key, hash_key, data in records))
    return tables.encode([data for _, _, data in records])


def together(records: list[UserRecord], arrival: float = 0.0) -> Chunk:
    """Return user records with keys as one content."""
    keys = [keys for record in records for keys in record.each_keys()]
    return Chunk([record.data for record in records], arrival, keys=keys)


def user_records(entry: Entry) -> list[UserRecord]:
    """Return the contents that are user records of their own."""
    return [content for content in entry.contents if isinstance(content, UserRecord)]


def shard_id(number: int) -> ShardId:
    """Return the id that Kinesis gives to the `number`-th shard."""
    return ShardId(f"shardId-{number:012d}")


def equal_shards(count: int) -> list[ShardDescription]:
    """Return `count` open shards of (nearly) equal ranges."""
    ends = [2**128 * (i + 1) // count - 1 for i in range(count)]
    starts = [0, *(end + 1 for end in ends[:-1])]
    return [
        ShardDescription(shard_id(i), start, end)
        for i, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]


def read_listing(shard_map: ShardMap, listing: list[ShardDescription], now: float) -> None:
    """Let the map ask at `now` and have its answer at once."""
    shard_map.refresh.due_at = now
    assert shard_map.refresh.ask(now)
    shard_map.listed(listing, now, jitter=0.0)


def map_of(listing: list[ShardDescription], now: float = 0.0) -> ShardMap:
    """Return a map that has read `listing` at `now`."""
    shard_map = ShardMap()
    read_listing(shard_map, listing, now)
    return shard_map


def pace(*, ceiling: float = 1.0, first_bytes: int = 51_200, now: float = 0.0) -> ShardPace:
    """Return the pace of a shard at its start."""
    return ShardPace(shard_id(0), ceiling=ceiling, first_bytes=first_bytes, now=now, quiet=Quiet())


def limiter(shards: int = 0, *, linger: float = 0.1, ceiling: float = 1.0) -> RateLimiter:
    """Return a limiter that places keyless entries on so many equal shards."""
    made = RateLimiter(replace(OPTIONS, linger=linger, shard_rate_limit=ceiling))
    made.use_shards(open_shards(shards))
    return made


def open_shards(count: int) -> list[Shard]:
    """Return `count` equal shards."""
    return map_of(equal_shards(count)).shards if count else []


def every_shard(_shard: ShardId, _size: int) -> bool:
    """Grant each shard what it asks for, as an empty request does."""
    return True


def sends(
    limited: RateLimiter, until: float, *, options: PipelineOptions = OPTIONS, start: float = 0.0
) -> list[tuple[float, ShardId | None, int]]:
    """Run collector and clock until `until`; return when which shard got how many bytes."""
    collector, now, log = Collector(options), start, []
    while now <= until:
        while (request := collector.form(limited, now)) is not None:
            log += [(now, entry.predicted, entry.size) for entry in request.entries]
        following = limited.deadline(now)
        assert following > now
        now = following
    return log
