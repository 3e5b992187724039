"""FakeKinesis for httpx: requests are answered in the process, without sockets."""

import asyncio
import math
from collections.abc import Callable

import anyio
import anyio.lowlevel
import httpx

from kinesink.testing.exchange import Ending, Gate, Held, Pause, Reply, Request

__all__ = ["FakeTransport"]

_BROKEN = {
    Ending.REFUSE: (httpx.ConnectError, "All connection attempts failed"),
    Ending.RESET: (httpx.ReadError, "Connection reset by peer"),
    Ending.CUT: (
        httpx.RemoteProtocolError,
        "peer closed connection without sending complete message body",
    ),
}
"""What httpx raises, by the way an exchange ends; nothing for an answer."""


class FakeTransport(httpx.AsyncBaseTransport):
    """Carries requests to a fake and does the waiting it asks for, on asyncio and on trio.

    Latency sleeps on the event loop's clock, which may be a virtual one. The client's read
    timeout bounds all waiting for an answer; a request that times out stays as far as it got.
    """

    def __init__(self, answer: Callable[[Request], Reply | Held]) -> None:
        """Ask ``answer`` for every request."""
        self._answer = answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request; raises httpx's errors for resets and timeouts."""
        body = await request.aread()
        await anyio.lowlevel.checkpoint()
        headers = {name.lower(): value for name, value in request.headers.items()}
        held = self._answer(Request(request.method, headers, body))
        read_timeout = request.extensions.get("timeout", {}).get("read")
        reply: Reply | None = None
        with anyio.move_on_after(math.inf if read_timeout is None else read_timeout):
            reply = await _reply(held)
        if reply is None:
            message = "The read operation timed out"
            raise httpx.ReadTimeout(message, request=request)
        if reply.ending in _BROKEN:
            error, text = _BROKEN[reply.ending]
            raise error(text, request=request)
        return httpx.Response(reply.status, headers=dict(reply.headers), content=reply.body)


async def _reply(held: Reply | Held) -> Reply:
    """Carry out the pauses before and after the arrival."""
    if isinstance(held, Held):
        await _wait(held.pause)
        reply = held.arrive()
    else:
        reply = held
    await _wait(reply.pause)
    return reply


async def _wait(pause: Pause) -> None:
    if pause.seconds > 0:
        await anyio.sleep(pause.seconds)
    if pause.gate is not None:
        await _wait_open(pause.gate)


async def _wait_open(gate: Gate) -> None:
    opened = anyio.Event()
    listener = _from_any_thread(opened.set)
    gate.on_open(listener)
    try:
        await opened.wait()
    finally:
        gate.forget(listener)


def _from_any_thread(action: Callable[[], object]) -> Callable[[], None]:
    """Return a function for any thread that runs ``action`` in this event loop, soon."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        import trio  # noqa: PLC0415 - without asyncio it is trio, which is optional

        token = trio.lowlevel.current_trio_token()
        return lambda: token.run_sync_soon(action)
    return lambda: _ignore_handle(loop.call_soon_threadsafe(action))


def _ignore_handle(handle: asyncio.Handle) -> None:
    del handle
