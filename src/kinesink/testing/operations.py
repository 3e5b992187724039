"""The table of operations: what each takes, and what it does.

The constraints are those of the service model in botocore 1.44.5
(``kinesis/2013-12-02``), read in November 2026; ``StreamId`` is reserved and ignored.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from kinesink.core.limits import (
    KIB,
    PARTITION_KEY_MAX_CHARACTERS,
    RECORD_DEFAULT_BYTES,
    RECORD_MAX_BYTES,
    REQUEST_MAX_ENTRIES,
    STREAM_NAME_MAX_CHARACTERS,
)
from kinesink.testing import reading, writing
from kinesink.testing.errors import ApiError
from kinesink.testing.service import (
    Context,
    StreamSettings,
    set_distribution,
    set_mode,
)
from kinesink.testing.shapes import (
    Blob,
    Flag,
    Many,
    Member,
    Members,
    Moment,
    Number,
    Struct,
    Text,
    optional,
    required,
)
from kinesink.testing.streams import AUTO, ON_DEMAND, PROVISIONED, USER_PARTITION_KEY

__all__ = ["OPERATIONS", "Operation"]

Answer = dict[str, object]

_ON_DEMAND_SHARDS: Final = 4
"""Shards of a new on-demand stream (4 MB/s of writes, quotas page)."""


def _create_stream(context: Context, members: Members) -> None:
    mode = members.inner("StreamModeDetails").text("StreamMode") or PROVISIONED
    shards = members.number("ShardCount", _ON_DEMAND_SHARDS if mode == ON_DEMAND else 0)
    if not shards:
        raise ApiError("ValidationException", "ShardCount is required for provisioned streams.")
    settings = StreamSettings(
        shards,
        members.number("MaxRecordSizeInKiB", RECORD_DEFAULT_BYTES // KIB),
        mode,
        members.text("RecordDistributionStrategy") or None,
    )
    stream = context.service.create(members.text("StreamName"), settings, context.now)
    context.begin("CREATING", stream)


def _delete_stream(context: Context, members: Members) -> None:
    context.service.delete(context.stream(members), context.now)


def _split_shard(context: Context, members: Members) -> None:
    stream = context.active_stream(members)
    shard = stream.shard(members.text("ShardToSplit"))
    stream.split(shard, int(members.text("NewStartingHashKey")), context.now)
    context.begin("UPDATING", stream)


def _merge_shards(context: Context, members: Members) -> None:
    stream = context.active_stream(members)
    shard = stream.shard(members.text("ShardToMerge"))
    stream.merge(shard, stream.shard(members.text("AdjacentShardToMerge")), context.now)
    context.begin("UPDATING", stream)


def _update_shard_count(context: Context, members: Members) -> Answer:
    stream = context.active_stream(members)
    current, target = len(stream.open_shards), members.number("TargetShardCount")
    if stream.mode == ON_DEMAND:
        raise ApiError("ValidationException", f"Stream {stream.name} scales on demand.")
    if not current <= 2 * target <= 4 * current:
        raise ApiError(
            "LimitExceededException",
            f"UpdateShardCount cannot scale from {current} to {target} shards: at most twice "
            "and at least half the current number.",
        )
    stream.scale(target, context.now)
    context.begin("UPDATING", stream)
    return {
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "CurrentShardCount": current,
        "TargetShardCount": target,
    }


def _update_stream_mode(context: Context, members: Members) -> None:
    stream = context.active_stream(members)
    set_mode(stream, members.inner("StreamModeDetails").text("StreamMode"))
    context.begin("UPDATING", stream)


def _update_max_record_size(context: Context, members: Members) -> None:
    stream = context.active_stream(members)
    stream.max_record_kib = members.number("MaxRecordSizeInKiB")
    context.begin("UPDATING", stream)


def _update_record_distribution(context: Context, members: Members) -> None:
    stream = context.active_stream(members)
    set_distribution(stream, members.text("RecordDistributionStrategy"))


@dataclass(frozen=True)
class Operation:
    """One operation of the API."""

    run: Callable[[Context, Members], Answer | None]
    """Returns the answer's members; None is an answer of zero bytes."""
    members: Mapping[str, Member]
    """What it reads; everything else is ignored."""


_HASH_KEY: Final = Text(40, pattern=re.compile(r"0|([1-9]\d{0,38})", re.ASCII))
_SEQUENCE_NUMBER: Final = Text(130, pattern=re.compile(r"0|([1-9]\d{0,128})", re.ASCII))
_SHARD_ID: Final = Text(128, pattern=re.compile(r"[a-zA-Z0-9_.-]+"))
_STREAM_NAME: Final = Text(STREAM_NAME_MAX_CHARACTERS, pattern=re.compile(r"[a-zA-Z0-9_.-]+"))
_ARN: Final = Text(pattern=re.compile(r"arn:aws.*:kinesis:.*:\d{12}:stream/\S+"))
_TOKEN: Final = Text(1_048_576)
_MODE: Final = Struct({"StreamMode": required(Text(choices=(PROVISIONED, ON_DEMAND)))})
_DISTRIBUTION: Final = Text(choices=(AUTO, USER_PARTITION_KEY))
_RECORD_KIB: Final = Number(RECORD_DEFAULT_BYTES // KIB, RECORD_MAX_BYTES // KIB)
_PAGE: Final = Number(1, 10_000)

_STREAM: Final = {"StreamName": optional(_STREAM_NAME), "StreamARN": optional(_ARN)}
_ONLY_ARN: Final = {"StreamARN": required(_ARN)}
_DRY_RUN: Final = {"DryRun": optional(Flag())}
_RECORD: Final = {
    "Data": required(Blob(RECORD_MAX_BYTES)),
    "ExplicitHashKey": optional(_HASH_KEY),
    "PartitionKey": optional(Text(PARTITION_KEY_MAX_CHARACTERS)),
}
_FILTER: Final = Struct(
    {
        "Type": required(
            Text(
                choices=(
                    "AFTER_SHARD_ID",
                    "AT_TRIM_HORIZON",
                    "FROM_TRIM_HORIZON",
                    "AT_LATEST",
                    "AT_TIMESTAMP",
                    "FROM_TIMESTAMP",
                )
            )
        ),
        "ShardId": optional(_SHARD_ID),
        "Timestamp": optional(Moment()),
    }
)
_ITERATOR_TYPE: Final = Text(
    choices=(
        "AT_SEQUENCE_NUMBER",
        "AFTER_SEQUENCE_NUMBER",
        "TRIM_HORIZON",
        "LATEST",
        "AT_TIMESTAMP",
    )
)

OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateStream": Operation(
        _create_stream,
        {
            "StreamName": required(_STREAM_NAME),
            "ShardCount": optional(Number()),
            "StreamModeDetails": optional(_MODE),
            "MaxRecordSizeInKiB": optional(_RECORD_KIB),
            "RecordDistributionStrategy": optional(_DISTRIBUTION),
        },
    ),
    "DeleteStream": Operation(_delete_stream, _STREAM),
    "DescribeStreamSummary": Operation(reading.describe_stream_summary, _STREAM),
    "DescribeStream": Operation(
        reading.describe_stream,
        {**_STREAM, "Limit": optional(_PAGE), "ExclusiveStartShardId": optional(_SHARD_ID)},
    ),
    "ListStreams": Operation(
        reading.list_streams,
        {
            "Limit": optional(_PAGE),
            "ExclusiveStartStreamName": optional(_STREAM_NAME),
            "NextToken": optional(_TOKEN),
        },
    ),
    "ListShards": Operation(
        reading.list_shards,
        {
            **_STREAM,
            "NextToken": optional(_TOKEN),
            "ExclusiveStartShardId": optional(_SHARD_ID),
            "MaxResults": optional(_PAGE),
            "StreamCreationTimestamp": optional(Moment()),
            "ShardFilter": optional(_FILTER),
        },
    ),
    "PutRecord": Operation(writing.put_record, {**_STREAM, **_RECORD, **_DRY_RUN}),
    "PutRecords": Operation(
        writing.put_records,
        {
            **_STREAM,
            "Records": required(Many(Struct(_RECORD), REQUEST_MAX_ENTRIES)),
            **_DRY_RUN,
        },
    ),
    "GetShardIterator": Operation(
        reading.get_shard_iterator,
        {
            **_STREAM,
            "ShardId": required(_SHARD_ID),
            "ShardIteratorType": required(_ITERATOR_TYPE),
            "StartingSequenceNumber": optional(_SEQUENCE_NUMBER),
            "Timestamp": optional(Moment()),
            **_DRY_RUN,
        },
    ),
    "GetRecords": Operation(
        reading.get_records,
        {
            "ShardIterator": required(Text(512)),
            "Limit": optional(_PAGE),
            "StreamARN": optional(_ARN),
            **_DRY_RUN,
        },
    ),
    "SplitShard": Operation(
        _split_shard,
        {
            **_STREAM,
            "ShardToSplit": required(_SHARD_ID),
            "NewStartingHashKey": required(_HASH_KEY),
        },
    ),
    "MergeShards": Operation(
        _merge_shards,
        {
            **_STREAM,
            "ShardToMerge": required(_SHARD_ID),
            "AdjacentShardToMerge": required(_SHARD_ID),
        },
    ),
    "UpdateShardCount": Operation(
        _update_shard_count,
        {
            **_STREAM,
            "TargetShardCount": required(Number()),
            "ScalingType": required(Text(choices=("UNIFORM_SCALING",))),
        },
    ),
    "UpdateStreamMode": Operation(
        _update_stream_mode, {**_ONLY_ARN, "StreamModeDetails": required(_MODE)}
    ),
    "UpdateMaxRecordSize": Operation(
        _update_max_record_size, {**_ONLY_ARN, "MaxRecordSizeInKiB": required(_RECORD_KIB)}
    ),
    "UpdateStreamRecordDistributionStrategy": Operation(
        _update_record_distribution,
        {**_ONLY_ARN, "RecordDistributionStrategy": required(_DISTRIBUTION)},
    ),
}
"""Every operation the fake knows, by the name in ``X-Amz-Target``."""
