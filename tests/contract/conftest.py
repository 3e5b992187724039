"""The two services that every contract test runs against: the fake, and kinesis-mock.

kinesis-mock is somebody else's reading of the service. What both do, and the documentation says
too, a producer may rely on; the fake cannot drift from it unnoticed.
"""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import httpx
import pytest
from botocore.config import Config

from kinesink.testing import FakeKinesis

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT = {"Delay": 0.05, "MaxAttempts": 200}


@dataclass(frozen=True)
class Service:
    """A running service, new streams in it, and two ways to speak to it."""

    url: str
    kinesis: Any
    """A boto3 client that does not retry."""
    http: httpx.Client
    """For requests that boto3 would not send."""

    def new_stream(self, shards: int = 1) -> str:
        """Create a stream that no other test knows, and wait until it is ACTIVE."""
        name = f"contract-{secrets.token_hex(6)}"
        self.kinesis.create_stream(StreamName=name, ShardCount=shards)
        self.wait_until_active(name)
        return name

    def wait_until_active(self, stream: str) -> None:
        """Wait as long as a stream is CREATING or UPDATING."""
        self.kinesis.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig=WAIT)

    def shards(self, stream: str, kind: str = "AT_LATEST") -> list[dict[str, Any]]:
        """List the shards that a filter lets through."""
        answer = self.kinesis.list_shards(StreamName=stream, ShardFilter={"Type": kind})
        shards: list[dict[str, Any]] = answer["Shards"]
        return shards

    def read(self, stream: str, shard_id: str) -> list[dict[str, Any]]:
        """Read a shard from its beginning to where it ends now."""
        iterator = self.kinesis.get_shard_iterator(
            StreamName=stream, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        records: list[dict[str, Any]] = []
        while iterator:
            answer = self.kinesis.get_records(ShardIterator=iterator)
            records += answer["Records"]
            iterator = answer["Records"] and answer.get("NextShardIterator")
        return records

    def post(
        self, operation: str, body: bytes, content_type: str = "application/x-amz-json-1.1"
    ) -> httpx.Response:
        """Send a body as it is."""
        return self.http.post(
            self.url,
            content=body,
            headers={
                "Content-Type": content_type,
                "X-Amz-Target": f"Kinesis_20131202.{operation}",
                "X-Amz-Date": "20260102T030405Z",
                "Authorization": "AWS4-HMAC-SHA256 Credential=mock/20260102/us-east-1/kinesis/"
                "aws4_request, SignedHeaders=host, Signature=00",
            },
        )


@contextlib.contextmanager
def _url_of(kind: str, request: pytest.FixtureRequest) -> Iterator[str]:
    if kind == "kinesis-mock":
        yield request.getfixturevalue("kinesis_mock").plain_url
        return
    with FakeKinesis(transition=0.05).serve() as server:
        yield server.endpoint_url


@pytest.fixture(
    scope="session",
    params=["fake", pytest.param("kinesis-mock", marks=pytest.mark.integration)],
)
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """Return each of the services in turn."""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(_url_of(request.param, request))
        kinesis = boto3.client(
            "kinesis",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="mock",
            aws_secret_access_key="mock",
            config=Config(retries={"total_max_attempts": 1}),
        )
        stack.callback(kinesis.close)
        # A connection each: the other end may close one that is kept, at any moment.
        limits = httpx.Limits(max_keepalive_connections=0)
        http = stack.enter_context(httpx.Client(trust_env=False, limits=limits))
        yield Service(url, kinesis, http)
