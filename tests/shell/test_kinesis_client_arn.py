"""A client of a stream that is named by its ARN, as across accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kinesink import Producer
from kinesink.config import Config
from kinesink.core.records import Answered, Failure
from kinesink.shell.kinesis import KinesisClient
from kinesink.testing import FakeKinesis, Hang
from tests.shell.kinesis_calls import HELLO, client_of

if TYPE_CHECKING:
    from kinesink.shell.wire import Protocol

pytestmark = pytest.mark.usefixtures("signed")

PREFIX = "arn:aws:kinesis:eu-west-1:123456789012:stream/"
ARN = f"{PREFIX}s"


@pytest.fixture
def fake() -> FakeKinesis:
    """Return a fake of the account in the ARN."""
    fake = FakeKinesis(region="eu-west-1", account="123456789012")
    fake.create_stream("s", shards=2)
    fake.create_stream("other", shards=1)
    return fake


@pytest.mark.parametrize("protocol", ["json", "cbor"])
async def test_every_call_names_the_stream_by_its_arn(
    fake: FakeKinesis, protocol: Protocol
) -> None:
    """And by nothing else; later pages of a listing are named by their token alone."""
    fake.create_stream("wide", shards=1001)
    config = Config(stream_arn=ARN, endpoint_url="http://kinesis.test", protocol=protocol)
    async with KinesisClient(config, transport=fake.transport()) as client:
        assert isinstance(await client.put_records("s", [HELLO], timeout=20), Answered)
        assert not isinstance(await client.describe_stream_summary("s", timeout=20), Failure)
        shards = await client.list_shards("wide", timeout=20)
    assert isinstance(shards, list)
    assert len(shards) == 1001
    put, described, first, later = (dict(call.body) for call in fake.calls)
    assert set(put) == {"StreamARN", "Records"}
    assert described == {"StreamARN": ARN}
    assert set(first) == {"StreamARN", "ShardFilter", "MaxResults"}
    assert first["StreamARN"] == f"{PREFIX}wide"
    assert set(later) == {"NextToken"}


async def test_without_an_arn_streams_go_by_their_names(fake: FakeKinesis) -> None:
    """In the account of whoever signs."""
    async with client_of(fake.transport()) as client:
        await client.put_records("s", [HELLO], timeout=20)
        await client.describe_stream_summary("s", timeout=20)
        await client.list_shards("s", timeout=20)
    assert [call.body["StreamName"] for call in fake.calls] == ["s"] * 3
    assert not any("StreamARN" in call.body for call in fake.calls)


async def test_other_streams_of_a_producer_are_beside_the_configured_one(
    fake: FakeKinesis,
) -> None:
    """Same partition, region and account, another name."""
    config = Config(stream_arn=ARN, endpoint_url="http://kinesis.test", linger=0)
    client = KinesisClient(config, transport=fake.transport())
    async with Producer(config, client=client) as producer:
        for name in (None, "other"):
            outcome = await producer.put(b"x", partition_key="p", stream_name=name)
            assert (await outcome.wait()).success
    assert [len(fake.records(name)) for name in ("s", "other")] == [1, 1]
    named = {call.body["StreamARN"] for call in fake.calls if call.operation == "PutRecords"}
    assert named == {ARN, f"{PREFIX}other"}


async def test_a_timeout_names_the_host_that_did_not_answer(fake: FakeKinesis) -> None:
    """There may be two of them."""
    config = Config(stream_arn=ARN, account_id_endpoint=True)
    async with KinesisClient(config, transport=fake.transport()) as client:
        await client.put_records("s", [HELLO], timeout=20)
        fake.script(Hang())
        data = await client.put_records("s", [HELLO], timeout=0.01)
        control = await client.list_shards("s", timeout=0.01)
    assert isinstance(data, Failure)
    assert isinstance(control, Failure)
    assert "123456789012.data-kinesis.eu-west-1.amazonaws.com in" in data.message
    assert "123456789012.control-kinesis.eu-west-1.amazonaws.com in" in control.message
