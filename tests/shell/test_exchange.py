"""One POST over real sockets: connections kept, broken, refused and shared."""

from __future__ import annotations

import gc
import ssl
import struct
from contextlib import asynccontextmanager, suppress
from socket import SO_LINGER, SOL_SOCKET
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from anyio.abc import SocketAttribute
from anyio.streams.buffered import BufferedByteReceiveStream

from kinesink._version import __version__
from kinesink.config import Config
from kinesink.core.records import Failure
from kinesink.shell.aws_session import Destination
from kinesink.shell.credentials import SignedRequest
from kinesink.shell.exchange import Answer, Exchange, _Body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

    from anyio.abc import SocketStream

    from tests.shell.conftest import AwsEnvironment

pytestmark = pytest.mark.usefixtures("aws")

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Peer:
    """A server that does to each connection what a test says."""

    def __init__(self, behaviour: Callable[[Connection], Awaitable[None]]) -> None:
        self.behaviour = behaviour
        self.port = 0
        self.connections = 0
        self.requests: list[bytes] = []

    async def serve(self, stream: SocketStream) -> None:
        """Take one connection."""
        self.connections += 1
        async with stream:
            # The client may leave before it has asked for all that a behaviour answers.
            with suppress(anyio.IncompleteRead):
                await self.behaviour(Connection(self, stream))

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/"


class Connection:
    """The server's end of a connection."""

    def __init__(self, peer: Peer, stream: SocketStream) -> None:
        self._peer = peer
        self.stream = stream
        self._bytes = BufferedByteReceiveStream(stream)

    async def read_request(self) -> None:
        """Read one request; its body is 4 bytes, as all in this file."""
        head = await self._bytes.receive_until(b"\r\n\r\n", 65536)
        await self._bytes.receive_exactly(4)
        self._peer.requests.append(head)

    async def answer(self, answer: bytes = OK) -> None:
        """Read one request and answer it."""
        await self.read_request()
        await self.stream.send(answer)

    def reset(self) -> None:
        """Let the close send a reset instead of an end."""
        raw = self.stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - not Django's
        raw.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))


@asynccontextmanager
async def peer(behaviour: Callable[[Connection], Awaitable[None]]) -> AsyncIterator[Peer]:
    """Listen on the loopback interface."""
    server = Peer(behaviour)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    server.port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - not Django's
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, server.serve)
        yield server
        group.cancel_scope.cancel()


def request_to(url: str) -> SignedRequest:
    """Return a request of 4 bytes."""
    destination = Destination("us-east-1", url, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    return SignedRequest(destination, {"Authorization": "ours"}, b"body", 0, ())


@asynccontextmanager
async def exchange(
    url: str, transport: httpx.AsyncBaseTransport | None = None, *, config: Config | None = None
) -> AsyncIterator[Callable[[], Coroutine[Any, Any, Answer | Failure]]]:
    """Yield what sends a request over kept connections."""
    config = config or Config("s")
    connections = Exchange(config, request_to(url).destination, transport)
    try:
        yield lambda: connections.post(request_to(url))
    finally:
        await connections.aclose()


async def answer_twice(connection: Connection) -> None:
    """Answer two requests on one connection."""
    await connection.answer()
    await connection.answer()


async def test_a_connection_is_kept_between_requests() -> None:
    """Opening one costs two round trips and more with TLS."""
    async with peer(answer_twice) as server, exchange(server.url) as post:
        first, second = await post(), await post()
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert (first.status, first.body, first.success) == (200, b"{}", True)
    assert server.connections == 1


async def test_requests_name_the_program_and_ask_for_no_compression() -> None:
    """The signature of ours stays, whatever user the URL names."""
    async with peer(answer_twice) as server:
        url = server.url.replace("//", "//user:word@")
        async with exchange(url) as post:
            await post()
    head = server.requests[0].decode().lower()
    assert head.startswith("post / http/1.1\r\n")
    assert f"user-agent: kinesink/{__version__}\r\n" in head
    assert "accept-encoding: identity\r\n" in head
    assert "authorization: ours" in head


async def test_no_request_waits_for_another() -> None:
    """The producer shares connections out: in a queue here, one stream would hold up all."""
    both = anyio.Event()

    async def answer_when_both_are_there(connection: Connection) -> None:
        await connection.read_request()
        if len(server.requests) == 2:
            both.set()
        await both.wait()
        await connection.stream.send(OK)

    async with (
        peer(answer_when_both_are_there) as server,
        exchange(server.url, config=Config("s", max_connections=1)) as post,
        anyio.create_task_group() as group,
    ):
        group.start_soon(post)
        group.start_soon(post)
    assert len(server.requests) == 2
    assert server.connections == 2


async def test_redirects_are_not_followed() -> None:
    """A signature holds for one host only."""

    async def redirect(connection: Connection) -> None:
        await connection.answer(
            b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\n"
            b"Content-Length: 0\r\n\r\n"
        )

    async with peer(redirect) as server, exchange(server.url) as post:
        answer = await post()
    assert isinstance(answer, Answer)
    assert answer.status == 307
    assert not answer.success


async def test_a_proxy_from_the_environment_is_used(aws: AwsEnvironment) -> None:
    """As botocore would."""
    async with peer(answer_twice) as server:
        aws.set(http_proxy=server.url)
        async with exchange("http://kinesis.test/") as post:
            assert isinstance(await post(), Answer)
    assert server.requests[0].startswith(b"POST http://kinesis.test/ HTTP/1.1\r\n")


@pytest.mark.parametrize("reset", [True, False])
async def test_a_kept_connection_that_breaks_before_an_answer_is_stale(*, reset: bool) -> None:
    """The other end had given it up; the request can go again at once."""

    async def answer_once(connection: Connection) -> None:
        await connection.answer()
        await connection.read_request()
        if reset:
            connection.reset()

    async with peer(answer_once) as server, exchange(server.url) as post:
        await post()
        failure = await post()
        assert isinstance(failure, Failure)
        assert failure.code == "StaleConnection"
        assert failure.status is None
        assert f"127.0.0.1:{server.port}" in failure.message


@pytest.mark.parametrize("reset", [True, False])
async def test_a_new_connection_that_breaks_is_a_reset(*, reset: bool) -> None:
    """It was not idle, so trying at once would meet the same."""

    async def break_off(connection: Connection) -> None:
        await connection.read_request()
        if reset:
            connection.reset()

    async with peer(break_off) as server, exchange(server.url) as post:
        failure = await post()
    assert isinstance(failure, Failure)
    assert failure.code == "ConnectionReset"


async def test_an_answer_that_breaks_off_is_a_reset_even_on_a_kept_connection() -> None:
    """The request was taken, so it is not the connection that was stale."""

    async def cut_the_second(connection: Connection) -> None:
        await connection.answer()
        await connection.answer(OK[:-1])

    async with peer(cut_the_second) as server, exchange(server.url) as post:
        await post()
        failure = await post()
    assert isinstance(failure, Failure)
    assert failure.code == "ConnectionReset"


async def test_a_port_where_nobody_listens() -> None:
    """The message names host and port."""
    async with peer(answer_twice) as server:
        pass
    async with exchange(server.url) as post:
        failure = await post()
    assert isinstance(failure, Failure)
    assert failure.code == "ConnectError"
    assert f"127.0.0.1:{server.port}" in failure.message


async def test_a_server_without_tls() -> None:
    """A failed handshake is a failed connection."""

    async def answer_anything(connection: Connection) -> None:
        await connection.stream.receive()
        await connection.stream.send(OK)

    async with (
        peer(answer_anything) as server,
        exchange(server.url.replace("http:", "https:")) as post,
    ):
        failure = await post()
    assert isinstance(failure, Failure)
    assert failure.code == "ConnectError"


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (httpx.ConnectTimeout(""), "ReadTimeout", "no connection within 2.5 s (ConnectTimeout"),
        (httpx.ReadTimeout("slow"), "ReadTimeout", "slow (ReadTimeout, kinesis.test)"),
        (httpx.ProxyError("407"), "ConnectError", "407 (ProxyError"),
        (httpx.UnsupportedProtocol("ftp"), "InvalidEndpoint", "ftp (Unsupported"),
        (httpx.DecodingError("gzip"), "UndecodableResponse", "gzip (DecodingError"),
        (httpx.ReadError(""), "ConnectionReset", "no explanation (ReadError"),
        (OSError("no route"), "ConnectionReset", "no route (OSError"),
    ],
)
async def test_what_else_the_network_stack_raises(error: Exception, code: str, text: str) -> None:
    """Nothing of it is raised to the caller."""

    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    transport = httpx.MockTransport(fail)
    async with exchange(
        "http://kinesis.test/", transport, config=Config("s", connect_timeout=2.5)
    ) as post:
        failure = await post()
    assert isinstance(failure, Failure)
    assert failure.code == code
    assert failure.message.startswith(text)


async def test_cancellation_is_no_failure() -> None:
    """Whoever cancels gets its cancellation, and the connection is given up."""

    async def never_answer(connection: Connection) -> None:
        await connection.read_request()
        await anyio.sleep_forever()

    cancelled = []
    async with peer(never_answer) as server, exchange(server.url) as post:

        async def request() -> None:
            with anyio.CancelScope() as scope:
                cancelled.append(scope)
                await post()

        async with anyio.create_task_group() as group:
            group.start_soon(request)
            while not server.requests:
                await anyio.wait_all_tasks_blocked()
            cancelled[0].cancel()
    assert cancelled[0].cancelled_caught


async def test_a_request_that_ends_in_the_middle_leaves_nothing_behind(
    recwarn: pytest.WarningsRecorder,
) -> None:
    """Such as a generator that has not ended: trio warns when one is collected."""

    async def read_nothing(_: Connection) -> None:
        await anyio.sleep_forever()

    async with peer(read_nothing) as server:
        destination = request_to(server.url).destination
        connections = Exchange(Config("s"), destination, None)
        large = SignedRequest(destination, {}, bytes(64 << 20), 0, ())
        with anyio.move_on_after(0.5) as waiting:
            await connections.post(large)
        assert waiting.cancelled_caught
        await connections.aclose()
        gc.collect()
    leaks = [each for each in recwarn if issubclass(each.category, ResourceWarning)]
    assert leaks == []


async def test_a_body_is_one_piece_however_often_it_is_read() -> None:
    """A proxy or a redirect of httpx's own may read it again."""
    body = _Body(b"body")
    for _ in range(2):
        assert [piece async for piece in body.__aiter__()] == [b"body"]
        assert [piece async for piece in body] == [b"body"]
