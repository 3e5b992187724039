"""What integration tests share: streams of the mock, what is in them, and loggers."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from kinesink import Config, deaggregate
from kinesink.core.hash_key import hash_key_of
from kinesink.core.records import Failure
from kinesink.shell.kinesis import KinesisClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink.core.options import Framing
    from kinesink.core.records import ShardDescription
    from tests.kinesis_mock import KinesisMock

CALL_TIMEOUT = 20.0


def new_stream(mock: KinesisMock, shards: int) -> str:
    """Create a stream with so many shards, and wait until it is active."""
    client = mock.client()
    stream_name = mock.new_stream_name()
    client.create_stream(StreamName=stream_name, ShardCount=shards)
    wait_until_active(client, stream_name)
    return stream_name


def wait_until_active(client: Any, stream_name: str) -> None:  # noqa: ANN401 - a boto3 client
    """Wait until the stream takes changes again."""
    give_up_at = time.monotonic() + CALL_TIMEOUT
    while time.monotonic() < give_up_at:
        summary = client.describe_stream_summary(StreamName=stream_name)
        if summary["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE":
            return
        time.sleep(0.05)
    pytest.fail(f"{stream_name} did not become active")


def settings(mock: KinesisMock) -> dict[str, Any]:
    """Return the parameters that lead to the mock."""
    return {
        "endpoint_url": mock.endpoint_url,
        "region_name": mock.region_name,
        "verify": False,
        "request_timeout": CALL_TIMEOUT,
        "shutdown_timeout": CALL_TIMEOUT,
    }


async def list_shards(mock: KinesisMock, stream_name: str) -> list[ShardDescription]:
    """List the open shards as the producer does."""
    async with KinesisClient(Config(stream_name, **settings(mock))) as client:
        listing = await client.list_shards(stream_name, timeout=CALL_TIMEOUT)
    assert not isinstance(listing, Failure), listing
    return listing


def open_shards(client: Any, stream_name: str) -> list[dict[str, Any]]:  # noqa: ANN401 - a boto3 client
    """Return the shards that take records, by their ranges, as boto3 shows them."""
    shards = client.list_shards(StreamName=stream_name, ShardFilter={"Type": "AT_LATEST"})["Shards"]
    return sorted(shards, key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))


def ranges_of(client: Any, stream_name: str) -> dict[str, tuple[int, int]]:  # noqa: ANN401 - a boto3 client
    """Return the hash key range of every shard, closed ones included."""
    return {
        shard["ShardId"]: (
            int(shard["HashKeyRange"]["StartingHashKey"]),
            int(shard["HashKeyRange"]["EndingHashKey"]),
        )
        for shard in client.list_shards(StreamName=stream_name)["Shards"]
    }


def records_by_shard(client: Any, stream_name: str) -> dict[str, list[dict[str, Any]]]:  # noqa: ANN401 - a boto3 client
    """Read everything in the stream."""
    out: dict[str, list[dict[str, Any]]] = {}
    for shard in client.list_shards(StreamName=stream_name)["Shards"]:
        shard_id = shard["ShardId"]
        iterator = client.get_shard_iterator(
            StreamName=stream_name, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        records: list[dict[str, Any]] = []
        while iterator:
            answer = client.get_records(ShardIterator=iterator, Limit=1000)
            records += answer["Records"]
            if not answer["Records"]:
                break
            iterator = answer.get("NextShardIterator")
        out[shard_id] = records
    return out


def user_data(records: list[dict[str, Any]], framing: Framing = "kpl") -> list[bytes]:
    """Take records apart."""
    return [event.data for each in records for event in deaggregate(each["Data"], framing=framing)]


def consume(client: object, stream_name: str) -> Counter[int]:
    """Return how often each logged number is seen by a consumer that checks ranges.

    As the KCL does: an aggregated record with one event that belongs elsewhere is dropped.
    """
    ranges = ranges_of(client, stream_name)
    seen: Counter[int] = Counter()
    for shard_id, records in records_by_shard(client, stream_name).items():
        start, end = ranges[shard_id]
        for record in records:
            events = deaggregate(record["Data"], framing="kpl")
            keys = [
                hash_key_of(each.partition_key)
                if each.explicit_hash_key is None
                else each.explicit_hash_key
                for each in events
                if each.partition_key is not None
            ]
            if all(start <= key <= end for key in keys):
                seen.update(json.loads(each.data)["attributes"]["number"] for each in events)
    return seen


@contextmanager
def logger_of(handler: logging.Handler, name: str = "only") -> Iterator[logging.Logger]:
    """Yield a logger with only this handler; close the handler afterwards."""
    logger = logging.getLogger(f"kinesink.tests.integration.{name}")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield logger
    finally:
        logger.removeHandler(handler)
        handler.close()
