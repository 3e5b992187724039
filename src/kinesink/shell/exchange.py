"""One POST, one answer, over httpx; what goes wrong on the way is data.

Law of this file: :meth:`Exchange.post` returns whatever the network does, lets
cancellation through, never sends anything twice, and never shows a header in a message.
Nothing of before a sleep of the machine is used after it.

Imported lazily, because httpx takes 0.1 s to import.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
import httpx

from kinesink._version import __version__
from kinesink.core import retry_policy
from kinesink.core.records import Failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from kinesink.config import Config
    from kinesink.shell.aws_session import Destination
    from kinesink.shell.credentials import SignedRequest

#: Idle connections are closed after this many seconds. Nobody documents when the other
#: end or a gateway resets them; producers have met resets after some 20 s.
_KEEPALIVE_EXPIRY: Final = 10.0

#: Seconds that the wall clock is ahead of the monotonic one, which is how idle connections
#: are told. Between two requests it moves by this much only if somebody sets it, or if the
#: machine slept (a virtual one that was suspended, as between invocations of AWS Lambda):
#: then what was connected is gone, and nobody has heard of it.
_SLEEP: Final = 5.0

#: An Authorization header of ours must not be replaced by user and password in the URL.
_NO_AUTH: Final = httpx.Auth()

#: What went wrong, by exception; first match wins.
_CODES: Final = (
    (httpx.TimeoutException, retry_policy.READ_TIMEOUT),
    ((httpx.ConnectError, httpx.ProxyError), retry_policy.CONNECT_ERROR),
    ((httpx.UnsupportedProtocol, httpx.InvalidURL), retry_policy.INVALID_ENDPOINT),
    (httpx.DecodingError, retry_policy.UNDECODABLE_RESPONSE),
)


@dataclass(frozen=True)
class Answer:
    """An answer of HTTP, whatever it says."""

    status: int
    headers: Mapping[str, str]
    """Looked up in any case."""
    body: bytes

    @property
    def success(self) -> bool:
        """Whether it says that the request was fulfilled."""
        return httpx.codes.is_success(self.status)


class _Trace:
    """What httpcore tells about one request."""

    def __init__(self) -> None:
        self._connecting = False
        self._sending = False
        self._answered = False

    async def __call__(self, event: str, _: Mapping[str, object]) -> None:
        """Take one event of the ``trace`` extension."""
        self._connecting = self._connecting or event.endswith("connect_tcp.started")
        self._sending = self._sending or event == "http11.send_request_headers.started"
        self._answered = self._answered or event == "http11.receive_response_headers.complete"

    def reused_without_answer(self) -> bool:
        """Tell whether the request went into a kept connection and nothing came back."""
        return self._sending and not self._connecting and not self._answered


class _Body(httpx.AsyncByteStream):
    """A body in one piece.

    httpx's own is a generator. One that is left in the middle, because the connection broke,
    is a leak in trio's eyes, which warns.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Return what has the piece."""
        return _Piece(self._data)


class _Piece:
    """Iterates over one piece."""

    def __init__(self, data: bytes) -> None:
        self._left = [data]

    def __aiter__(self) -> _Piece:
        return self

    async def __anext__(self) -> bytes:
        """Return the piece, once."""
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


class Exchange:
    """Connections to the destinations of one session, kept open between requests.

    Belongs to one event loop; neither thread- nor fork-safe. Follows no redirect and
    retries nothing. Proxies come from the configuration, else from the environment as
    httpx reads it.

    :param destination: any of them; they share their TLS settings.
    :param ahead: returns by how many seconds the wall clock is ahead of the monotonic one.
    :raises Exception: if a proxy cannot be used; see :func:`open_exchange`.
    """

    def __init__(
        self,
        config: Config,
        destination: Destination,
        transport: httpx.AsyncBaseTransport | None,
        ahead: Callable[[], float] | None = None,
    ) -> None:
        self._connect_timeout = config.connect_timeout
        self._ahead = ahead or _wall_clock_ahead
        self._was_ahead = self._ahead()
        self._under_way: set[anyio.CancelScope] = set()
        self._new_client = partial(
            httpx.AsyncClient,
            auth=_NO_AUTH,
            headers={"User-Agent": f"kinesink/{__version__}", "Accept-Encoding": "identity"},
            verify=destination.tls,
            # The caller keeps a deadline over all of it, which also ends what no single
            # timeout sees, such as an answer that trickles in.
            timeout=httpx.Timeout(None, connect=config.connect_timeout),
            limits=httpx.Limits(
                # No bound here: a queue in the pool would let one stream's hanging calls
                # hold up all others. The producer shares connections out.
                max_connections=None,
                max_keepalive_connections=config.max_connections,
                keepalive_expiry=_KEEPALIVE_EXPIRY,
            ),
            follow_redirects=False,
            transport=transport,
            proxy=_proxy(config, destination),
        )
        self._client = self._new_client()

    async def post(self, request: SignedRequest) -> Answer | Failure:
        """Send a request and read the whole answer, whatever its status."""
        if self._has_slept():
            await self._start_afresh()
        host = request.destination.host
        trace = _Trace()
        with anyio.CancelScope() as scope:
            self._under_way.add(scope)
            try:
                response = await self._client.send(self._prepared(request, trace))
                return Answer(int(response.status_code), response.headers, response.content)
            except Exception as error:  # noqa: BLE001 - the network stack raises more than it documents
                code = _code(error, stale=trace.reused_without_answer())
                return Failure(code, f"{self._explain(error)} ({type(error).__name__}, {host})")
            finally:
                self._under_way.discard(scope)
        text = f"the machine slept while an answer was due ({host})"
        return Failure(retry_policy.STALE_CONNECTION, text)

    def _prepared(self, request: SignedRequest, trace: _Trace) -> httpx.Request:
        prepared = self._client.build_request(
            "POST",
            request.destination.url,
            content=request.body,
            headers=request.headers,
            extensions={"trace": trace},
        )
        prepared.stream = _Body(request.body)
        return prepared

    def _has_slept(self) -> bool:
        was_ahead, self._was_ahead = self._was_ahead, self._ahead()
        return self._was_ahead - was_ahead > _SLEEP

    async def _start_afresh(self) -> None:
        """Give up every connection, and every answer that is due."""
        left, self._client = self._client, self._new_client()
        for scope in self._under_way:
            scope.cancel()
        await left.aclose()

    def _explain(self, error: Exception) -> str:
        if isinstance(error, httpx.ConnectTimeout):
            return f"no connection within {self._connect_timeout:g} s"
        # On trio a refused certificate is known to the cause of the cause alone.
        cause: BaseException | None = error
        while cause is not None:
            if str(cause):
                return str(cause)
            cause = cause.__cause__ or cause.__context__
        return "no explanation"

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()


def open_exchange(
    config: Config, destination: Destination, transport: httpx.AsyncBaseTransport | None
) -> Exchange | Failure:
    """Return connections, or why there can be none: a proxy of the environment may be no URL."""
    try:
        return Exchange(config, destination, transport)
    except Exception as error:  # noqa: BLE001 - each kind of proxy has its own errors
        # Not the text of the error, for the URL may hold a password.
        return Failure(
            retry_policy.CONNECT_ERROR,
            "the proxy, from the configuration or HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, cannot "
            f"be used ({type(error).__name__})",
        )


def _wall_clock_ahead() -> float:
    return time.time() - time.monotonic()


def _proxy(config: Config, destination: Destination) -> httpx.Proxy | None:
    if config.proxy is None:
        return None
    # Given the same certificates as Kinesis, for reading them would block the loop.
    tls = destination.tls if config.proxy.startswith("https://") else None
    return httpx.Proxy(config.proxy, ssl_context=tls)


def _code(error: Exception, *, stale: bool) -> str:
    for kinds, code in _CODES:
        if isinstance(error, kinds):
            return code
    return retry_policy.STALE_CONNECTION if stale else retry_policy.CONNECTION_RESET
