"""The mock that the other integration tests rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from tests.kinesis_mock import KinesisMock


def test_boto3_creates_a_stream_and_sees_its_shards(kinesis_mock: KinesisMock) -> None:
    """The TLS endpoint serves the API."""
    client = kinesis_mock.client()
    stream_name = kinesis_mock.new_stream_name()
    client.create_stream(StreamName=stream_name, ShardCount=2)
    client.get_waiter("stream_exists").wait(
        StreamName=stream_name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 50}
    )
    shards = client.list_shards(StreamName=stream_name)["Shards"]
    assert [shard["ShardId"] for shard in shards] == [
        "shardId-000000000000",
        "shardId-000000000001",
    ]


async def test_httpx_reaches_both_endpoints(kinesis_mock: KinesisMock) -> None:
    """TLS without verification and plain HTTP answer on either backend."""
    async with httpx.AsyncClient(verify=False) as client:  # noqa: S501 - nobody signed it
        for url in (kinesis_mock.endpoint_url, kinesis_mock.plain_url):
            response = await client.get(f"{url}/healthcheck")
            assert response.status_code == httpx.codes.OK
