"""The lifespan of an asynchronous server: what it has logged leaves before it is gone."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from http.client import HTTPConnection
from typing import TYPE_CHECKING, NoReturn

import anyio
import pytest

import kinesink
from kinesink.testing import Hang
from tests.process_life.programs import not_delivered, running
from tests.shell.support import adds_up, landed, make_fake, make_sink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink import Sink
    from kinesink.testing import FakeKinesis


pytestmark = pytest.mark.slow


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeKinesis:
    """Return a fake, for requests that can be signed."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return make_fake()


@pytest.fixture
def sinks(fake: FakeKinesis, anyio_backend: str) -> Iterator[list[Sink]]:
    """Return two sinks from which nothing leaves by itself."""
    made = [make_sink(fake, linger=60, backend=anyio_backend, region_name=region)
            for region in ("eu-west-1", "eu-west-2")]  # fmt: skip
    yield made
    for sink in made:
        assert adds_up(sink.statistics())
        sink.close()


def log(sinks: list[Sink]) -> None:
    """Log an event by each sink."""
    for number, sink in enumerate(sinks):
        sink.emit(b"%d" % number)


async def test_leaving_delivers_all_sinks(fake: FakeKinesis, sinks: list[Sink]) -> None:
    """As often as it is entered."""
    for count in (1, 2):
        async with kinesink.lifespan():
            log(sinks)
        assert landed(fake) == [b"0"] * count + [b"1"] * count


async def test_a_body_that_raises(fake: FakeKinesis, sinks: list[Sink]) -> None:
    """What it has logged until then is delivered, and its exception is its own."""

    async def serve() -> NoReturn:
        async with kinesink.lifespan():
            log(sinks)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await serve()
    assert landed(fake) == [b"0", b"1"]


async def test_a_body_that_is_cancelled(fake: FakeKinesis, sinks: list[Sink]) -> None:
    """The delivery is not: it has its time, and then the cancellation goes on."""
    with anyio.CancelScope() as scope:
        async with kinesink.lifespan():
            log(sinks)
            scope.cancel()
            await anyio.sleep(60)
    assert scope.cancelled_caught
    assert landed(fake) == [b"0", b"1"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_task_of_asyncio_s_that_is_cancelled(fake: FakeKinesis, sinks: list[Sink]) -> None:
    """Its own way of cancelling knows no scopes."""
    ready = asyncio.Event()

    async def serve() -> None:
        async with kinesink.lifespan():
            log(sinks)
            ready.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(serve())
    await ready.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert landed(fake) == [b"0", b"1"]


async def test_what_is_not_delivered_is_told(
    fake: FakeKinesis, anyio_backend: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Once, whoever asks next; it stays pending, because the process may go on."""
    fake.faults.append(Hang(operation="PutRecords"))
    sink = make_sink(fake, backend=anyio_backend, shutdown_timeout=0.3)
    async with kinesink.lifespan(), kinesink.lifespan("an application"):
        sink.emit(b"one")
    (told,) = not_delivered(capfd.readouterr().err)
    assert told.startswith("kinesink: 1 event (3 bytes) not delivered to 'app' within 0.3 s")
    assert sink.statistics().pending == 1
    fake.faults.clear()
    fake.release()
    assert await sink.aflush(20)
    assert landed(fake) == [b"one"]
    assert adds_up(sink.statistics())
    sink.retire()


async def test_an_application_enters_it_by_itself(fake: FakeKinesis, sinks: list[Sink]) -> None:
    """As FastAPI and Starlette do with a context that they are given."""
    fastapi = pytest.importorskip("fastapi")
    app = fastapi.FastAPI(lifespan=kinesink.lifespan)
    async with AsyncExitStack() as stack:
        assert await stack.enter_async_context(app.router.lifespan_context(app)) is None
        log(sinks)
    assert landed(fake) == [b"0", b"1"]


# -- uvicorn ------------------------------------------------------------------------

SERVER = """
import logging, os, sys
import kinesink
handler = kinesink.KinesisHandler("app")
handler.setFormatter(logging.Formatter("%(message)s"))
logger = logging.getLogger("shop")
logger.setLevel("INFO")
logger.addHandler(handler)
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        async with LIFESPAN:
            await send({"type": "lifespan.startup.complete"})
            await receive()
            logger.info("stopping")
        await send({"type": "lifespan.shutdown.complete"})
        return
    logger.info("request")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})
import contextlib, socket, uvicorn
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
"""

REMEDIES = {
    "neither": ("contextlib.nullcontext()", ""),
    "the lifespan": ("kinesink.lifespan()", ""),
    "handlers of signals": ("contextlib.nullcontext()", "kinesink.install_signal_handlers()"),
    "both": ("kinesink.lifespan()", "kinesink.install_signal_handlers()"),
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("remedy", REMEDIES)
def test_uvicorn_is_stopped(remedy: str, anyio_backend: str) -> None:
    """It ends by the signal, so no exit hook runs; with either remedy everything is delivered."""
    pytest.importorskip("uvicorn")
    lifespan, before = REMEDIES[remedy]
    fake = make_fake()
    source = f"""{SERVER.replace("LIFESPAN", lifespan)}
{before}
server.run(sockets=[listener])
"""
    with running(fake, source, KINESINK_BACKEND=anyio_backend, KINESINK_LINGER="60") as program:
        port = int(program.next_line())
        client = HTTPConnection("127.0.0.1", port, timeout=40)
        client.request("GET", "/")
        assert client.getresponse().read() == b"done"
        client.close()
        program.send(signal.SIGTERM)
        ran = program.end()
    assert (ran.status, ran.err) == (-signal.SIGTERM, "")
    assert landed(fake) == ([] if remedy == "neither" else [b"request\n", b"stopping\n"])
