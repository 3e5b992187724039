"""A producer's thread rests between pieces of work, where it serves nobody but the producer."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from kinesink import Producer
from kinesink.core.collector import Collector
from kinesink.core.entry import Entry
from kinesink.core.rate_limiter import RateLimiter
from kinesink.core.records import PutRecordsEntry
from kinesink.shell import origin, resting, wire
from tests.core.entries import OPTIONS, keyless_entry
from tests.shell.support import PATIENCE, make_client, make_config, make_fake, make_sink

if TYPE_CHECKING:
    from collections.abc import Iterator

UNPACED = replace(OPTIONS, shard_rate_limit=math.inf)
LONG = 10 * resting._STRETCH


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have credentials to sign with."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the threads that have rested, one by one; a sink of another test may be among them."""
    rested: list[int] = []
    sleep = time.sleep

    def note(seconds: float) -> None:
        if seconds == resting._REST:
            rested.append(threading.get_ident())
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", note)
    return rested


@pytest.fixture
def in_a_resting_thread() -> Iterator[None]:
    """Have this thread rest."""
    resting.begin()
    yield
    resting.end()


def work() -> None:
    """Have the interpreter for longer than a thread should that others wait for."""
    until = time.perf_counter() + LONG
    while time.perf_counter() < until:
        pass


def test_a_thread_of_the_application_s_never_rests(rests: list[int]) -> None:
    """Neither the one that asks nor any other."""
    work()
    resting.rest()
    assert threading.get_ident() not in rests


@pytest.mark.usefixtures("in_a_resting_thread")
def test_a_rest_follows_work_alone(rests: list[int]) -> None:
    """What has just rested goes on at once, however often it asks."""
    work()
    begun = time.perf_counter()
    for _ in range(10):
        resting.rest()
    rested = rests.count(threading.get_ident())
    # A busy machine may keep this thread from running for as long as work takes.
    assert 1 <= rested <= 1 + (time.perf_counter() - begun) / resting._STRETCH


def test_it_ends(rests: list[int]) -> None:
    """A thread that has served a producer may serve others."""
    resting.begin()
    resting.end()
    resting.end()
    work()
    resting.rest()
    assert threading.get_ident() not in rests


def test_no_thread_rests_where_the_shortest_sleep_is_long(
    rests: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows before Python 3.11 it is 16 ms."""
    monkeypatch.setattr(resting, "_SLEEPS_BRIEFLY", False)
    resting.begin()
    work()
    resting.rest()
    assert threading.get_ident() not in rests


FORK = """
import os
from kinesink.shell import resting
resting.begin()
child = os.fork()
if not child:
    os._exit(len(resting._rested_at))
_, status = os.waitpid(child, 0)
print(len(resting._rested_at), os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_does_not_rest() -> None:
    """Its only thread is no producer's, though it has the same identity."""
    ran = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", FORK], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert ran.stdout.split() == ["1", "0"]


def test_each_large_entry_is_followed_by_a_rest() -> None:
    """The body of a large request is made piece by piece."""
    rested: list[None] = []
    entries = [PutRecordsEntry(b"x" * 50_000, "k") for _ in range(5)]
    body = wire.encode_put_records("app", entries, "json", lambda: rested.append(None))
    assert body == wire.encode_put_records("app", entries, "json")
    assert len(rested) == 5


def test_a_collector_rests_after_each_entry() -> None:
    """Whether or not it could be encoded, and before the next one."""
    limiter = RateLimiter(UNPACED)
    entries = [keyless_entry(1000) for _ in range(3)]
    order: list[str] = []

    def encode(_: Entry, turn: int) -> PutRecordsEntry:
        del turn
        order.append("encode")
        if len(order) == 1:
            raise ZeroDivisionError
        return PutRecordsEntry(b"x", "k")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Entry, "encode", encode)
        for entry in entries:
            limiter.add(entry, 0.0)
        request = Collector(UNPACED, rest=lambda: order.append("rest")).form(limiter, 0.0)
    assert request is not None
    assert len(request.entries) == 2
    assert order == ["encode", "rest"] * 3


def test_a_sink_s_thread_rests_and_leaves_no_trace(
    anyio_backend: str, rests: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each entry that it encodes and writes, and before each request."""
    monkeypatch.setattr(resting, "_STRETCH", 0.0)
    fake = make_fake()
    others = set(origin.OWN_THREADS)
    sink = make_sink(fake, backend=anyio_backend)
    assert sink.emit(b"the first")
    assert sink.flush(PATIENCE)
    (thread,) = origin.OWN_THREADS - others
    before = rests.count(thread)
    for _ in range(2000):
        sink.emit(b"x" * 1000)
    assert sink.flush(PATIENCE)
    assert sink.close()
    assert sink._background.wait_ended(PATIENCE)
    account = sink.statistics()
    assert account.entries > account.requests > 1
    assert rests.count(thread) - before >= 2 * (account.entries - 1) + account.requests - 1
    assert thread not in resting._rested_at


async def test_a_producer_in_the_application_s_loop_does_not_rest(
    anyio_backend: str, rests: list[int]
) -> None:
    """There, it would hold up what it is to let go on."""
    fake = make_fake()
    config = make_config(backend=anyio_backend)
    async with Producer(config, client=make_client(fake, config)) as producer:
        for _ in range(200):
            await producer.put(b"x" * 1000)
        assert await producer.flush(PATIENCE)
    assert threading.get_ident() not in rests
