"""Concurrency (cases C): many tasks, many threads, and the producer's own log calls."""

# ruff: noqa: N802 - the tests carry the names of the cases

from __future__ import annotations

import logging
import signal
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from kinesink import KinesisHandler
from kinesink.shell.kinesis import KinesisClient
from kinesink.testing import Hang, Latency
from tests.cases.evidence import Lookups
from tests.cases.scene import APP, RTT, new_fake, scene
from tests.shell.support import landed, make_fake, make_sink, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink import Config, Sink
    from kinesink.core.pipeline import Pipeline
    from kinesink.testing import FakeKinesis

LINGER = 0.1
FAR = 1e6


@pytest.mark.parametrize("way", ["child task", "under fail_after", "twenty tasks"])
async def test_C1_the_first_put_may_come_from_anywhere(
    way: str, monkeypatch: pytest.MonkeyPatch, pipelines: list[Pipeline]
) -> None:
    """Exactly one pipeline, one look-up of credentials and one first ListShards."""
    lookups = Lookups(monkeypatch)
    async with scene(new_fake(4), warm=False) as s:

        async def put(number: int) -> None:
            if way == "under fail_after":
                with anyio.fail_after(FAR):
                    outcome = await s.put(b"%d" % number, str(number))
            else:
                outcome = await s.put(b"%d" % number, str(number))
            assert (await outcome.wait()).success

        if way == "under fail_after":
            await put(0)
        else:
            async with anyio.create_task_group() as tasks:
                for number in range(20 if way == "twenty tasks" else 1):
                    tasks.start_soon(put, number)
        assert len(pipelines) == 1
        assert len(s.calls("ListShards")) == 1
        assert len(s.calls("DescribeStreamSummary")) == 1
        # A scope that has ended around the first put has taken nothing with it.
        await anyio.sleep(1)
        assert (await s.deliver(b"later", "k")).success
    assert lookups.count == 1


async def test_C1_a_first_put_that_is_cancelled_leaves_a_working_producer() -> None:
    """Whoever comes next finds everything in order."""
    async with scene(warm=False) as s:
        s.fake.script(Latency(operation="ListShards", request=1.0))
        with anyio.move_on_after(0.3) as cut:
            await (await s.put(b"first", "k")).wait()
        assert cut.cancelled_caught
        assert (await s.deliver(b"second", "k")).success
        assert len(s.calls("ListShards")) == 1
    assert s.copies() == {b"first": 1, b"second": 1}


class Chatty(KinesisClient):
    """A client whose way through httpx and botocore logs a lot."""

    def __init__(self, fake: FakeKinesis, config: Config) -> None:
        super().__init__(config, transport=_Chatty(fake.transport()))


class _Chatty(httpx.AsyncBaseTransport):
    def __init__(self, carrier: httpx.AsyncBaseTransport) -> None:
        self._carrier = carrier

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        for name in ("httpx", "httpcore.http11", "botocore.auth", "somebody.elses"):
            logging.getLogger(f"cases.{name}").warning("on the way to Kinesis")
        return await self._carrier.handle_async_request(request)

    async def aclose(self) -> None:
        await self._carrier.aclose()


def test_C2_log_calls_on_the_producers_own_way_do_not_re_enter(
    anyio_backend: tuple[str, dict[str, Any]],
) -> None:
    """Those of other threads at the same time are shipped, all of them."""
    fake = make_fake()
    sink = make_sink(fake, backend=anyio_backend[0])
    sink._background._make_client = partial(Chatty, fake)
    logger = logging.getLogger("cases")
    handler = KinesisHandler(sink=sink)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.propagate = False
    try:

        def application(thread: int) -> None:
            for number in range(200):
                logging.getLogger("cases.application").warning("%d/%d", thread, number)
                logging.getLogger("cases.httpx").warning("mine %d/%d", thread, number)

        threads = [threading.Thread(target=application, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sink.close()
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
        handler.close()
    account = sink.statistics()
    assert (account.accepted, account.delivered) == (1_600, 1_600)
    assert account.own >= 4
    assert len(set(landed(fake))) == 1_600
    assert b"on the way to Kinesis" not in landed(fake)


def from_signal_handler(sink: Sink) -> None:
    """Emit while the main thread does something else."""
    before = signal.signal(signal.SIGUSR1, lambda *_: sink.emit(b"x"))
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


def from_finalizer(sink: Sink) -> None:
    """Emit while an object goes away."""

    class Ends:
        def __del__(self) -> None:
            sink.emit(b"x")

    thing = Ends()
    del thing


def from_thread(sink: Sink) -> None:
    """Emit in a thread that has no event loop."""
    thread = threading.Thread(target=sink.emit, args=(b"x",))
    thread.start()
    thread.join()


def from_event_loop(sink: Sink) -> None:
    """Emit in somebody else's loop."""

    async def application() -> None:
        sink.emit(b"x")

    anyio.run(application)


@pytest.mark.parametrize("way", [from_signal_handler, from_finalizer, from_thread, from_event_loop])
@pytest.mark.parametrize("state", ["first event", "while a call hangs"])
def test_C3_an_event_from_anywhere_is_taken_without_waiting_and_delivered(
    way: Callable[[Sink], None],
    state: str,
    anyio_backend: tuple[str, dict[str, Any]],
) -> None:
    """Before there is a producer, and while every call to Kinesis waits."""
    fake = make_fake()
    sink = make_sink(fake, backend=anyio_backend[0])
    fake.script(Hang())
    expected = 1
    if state == "while a call hangs":
        sink.emit(b"first")
        wait_until(lambda: fake.hanging)
        expected = 2
    # Were it to wait for Kinesis it would never return: nothing is answered yet.
    way(sink)
    assert sink.statistics().pending == expected
    fake.faults.clear()
    fake.release()
    assert sink.close()
    assert sink.statistics().delivered == expected
    assert b"x" in landed(fake)


async def test_C3_an_event_from_another_thread_wakes_an_idle_producer() -> None:
    """It is on its way when its window closes, and not at some later look."""
    async with scene() as s:
        await anyio.sleep(3)
        began = s.now
        thread = threading.Thread(target=s.emit, args=(b"x",))
        thread.start()
        thread.join()
        await s.settle()
        arrived = s.fake.records(APP)[-1].arrival - s.fake.clock() + s.now
        assert arrived - began <= LINGER + RTT / 2 + 1e-6
