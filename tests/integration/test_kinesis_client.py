"""The client against a service that is not ours: kinesis-mock, over TLS, in JSON and CBOR."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kinesink.config import Config
from kinesink.core.records import Answered, Failure, PutRecordsEntry, StreamSummary
from kinesink.shell.kinesis import KinesisClient

if TYPE_CHECKING:
    from kinesink.shell.wire import Protocol
    from tests.kinesis_mock import KinesisMock


@pytest.fixture
def stream_name(kinesis_mock: KinesisMock, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return an active stream of two shards, and credentials for it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mock")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "mock")
    client = kinesis_mock.client()
    name = kinesis_mock.new_stream_name("client")
    client.create_stream(StreamName=name, ShardCount=2)
    client.get_waiter("stream_exists").wait(
        StreamName=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 50}
    )
    return name


@pytest.mark.parametrize("protocol", ["json", "cbor"])
async def test_the_three_calls(
    kinesis_mock: KinesisMock, stream_name: str, protocol: Protocol
) -> None:
    """Bodies, signatures and answers are those of the service."""
    config = Config(
        stream_name,
        region_name=kinesis_mock.region_name,
        endpoint_url=kinesis_mock.endpoint_url,
        verify=False,
        protocol=protocol,
    )
    entries = [PutRecordsEntry(b"hello", "é"), PutRecordsEntry(b"\x00\xff", "q", "0")]
    async with KinesisClient(config) as client:
        shards = await client.list_shards(stream_name, timeout=10)
        summary = await client.describe_stream_summary(stream_name, timeout=10)
        answered = await client.put_records(stream_name, entries, timeout=10)
        failure = await client.put_records("nobody", entries, timeout=10)
    assert isinstance(shards, list)
    assert [shard.shard_id for shard in shards] == ["shardId-000000000000", "shardId-000000000001"]
    assert (shards[0].start, shards[1].end) == (0, 2**128 - 1)
    assert isinstance(summary, StreamSummary)
    assert (summary.status, summary.stream_mode) == ("ACTIVE", "PROVISIONED")
    assert summary.created is not None
    assert 1_700_000_000 < summary.created < 5_000_000_000
    assert isinstance(answered, Answered)
    assert [result.success for result in answered.results] == [True, True]
    assert answered.results[1].shard_id == "shardId-000000000000"
    assert isinstance(failure, Failure)
    assert failure.code == "ResourceNotFoundException"
    assert client._protocol == protocol
