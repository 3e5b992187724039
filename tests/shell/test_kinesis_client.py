"""The client against FakeKinesis: three calls, and failures that are data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest

from kinesink.config import Config
from kinesink.core.records import Failure, PutRecordsEntry, StreamSummary
from kinesink.shell import exit_safe
from kinesink.shell.kinesis import KinesisClient
from kinesink.testing import (
    AUTO,
    ON_DEMAND,
    AccessDenied,
    FakeKinesis,
    Hang,
    RawAnswer,
    RequestError,
    Reset,
    ThrottleEntries,
    Truncate,
    WrongResultCount,
)
from tests.shell.kinesis_calls import HELLO, client_of, fail_to_put, put

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink.shell.wire import Protocol
    from kinesink.testing import Fault
    from tests.shell.conftest import AwsEnvironment

pytestmark = pytest.mark.usefixtures("signed")

WORLD = PutRecordsEntry(b"world", "q", "0")

both_protocols = pytest.mark.parametrize("protocol", ["json", "cbor"])


@pytest.fixture
def fake() -> FakeKinesis:
    """Return a fake with the stream ``s`` of two shards."""
    fake = FakeKinesis()
    fake.create_stream("s", shards=2)
    return fake


@pytest.fixture
def endpoint_url(fake: FakeKinesis) -> Iterator[str]:
    """Serve the fake on the loopback interface."""
    with fake.serve() as server:
        yield server.endpoint_url


class TestPutRecords:
    """Writing."""

    @both_protocols
    async def test_entries_arrive_with_their_keys(
        self, fake: FakeKinesis, protocol: Protocol
    ) -> None:
        """The answer names shard and sequence number of each."""
        async with client_of(fake.transport(), protocol=protocol) as client:
            answered = await put(client, HELLO, WORLD)
        stored = {record.sequence_number: record for record in fake.records("s")}
        assert [result.success for result in answered.results] == [True, True]
        first, second = (stored[str(result.sequence_number)] for result in answered.results)
        assert (first.data, first.partition_key) == (b"hello", "p")
        assert (second.data, second.explicit_hash_key) == (b"world", 0)
        assert answered.results[1].shard_id == "shardId-000000000000"

    @both_protocols
    async def test_a_throttled_entry_leaves_its_neighbour_alone(
        self, fake: FakeKinesis, protocol: Protocol
    ) -> None:
        """Refusals of entries are results, not failures."""
        fake.script(ThrottleEntries(positions=[0]))
        async with client_of(fake.transport(), protocol=protocol) as client:
            answered = await put(client, HELLO, WORLD)
        refused, written = answered.results
        assert refused.error_code == "ProvisionedThroughputExceededException"
        assert str(refused.error_message).startswith("Rate exceeded for shard")
        assert written.success

    @pytest.mark.parametrize("by", [-1, 1])
    async def test_a_wrong_number_of_results_is_passed_on(self, fake: FakeKinesis, by: int) -> None:
        """The core knows what it sent."""
        fake.script(WrongResultCount(by=by))
        async with client_of(fake.transport()) as client:
            assert len((await put(client, HELLO, WORLD)).results) == 2 + by

    async def test_every_call_is_signed_anew(self, fake: FakeKinesis) -> None:
        """An old date would be refused one day."""
        now = 1_000_000_000.0
        async with client_of(fake.transport(), clock=lambda: now) as client:
            await put(client)
            now += 1
            await put(client)
        dates = [call.headers["x-amz-date"] for call in fake.calls]
        assert dates == ["20010909T014640Z", "20010909T014641Z"]


class TestListShards:
    """The shard map's source."""

    @both_protocols
    async def test_all_pages_are_read(self, fake: FakeKinesis, protocol: Protocol) -> None:
        """Later pages are asked for by their token alone."""
        fake.create_stream("wide", shards=2001)
        async with client_of(fake.transport(), protocol=protocol) as client:
            shards = await client.list_shards("wide", timeout=5)
        assert isinstance(shards, list)
        assert len(shards) == 2001
        assert (shards[0].start, shards[-1].end) == (0, 2**128 - 1)
        first, *later = (set(call.body) for call in fake.calls)
        assert first == {"StreamName", "ShardFilter", "MaxResults"}
        assert later == [{"NextToken"}, {"NextToken"}]

    async def test_closed_shards_are_left_out(self, fake: FakeKinesis) -> None:
        """Nothing can be written to them."""
        parent = fake.shards("s")[0].shard_id
        fake.split_shard("s", parent)
        async with client_of(fake.transport()) as client:
            shards = await client.list_shards("s", timeout=5)
        assert isinstance(shards, list)
        assert {shard.shard_id for shard in shards} == {
            shard.shard_id for shard in fake.open_shards("s")
        }

    async def test_an_expired_token_begins_the_listing_once_more(self, fake: FakeKinesis) -> None:
        """Tokens live 300 s; nothing is listed twice."""
        fake.create_stream("wide", shards=1001)
        expire = RequestError(
            "ExpiredNextTokenException", when=lambda call: "NextToken" in call.body
        )
        async with client_of(fake.transport()) as client:
            fake.script(replace(expire, times=1))
            shards = await client.list_shards("wide", timeout=5)
            assert isinstance(shards, list)
            assert len(shards) == 1001
            fake.script(expire)
            failure = await client.list_shards("wide", timeout=5)
        assert isinstance(failure, Failure)
        assert failure.code == "ExpiredNextTokenException"
        assert fake.count("ListShards") == 8

    async def test_a_listing_that_goes_in_circles_ends(self) -> None:
        """The same token again would be asked for until the time is over."""
        asked: list[bytes] = []

        def answer(request: httpx.Request) -> httpx.Response:
            asked.append(request.content)
            return httpx.Response(200, json={"Shards": [], "NextToken": "again"})

        async with client_of(httpx.MockTransport(answer)) as client:
            failure = await client.list_shards("s", timeout=5)
        assert isinstance(failure, Failure)
        assert failure.code == "UndecodableResponse"
        assert "circles" in failure.message
        assert len(asked) == 2

    async def test_a_page_that_fails_fails_the_listing(self, fake: FakeKinesis) -> None:
        """Half a map is none."""
        fake.script(AccessDenied(operation="ListShards"))
        async with client_of(fake.transport()) as client:
            failure = await client.list_shards("s", timeout=5)
        assert isinstance(failure, Failure)
        assert failure.code == "AccessDeniedException"
        assert "kinesis:ListShards" in failure.message


class TestDescribeStreamSummary:
    """What the stream is."""

    @both_protocols
    async def test_the_summary_is_read(self, fake: FakeKinesis, protocol: Protocol) -> None:
        """Limit, distribution, mode, status and creation."""
        now = 1_000_000_000.5
        fake.clock = lambda: now
        fake.create_stream("auto", mode=ON_DEMAND, distribution=AUTO, max_record_kib=2048)
        async with client_of(fake.transport(), protocol=protocol) as client:
            summary = await client.describe_stream_summary("auto", timeout=5)
        assert summary == StreamSummary(2_097_152, AUTO, ON_DEMAND, "ACTIVE", now)

    async def test_an_unknown_stream_is_a_failure(self, fake: FakeKinesis) -> None:
        """With the service's words."""
        async with client_of(fake.transport()) as client:
            failure = await client.describe_stream_summary("nobody", timeout=5)
        assert isinstance(failure, Failure)
        assert failure.code == "ResourceNotFoundException"
        assert failure.status == 400
        assert "nobody" in failure.message
        assert "request 00000001-0000-4000-8000-000000000001" in failure.message


class TestFailures:
    """What goes wrong on the way."""

    @pytest.mark.parametrize(
        ("fault", "code", "status"),
        [
            (RequestError("InternalFailure", status=500), "InternalFailure", 500),
            (RawAnswer(), "HTTP 502", 502),
            (RawAnswer(413, b""), "HTTP 413", 413),
            (RawAnswer(200), "UndecodableResponse", 200),
            (Truncate(), "UndecodableResponse", 200),
            (Reset(), "ConnectionReset", None),
        ],
    )
    async def test_each_has_its_code(
        self,
        fake: FakeKinesis,
        fault: Fault,
        code: str,
        status: int | None,
    ) -> None:
        """The core looks at nothing else."""
        fake.script(fault)
        async with client_of(fake.transport()) as client:
            failure = await fail_to_put(client)
        assert (failure.code, failure.status) == (code, status)

    async def test_the_wait_that_is_asked_for_is_passed_on(self, fake: FakeKinesis) -> None:
        """Services and gateways say when to come back."""
        fake.script(
            RequestError("LimitExceededException", status=503, headers={"Retry-After": "7"})
        )
        async with client_of(fake.transport()) as client:
            assert (await fail_to_put(client)).retry_after == 7.0

    async def test_without_credentials_nothing_is_sent(
        self, fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And nothing is raised; once there are some, it works."""
        async with client_of(fake.transport()) as client:
            with monkeypatch.context() as patch:
                patch.delenv("AWS_ACCESS_KEY_ID")
                failure = await fail_to_put(client)
            assert failure.code == "NoCredentials"
            assert fake.calls == []
            await put(client)

    async def test_what_an_answer_repeats_of_the_request_is_struck_out(
        self, aws: AwsEnvironment
    ) -> None:
        """Key, token and signature stay out of every message."""
        aws.set_keys("AKIDEXAMPLEEXAMPLE", token="TOKENTOKENTOKENTOKEN")

        def echo(request: httpx.Request) -> httpx.Response:
            text = " / ".join(request.headers.values())
            return httpx.Response(400, json={"__type": "Odd", "message": text})

        async with client_of(httpx.MockTransport(echo)) as client:
            message = (await fail_to_put(client)).message
        assert "Credential=***/" in message
        assert "Signature=***" in message
        assert "TOKEN" not in message


class TestTimeout:
    """One deadline over everything."""

    async def test_a_call_that_hangs_ends_in_time(self, fake: FakeKinesis) -> None:
        """The message says who did not answer."""
        async with client_of(fake.transport()) as client:
            await put(client)
            fake.script(Hang())
            failure = await fail_to_put(client, timeout=0.01)
        assert failure == Failure("ReadTimeout", "no complete answer from kinesis.test in 0.01 s")

    async def test_credentials_that_hang_end_in_time(
        self, fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A metadata service that does not answer holds nothing up."""

        class Hung:
            def __init__(self, **_: object) -> None:
                pass

            def start(self) -> None:
                pass

        monkeypatch.setattr(exit_safe, "Thread", Hung)
        async with client_of(fake.transport()) as client:
            failure = await fail_to_put(client, timeout=0.01)
        assert failure == Failure(
            "ReadTimeout", "no AWS credentials and settings were found in 0.01 s"
        )

    async def test_cancellation_from_outside_is_passed_on(self, fake: FakeKinesis) -> None:
        """It is not a timeout of ours."""
        fake.script(Hang())
        outcomes = []
        async with client_of(fake.transport()) as client:
            with anyio.move_on_after(0.01) as scope:
                outcomes.append(await client.put_records("s", [HELLO], timeout=60))
        assert scope.cancelled_caught
        assert outcomes == []


class TestClosing:
    """The end of the client."""

    async def test_closing_twice_is_closing_once(self, fake: FakeKinesis) -> None:
        """Also before anything was sent."""
        client = client_of(fake.transport())
        await client.aclose()
        await put(client)
        await client.aclose()
        await client.aclose()

    async def test_sockets_are_closed(self, fake: FakeKinesis, endpoint_url: str) -> None:
        """No connection is left behind; warnings would fail the test."""
        config = Config("s", region_name="us-east-1", endpoint_url=endpoint_url)
        async with KinesisClient(config) as client:
            await put(client)
            await put(client)
        assert len(fake.records("s")) == 2
