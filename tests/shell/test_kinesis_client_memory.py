"""What the client learns from one answer for the next request: keys, clock, encoding."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest

from kinesink.testing import FakeKinesis, RawAnswer, RequestError, Reset
from tests.shell.kinesis_calls import client_of, fail_to_put, put

if TYPE_CHECKING:
    from tests.shell.conftest import AwsEnvironment

pytestmark = pytest.mark.usefixtures("signed")


@pytest.fixture
def fake() -> FakeKinesis:
    """Return a fake with the stream ``s`` of two shards."""
    fake = FakeKinesis()
    fake.create_stream("s", shards=2)
    return fake


class TestCredentialsAndClock:
    """What a refusal teaches the next request."""

    async def test_expired_credentials_are_looked_up_before_the_next_request(
        self, fake: FakeKinesis, aws: AwsEnvironment
    ) -> None:
        """The refusal is reported; resending is the core's decision."""
        aws.set_keys(token="old")
        fake.expired_tokens.add("old")
        async with client_of(fake.transport()) as client:
            failure = await fail_to_put(client)
            assert failure.code == "ExpiredTokenException"
            aws.set_keys(token="new")
            await put(client)
        assert [call.headers["x-amz-security-token"] for call in fake.calls] == ["old", "new"]

    @pytest.mark.parametrize("error", [-3600.0, 3600.0])
    async def test_a_clock_that_is_off_is_corrected(self, fake: FakeKinesis, error: float) -> None:
        """The correction is kept: later requests are right at first try."""
        now = 1_000_000_000.0
        fake.clock = lambda: now
        fake.check_clock = True
        async with client_of(fake.transport(), clock=lambda: now + error) as client:
            failure = await fail_to_put(client)
            assert failure.code == "InvalidSignatureException"
            await put(client)
            now += 1000
            await put(client)
        assert fake.calls[-1].headers["x-amz-date"] == "20010909T020320Z"

    async def test_a_wrong_clock_of_which_nobody_tells_the_time_stays(self) -> None:
        """And it is not taken for wrong credentials."""
        dates = []

        def refuse(request: httpx.Request) -> httpx.Response:
            dates.append(request.headers["x-amz-date"])
            return httpx.Response(400, json={"__type": "RequestExpired"})

        transport = httpx.MockTransport(refuse)
        async with client_of(transport, clock=lambda: 1_000_000_000.0) as client:
            await fail_to_put(client)
            await fail_to_put(client)
        assert dates == ["20010909T014640Z"] * 2


class TestCbor:
    """Falling back to JSON where CBOR is not understood."""

    @pytest.mark.parametrize(
        "refusal",
        [
            RequestError("SerializationException"),
            RequestError("UnknownOperationException"),
            RequestError("UnsupportedMediaTypeException", status=415),
            RawAnswer(415, b"", ""),
            RawAnswer(500),
        ],
    )
    async def test_the_first_request_is_sent_again_in_json(
        self, fake: FakeKinesis, refusal: RequestError | RawAnswer
    ) -> None:
        """And all later ones are in JSON from the start."""
        fake.script(replace(refusal, when=lambda call: "cbor" in call.headers["content-type"]))
        async with client_of(fake.transport(), protocol="cbor") as client:
            await put(client)
            await put(client)
        kinds = [call.headers["content-type"].rpartition("-")[0][-4:] for call in fake.calls]
        assert kinds == ["cbor", "json", "json"]

    async def test_another_failure_proves_nothing(self, fake: FakeKinesis) -> None:
        """A reset says nothing about formats."""
        fake.script(Reset(times=1))
        async with client_of(fake.transport(), protocol="cbor") as client:
            await fail_to_put(client)
            await put(client)
        assert {call.headers["content-type"] for call in fake.calls} == {
            "application/x-amz-cbor-1.1"
        }

    async def test_once_understood_it_stays(self, fake: FakeKinesis) -> None:
        """A bad entry later on is no reason to change."""
        async with client_of(fake.transport(), protocol="cbor") as client:
            await put(client)
            fake.script(RequestError("SerializationException", times=1))
            assert (await fail_to_put(client)).code == "SerializationException"
            await put(client)
        assert len(fake.calls) == 3
