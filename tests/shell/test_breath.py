"""A producer's thread rests between pieces of work, where it serves nobody but the producer."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from kinesink import Producer
from kinesink.core.records import PutRecordsEntry
from kinesink.shell import breath, wire
from tests.shell.support import PATIENCE, make_client, make_config, make_fake, make_sink

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG = 10 * breath._STRETCH


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have credentials to sign with."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the threads that have rested, one by one."""
    rested: list[int] = []
    sleep = time.sleep

    def note(seconds: float) -> None:
        if seconds == breath._REST:
            rested.append(threading.get_ident())
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", note)
    return rested


@pytest.fixture
def resting() -> Iterator[None]:
    """Have this thread rest."""
    breath.begin()
    yield
    breath.end()


def work() -> None:
    """Have the interpreter for longer than a thread should that others wait for."""
    until = time.perf_counter() + LONG
    while time.perf_counter() < until:
        pass


def test_a_thread_of_the_application_s_never_rests(rests: list[int]) -> None:
    """Neither the one that asks nor any other."""
    work()
    breath.rest()
    assert rests == []


@pytest.mark.usefixtures("resting")
def test_a_rest_follows_work_alone(rests: list[int]) -> None:
    """What has just rested goes on at once, however often it asks."""
    work()
    begun = time.perf_counter()
    for _ in range(10):
        breath.rest()
    rested = len(rests)
    # A busy machine may keep this thread from running for as long as work takes.
    assert 1 <= rested <= 1 + (time.perf_counter() - begun) / breath._STRETCH
    assert set(rests) == {threading.get_ident()}


def test_it_ends(rests: list[int]) -> None:
    """A thread that has served a producer may serve others."""
    breath.begin()
    breath.end()
    breath.end()
    work()
    breath.rest()
    assert rests == []


def test_no_thread_rests_where_the_shortest_sleep_is_long(
    rests: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows before Python 3.11 it is 16 ms."""
    monkeypatch.setattr(breath, "_SLEEPS_BRIEFLY", False)
    breath.begin()
    work()
    breath.rest()
    assert rests == []


FORK = """
import os
from kinesink.shell import breath
breath.begin()
child = os.fork()
if not child:
    os._exit(len(breath._rested_at))
_, status = os.waitpid(child, 0)
print(len(breath._rested_at), os.waitstatus_to_exitcode(status))
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


def test_a_sink_s_thread_rests_and_leaves_no_trace(anyio_backend: str, rests: list[int]) -> None:
    """It rests while it prepares what it sends, and is forgotten with its thread."""
    fake = make_fake()
    sink = make_sink(fake, backend=anyio_backend)
    for _ in range(2000):
        sink.emit(b"x" * 1000)
    assert sink.flush(PATIENCE)
    assert sink.close()
    assert sink._background.wait_ended(PATIENCE)
    assert rests
    assert threading.get_ident() not in rests
    assert breath._rested_at == {}


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
    assert rests == []
