"""All sinks of a process, flushed at once."""

from __future__ import annotations

import anyio
import pytest

import kinesink
from kinesink.shell.background import every_background
from kinesink.shell.flush import Flush, Latch
from kinesink.testing import Hang
from tests.shell.support import PATIENCE, adds_up, landed, make_fake, make_sink, wait_until

pytestmark = pytest.mark.usefixtures("signed")


def test_every_sink_is_flushed() -> None:
    """Those of other configurations, too, and none lingers."""
    fakes = [make_fake(), make_fake()]
    made = [make_sink(fake, linger=60) for fake in fakes]
    for number, sink in enumerate(made):
        sink.emit(b"%d" % number)
    assert kinesink.flush()
    assert [landed(fake) for fake in fakes] == [[b"0"], [b"1"]]
    for sink in made:
        assert sink.close()


async def test_every_sink_is_flushed_without_blocking_the_loop() -> None:
    """What may be awaited does the same."""
    fakes = [make_fake(), make_fake()]
    made = [make_sink(fake, linger=60) for fake in fakes]
    for number, sink in enumerate(made):
        sink.emit(b"%d" % number)
    assert await kinesink.aflush()
    assert [landed(fake) for fake in fakes] == [[b"0"], [b"1"]]
    for sink in made:
        # In a thread, because closing blocks.
        assert await anyio.to_thread.run_sync(sink.close)


def test_one_that_is_late_does_not_keep_the_others_waiting() -> None:
    """The deadline is for all of them together, and the answer is that not all has arrived."""
    fakes = [make_fake(), make_fake()]
    fakes[0].faults.append(Hang(operation="PutRecords"))
    made = [make_sink(fake, shutdown_timeout=0.5) for fake in fakes]
    for sink in made:
        sink.emit(b"event")
    assert not kinesink.flush(0.3)
    wait_until(lambda: landed(fakes[1]) == [b"event"])
    for sink in made:
        sink.close()
        assert adds_up(sink.statistics())


async def test_one_that_has_nothing_to_do_gives_the_others_no_time() -> None:
    """The usual timeout is the longest of those that run, however they are waited for."""
    fake = make_fake()
    fake.faults.append(Hang(operation="PutRecords"))
    idle = make_sink(make_fake(), shutdown_timeout=3600)
    sink = make_sink(fake, shutdown_timeout=0.1)
    sink.emit(b"event")
    assert idle.statistics().accepted == 0
    assert not await kinesink.aflush()
    assert not await anyio.to_thread.run_sync(kinesink.flush)
    fake.faults.clear()
    fake.release()
    assert await sink.aflush(PATIENCE)
    sink.retire()


def test_one_that_nobody_has_any_more_is_flushed_as_well() -> None:
    """It delivers what it has, and the answer is not before that."""
    fake = make_fake()
    fake.faults.append(Hang(operation="PutRecords"))
    make_sink(fake, linger=60).emit(b"event")
    assert not kinesink.flush(0.1)
    fake.faults.clear()
    fake.release()
    assert kinesink.flush()
    assert landed(fake) == [b"event"]


async def test_one_that_nobody_has_any_more_is_flushed_without_blocking_the_loop() -> None:
    """What may be awaited does the same."""
    fake = make_fake()
    fake.faults.append(Hang(operation="PutRecords"))
    make_sink(fake, linger=60).emit(b"event")
    assert not await kinesink.aflush(0.1)
    fake.faults.clear()
    fake.release()
    assert await kinesink.aflush()
    assert landed(fake) == [b"event"]


def test_a_flush_that_comes_too_late_leaves_no_thread() -> None:
    """Where nobody is left to end the one that it begins."""
    sink = make_sink(make_fake())
    background = sink._background
    del sink
    assert background not in every_background()
    done = Latch()
    background.request_flush(Flush(done.open))
    assert done.wait(PATIENCE)
    assert background.wait_ended(PATIENCE)


def test_the_account_and_the_verdict_are_of_all_of_them() -> None:
    """A readiness probe and a metrics system know no single sink."""
    before = kinesink.total_statistics()
    made = [make_sink(make_fake()) for _ in range(2)]
    for sink in made:
        sink.emit(b"event")
        assert sink.close()
    account = kinesink.total_statistics()
    assert account.delivered - before.delivered == 2
    assert adds_up(account)
    assert kinesink.health().status in {"ok", "degraded", "failing"}
