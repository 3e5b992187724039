"""Everything that looks: descriptions, listings, iterators and records."""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Final

from kinesink.core.limits import LIST_SHARDS_PAGE, MIB
from kinesink.testing.errors import ApiError, invalid_argument
from kinesink.testing.service import Context
from kinesink.testing.shapes import Members
from kinesink.testing.streams import Shard, StoredRecord, Stream
from kinesink.testing.tokens import LIFETIME, seal, unseal
from kinesink.testing.wire import Time
from kinesink.testing.writing import refuse_dry_run

__all__ = [
    "describe_stream",
    "describe_stream_summary",
    "get_records",
    "get_shard_iterator",
    "list_shards",
    "list_streams",
    "stream_of_token",
]

Answer = dict[str, object]

_GET_RECORDS_BYTES: Final = 10 * MIB
"""One answer of GetRecords holds no more, but at least one record (API reference)."""

_GET_RECORDS_ENTRIES: Final = 10_000
"""The default and highest ``Limit`` of GetRecords (service model)."""

_RETENTION_HOURS: Final = 24


# Descriptions


def describe_stream_summary(context: Context, members: Members) -> Answer:
    """Describe a stream without its shards."""
    stream = context.stream(members)
    return {
        "StreamDescriptionSummary": {
            **_common(context, stream),
            "OpenShardCount": len(stream.open_shards),
            "ConsumerCount": 0,
            "MaxRecordSizeInKiB": stream.max_record_kib,
            **(
                {}
                if stream.distribution is None
                else {"RecordDistributionStrategy": stream.distribution}
            ),
        }
    }


def describe_stream(context: Context, members: Members) -> Answer:
    """Describe a stream with a page of its shards, closed ones included."""
    stream = context.stream(members)
    after = members.text("ExclusiveStartShardId")
    shards = [each for each in stream.shards.values() if each.shard_id > after]
    page = shards[: members.number("Limit", 100)]
    return {
        "StreamDescription": {
            **_common(context, stream),
            "Shards": [_shown(shard) for shard in page],
            "HasMoreShards": len(page) < len(shards),
        }
    }


def list_streams(context: Context, members: Members) -> Answer:
    """List the streams by name, a page at a time."""
    token = members.text("NextToken")
    after = str(_unsealed(token, 1)[0]) if token else members.text("ExclusiveStartStreamName")
    streams = sorted(context.service.streams.items())
    left = [stream for name, stream in streams if name > after]
    page = left[: members.number("Limit", 100)]
    more = len(page) < len(left)
    return {
        "StreamNames": [stream.name for stream in page],
        "StreamSummaries": [_summary(context, stream) for stream in page],
        "HasMoreStreams": more,
        **({"NextToken": seal(page[-1].name)} if more else {}),
    }


def _common(context: Context, stream: Stream) -> Answer:
    return {
        **_summary(context, stream),
        "RetentionPeriodHours": _RETENTION_HOURS,
        "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
        "EncryptionType": "NONE",
    }


def _summary(context: Context, stream: Stream) -> Answer:
    return {
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "StreamStatus": stream.status(context.now),
        "StreamModeDetails": {"StreamMode": stream.mode},
        "StreamCreationTimestamp": Time(stream.created_at),
    }


# ListShards

_Filter = Callable[[Shard, str, float], bool]


def _overlaps(shard: Shard, moment: float) -> bool:
    """Tell whether a shard was open at ``moment`` or later."""
    return shard.closed_at is None or shard.closed_at >= moment


_FILTERS: Final[Mapping[str, _Filter]] = {
    "AFTER_SHARD_ID": lambda shard, after, _: shard.shard_id > after,
    "AT_TRIM_HORIZON": lambda shard, _after, _moment: not shard.parents,
    "FROM_TRIM_HORIZON": lambda _shard, _after, _moment: True,
    "AT_LATEST": lambda shard, _after, _moment: shard.is_open,
    "AT_TIMESTAMP": lambda shard, _, moment: shard.opened_at <= moment and _overlaps(shard, moment),
    "FROM_TIMESTAMP": lambda shard, _, moment: _overlaps(shard, moment),
}
"""Whether a shard passes, by the filter's type; nothing is ever trimmed here."""

_NOT_WITH_A_TOKEN: Final = (
    "StreamName",
    "StreamARN",
    "StreamCreationTimestamp",
    "ExclusiveStartShardId",
    "ShardFilter",
)
"""What later pages of ListShards may not carry. The model refuses all but the ARN, and the
service the filter; for the ARN nobody knows, so the fake is strict."""


def list_shards(context: Context, members: Members) -> Answer:
    """List shards in the order of their ids, a page at a time."""
    token = members.text("NextToken")
    if token:
        stream, kind, after_filter, moment, after = _next_page(context, members, token)
    else:
        stream = context.stream(members)
        given = members.inner("ShardFilter")
        kind = given.text("Type") or "FROM_TRIM_HORIZON"
        after_filter, moment = given.text("ShardId"), given.moment("Timestamp") or 0.0
        after = members.text("ExclusiveStartShardId")
    passes = _FILTERS[kind]
    left = [
        shard
        for shard in stream.shards.values()
        if shard.shard_id > after and passes(shard, after_filter, moment)
    ]
    page = left[: min(members.number("MaxResults", LIST_SHARDS_PAGE), LIST_SHARDS_PAGE)]
    answer: Answer = {"Shards": [_shown(shard) for shard in page]}
    if len(page) < len(left):
        answer["NextToken"] = seal(
            context.now, stream.name, stream.incarnation, kind, after_filter, moment,
            page[-1].shard_id,
        )  # fmt: skip
    return answer


def _next_page(
    context: Context, members: Members, token: str
) -> tuple[Stream, str, str, float, str]:
    """Return what the token of an earlier page says about this one."""
    for name in _NOT_WITH_A_TOKEN:
        if name in members:
            raise invalid_argument(f"NextToken and {name} cannot be provided together.")
    issued, stream_name, incarnation, kind, after_filter, moment, after = _unsealed(token, 7)
    if context.now - _float(issued) > LIFETIME:
        raise ApiError("ExpiredNextTokenException", "The provided NextToken is expired.")
    stream = context.service.named(str(stream_name), context.now)
    if stream.incarnation != incarnation:
        raise ApiError("ExpiredNextTokenException", "The stream was deleted and created again.")
    return stream, str(kind), str(after_filter), _float(moment), str(after)


def _unsealed(token: str, parts: int) -> list[object]:
    found = unseal(token, parts)
    if found is None:
        raise invalid_argument("The provided NextToken is invalid.")
    return found


def _float(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def _shown(shard: Shard) -> Answer:
    sequence_numbers = {"StartingSequenceNumber": shard.starting_sequence_number}
    if shard.ending_sequence_number is not None:
        sequence_numbers["EndingSequenceNumber"] = shard.ending_sequence_number
    parents = zip(("ParentShardId", "AdjacentParentShardId"), shard.parents, strict=False)
    return {
        "ShardId": shard.shard_id,
        **dict(parents),
        "HashKeyRange": _shown_range(shard),
        "SequenceNumberRange": sequence_numbers,
    }


def _shown_range(shard: Shard) -> Answer:
    return {
        "StartingHashKey": str(shard.hash_key_range.start),
        "EndingHashKey": str(shard.hash_key_range.end),
    }


# Iterators and records


def get_shard_iterator(context: Context, members: Members) -> Answer:
    """Return an iterator: the place in a shard where reading is to begin."""
    stream = context.stream(members)
    refuse_dry_run(members)
    shard = stream.shard(members.text("ShardId"))
    position = _POSITIONS[members.text("ShardIteratorType")](stream, shard, members)
    return {"ShardIterator": _iterator(context, stream, shard, position)}


def _at_sequence_number(stream: Stream, shard: Shard, members: Members) -> int:
    del stream, shard
    if "StartingSequenceNumber" not in members:
        raise invalid_argument("Must specify StartingSequenceNumber with this ShardIteratorType.")
    return int(members.text("StartingSequenceNumber"))


def _at_timestamp(stream: Stream, shard: Shard, members: Members) -> int:
    moment = members.moment("Timestamp")
    if moment is None:
        raise invalid_argument("Must specify timestamp parameter for iterator of type AT_TIMESTAMP")
    index = bisect_left(shard.records, moment, key=lambda record: record.arrival)
    if index < len(shard.records):
        return int(shard.records[index].sequence_number)
    return stream.next_position(shard)


_POSITIONS: Final[Mapping[str, Callable[[Stream, Shard, Members], int]]] = {
    "TRIM_HORIZON": lambda _stream, _shard, _members: 0,
    "LATEST": lambda stream, shard, _members: stream.next_position(shard),
    "AT_SEQUENCE_NUMBER": _at_sequence_number,
    "AFTER_SEQUENCE_NUMBER": lambda *place: _at_sequence_number(*place) + 1,
    "AT_TIMESTAMP": _at_timestamp,
}
"""The lowest sequence number that is to be read, by the iterator's type."""


def _iterator(context: Context, stream: Stream, shard: Shard, position: int) -> str:
    return seal(context.now, stream.name, stream.incarnation, shard.shard_id, str(position))


def get_records(context: Context, members: Members) -> Answer:
    """Return records from an iterator on, and the iterator for the next call."""
    parts = unseal(members.text("ShardIterator"), 5)
    if parts is None:
        raise invalid_argument("Invalid ShardIterator.")
    issued, name, incarnation, shard_id, position = parts
    refuse_dry_run(members)
    if context.now - _float(issued) > LIFETIME:
        raise ApiError("ExpiredIteratorException", "Iterator expired.")
    stream = context.service.named(str(name), context.now)
    if stream.incarnation != incarnation:
        raise invalid_argument("The ShardIterator is of a stream that was deleted.")
    shard = stream.shard(str(shard_id))
    if shard.meter is not None and not shard.meter.admit_read(context.now):
        raise stream.rate_exceeded(shard)
    return _read(context, stream, shard, int(str(position)), members.number("Limit"))


def _read(context: Context, stream: Stream, shard: Shard, position: int, limit: int) -> Answer:
    first = bisect_left(shard.records, position, key=lambda each: int(each.sequence_number))
    page: list[StoredRecord] = []
    room = _GET_RECORDS_BYTES
    for record in shard.records[first : first + (limit or _GET_RECORDS_ENTRIES)]:
        room -= len(record.data)
        if page and room < 0:
            break
        page.append(record)
    if shard.meter is not None:
        shard.meter.charge_read(sum(len(record.data) for record in page))
    unread = shard.records[first + len(page) : first + len(page) + 1]
    behind = max(0.0, context.now - unread[0].arrival) if unread else 0.0
    answer: Answer = {
        "Records": [_shown_record(record) for record in page],
        "MillisBehindLatest": round(behind * 1000),
    }
    if shard.is_open or unread:
        following = int(page[-1].sequence_number) + 1 if page else position
        answer["NextShardIterator"] = _iterator(context, stream, shard, following)
    else:
        answer["ChildShards"] = [
            {
                "ShardId": child.shard_id,
                "ParentShards": list(child.parents),
                "HashKeyRange": _shown_range(child),
            }
            for child in stream.shards.values()
            if shard.shard_id in child.parents
        ]
    return answer


def _shown_record(record: StoredRecord) -> Answer:
    return {
        "SequenceNumber": record.sequence_number,
        "ApproximateArrivalTimestamp": Time(record.arrival),
        "Data": record.data,
        **({} if record.partition_key is None else {"PartitionKey": record.partition_key}),
    }


def stream_of_token(body: Mapping[str, object]) -> str | None:
    """Return the stream that a paging token or an iterator stands for, if it is one of ours."""
    for name, parts in (("ShardIterator", 5), ("NextToken", 7)):
        found = unseal(str(body.get(name, "")), parts)
        if found is not None:
            return str(found[1])
    return None
