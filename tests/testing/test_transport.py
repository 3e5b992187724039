"""The fake behind httpx: answers, latency, hangs, resets and timeouts, on asyncio and trio."""

import threading

import anyio
import httpx
import pytest

from kinesink.testing import (
    Ending,
    FakeKinesis,
    Hang,
    Latency,
    RawAnswer,
    Reset,
)
from tests.testing.calls import fake_with, request_of

URL = "https://kinesis.us-east-1.amazonaws.com/"


async def put(fake: FakeKinesis, timeout: float | None = 5.0) -> httpx.Response:  # noqa: ASYNC109 - httpx's own
    """Send one entry through httpx."""
    request = request_of("PutRecord", {"StreamName": "s", "Data": b"x", "PartitionKey": "p"})
    async with httpx.AsyncClient(transport=fake.transport(), timeout=timeout) as client:
        return await client.post(URL, content=request.body, headers=dict(request.headers))


class TestTransport:
    """What ``httpx.AsyncClient`` sees."""

    async def test_a_request_is_answered(self) -> None:
        """Status, headers and body of the fake's reply."""
        fake = fake_with()

        response = await put(fake)

        assert response.status_code == 200
        assert response.json()["ShardId"] == "shardId-000000000000"
        assert response.headers["x-amzn-requestid"]
        assert len(fake.records("s")) == 1

    async def test_a_body_that_is_no_json_is_passed_on(self) -> None:
        """As a proxy would send it."""
        fake = fake_with()
        fake.script(RawAnswer())

        response = await put(fake)

        assert (response.status_code, response.text[:6]) == (502, "<html>")

    async def test_the_client_waits_for_latency_and_no_longer_than_its_timeout(self) -> None:
        """An answer that is slower than the read timeout is a ReadTimeout; the write is there."""
        fake = fake_with()
        fake.script(Latency(answer=0.01))
        assert (await put(fake)).status_code == 200

        fake.script(Latency(answer=3600))
        with pytest.raises(httpx.ReadTimeout):
            await put(fake, timeout=0.02)

        assert len(fake.records("s")) == 2

    async def test_a_request_that_times_out_on_its_way_has_no_effect(self) -> None:
        """It never arrived."""
        fake = fake_with()
        fake.script(Latency(request=3600))

        with pytest.raises(httpx.ReadTimeout):
            await put(fake, timeout=0.02)

        assert fake.records("s") == []

    async def test_a_hanging_request_goes_on_when_released_in_the_loop(self) -> None:
        """Without a timeout it waits as long as it takes."""
        fake = fake_with()
        fake.script(Hang())
        responses: list[httpx.Response] = []

        async def send() -> None:
            responses.append(await put(fake, timeout=None))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            while not fake.hanging:
                await anyio.lowlevel.checkpoint()
            assert fake.records("s") == []
            fake.release()

        assert responses[0].status_code == 200
        assert len(fake.records("s")) == 1

    async def test_a_hanging_request_goes_on_when_released_by_a_thread(self) -> None:
        """The loop is woken from outside."""
        fake = fake_with()
        fake.script(Hang(applied=True))

        def release() -> None:
            while not fake.hanging:
                threading.Event().wait(0.001)
            fake.release()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, release)
            response = await put(fake)

        assert response.status_code == 200

    async def test_a_hanging_request_can_be_cancelled(self) -> None:
        """Nobody waits at the gate any more."""
        fake = fake_with()
        fake.script(Hang())

        with anyio.move_on_after(0.02) as scope:
            await put(fake, timeout=None)

        assert scope.cancelled_caught
        assert fake.hanging == 0

    @pytest.mark.parametrize(
        ("ending", "error", "written"),
        [
            (Ending.REFUSE, httpx.ConnectError, 0),
            (Ending.RESET, httpx.ReadError, 0),
            (Ending.CUT, httpx.RemoteProtocolError, 1),
        ],
    )
    async def test_a_broken_connection_is_the_error_httpx_has_for_it(
        self, ending: Ending, error: type[httpx.TransportError], written: int
    ) -> None:
        """No connection, none any more, or half an answer."""
        fake = fake_with()
        fake.script(Reset(ending=ending))

        with pytest.raises(error) as raised:
            await put(fake)

        assert raised.value.request.url == URL
        assert len(fake.records("s")) == written
