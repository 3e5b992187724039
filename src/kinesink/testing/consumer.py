"""A consumer like the Kinesis Client Library: it takes aggregated records apart, and drops some.

The library checks every sub-record against the hash key range of the shard it reads. At
the first one outside, the whole aggregated record is dropped without a word. A producer
that mixes shards is told success and loses data here, which is why tests read this way.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from kinesink.core.aggregated_record import MalformedAggregateError, decode
from kinesink.core.hash_key import hash_key_of
from kinesink.testing.streams import Shard, StoredRecord

__all__ = ["ConsumedRecord", "read_like_kcl", "received_by_kcl"]


@dataclass(frozen=True)
class ConsumedRecord:
    """One user record as a consumer receives it."""

    shard_id: str
    sequence_number: str
    """Of the record that carried it."""
    sub_sequence_number: int | None
    """Its place in the aggregated record, from 0; None if it came alone."""
    partition_key: str | None
    explicit_hash_key: int | None
    data: bytes
    arrival: float
    """Seconds on the fake's clock."""


def read_like_kcl(shards: Iterable[Shard]) -> tuple[list[ConsumedRecord], list[StoredRecord]]:
    """Return the user records in order of arrival, and the records dropped whole."""
    consumed: list[ConsumedRecord] = []
    dropped: list[StoredRecord] = []
    for shard in shards:
        for record in shard.records:
            found = received_by_kcl(shard, record)
            if found is None:
                dropped.append(record)
            else:
                consumed.extend(found)
    consumed.sort(key=lambda each: (each.sequence_number, each.sub_sequence_number or 0))
    dropped.sort(key=lambda each: each.sequence_number)
    return consumed, dropped


def received_by_kcl(shard: Shard, record: StoredRecord) -> list[ConsumedRecord] | None:
    """Return what a consumer gets of one record; None if it drops all of it, as a broken one."""
    try:
        sub_records = decode(record.data)
    except MalformedAggregateError:
        return None
    if sub_records is None:
        return [
            ConsumedRecord(
                record.shard_id,
                record.sequence_number,
                None,
                record.partition_key,
                record.explicit_hash_key,
                record.data,
                record.arrival,
            )
        ]
    found: list[ConsumedRecord] = []
    for position, sub in enumerate(sub_records):
        explicit = sub.explicit_hash_key
        hash_key = hash_key_of(sub.partition_key) if explicit is None else explicit
        if not shard.hash_key_range.contains(hash_key):
            return None
        found.append(
            ConsumedRecord(
                record.shard_id,
                record.sequence_number,
                position,
                sub.partition_key,
                sub.explicit_hash_key,
                sub.data,
                record.arrival,
            )
        )
    return found
