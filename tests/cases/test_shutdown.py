"""Shutdown and cancellation (cases S) of a producer; of a process in the tests of the shell."""

# ruff: noqa: N802 - the tests carry the names of the cases

from __future__ import annotations

import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import anyio
import pytest

from kinesink import ClosedError, DropReason
from kinesink.testing import FailEntries, Hang, Latency, RequestError, ThrottleEntries
from tests.cases.checkpoints import Strikes
from tests.cases.scene import RTT, scene
from tests.shell.scripts import run_against
from tests.shell.support import make_fake, make_sink, wait_until

if TYPE_CHECKING:
    from kinesink import Outcome
    from tests.cases.scene import Scene

LINGER = 0.1


async def test_S1_leaving_resolves_what_is_in_flight_and_closes_the_client_last() -> None:
    """Ten records at 300 ms latency; nothing is raised."""
    async with scene(rtt=0.3) as s:
        outcomes = [await s.put(b"%d" % number, str(number)) for number in range(10)]
        await anyio.sleep(LINGER + 0.01)
        assert s.account().requests == 1
        left_at = s.now
    assert all(outcome.done for outcome in outcomes)
    assert all([(await outcome.wait()).success for outcome in outcomes])
    resolved_at = left_at - 0.01 + 0.3
    assert s.closed_at == [pytest.approx(resolved_at)]


@pytest.mark.parametrize(
    "fault",
    [
        ThrottleEntries(),
        FailEntries(),
        RequestError("InternalFailure", status=500),
        Hang(operation="PutRecords"),
        Latency(operation="PutRecords", answer=10.0),
    ],
)
async def test_S2_the_deadline_of_the_shutdown_ends_every_outcome(
    fault: ThrottleEntries, capfd: pytest.CaptureFixture[str]
) -> None:
    """Delivered or dropped for the shutdown, by then; and the number lost is told."""
    async with scene(shutdown_timeout=2.0) as s:
        assert (await s.deliver(b"delivered", "k")).success
        s.fake.script(fault)
        outcomes = [await s.put(b"%d" % number, str(number)) for number in range(7)]
        for number in range(5):
            s.emit(b"event %d" % number)
        await anyio.sleep(1.0)
        left_at = s.now
    assert anyio.current_time() - left_at == pytest.approx(2.0, abs=0.01)
    results = [await outcome.wait() for outcome in outcomes]
    assert [result.reason for result in results] == [DropReason.SHUTDOWN] * 7
    assert s.account().dropped == {DropReason.SHUTDOWN: 12}
    (told,) = [each.text for each in s.told if each.kind == "shutdown"]
    assert told.startswith("12 events (42 bytes) not delivered to 'app' within 2 s")
    assert not capfd.readouterr().err


async def test_S2_what_can_be_delivered_in_time_is() -> None:
    """Backoffs that end before the deadline cost nothing."""
    async with scene(shutdown_timeout=20.0) as s:
        s.fake.script(FailEntries(times=20), RequestError("InternalFailure", status=500, times=2))
        outcomes = [await s.put(b"%d" % number, str(number)) for number in range(7)]
    assert all([(await outcome.wait()).success for outcome in outcomes])
    assert s.account().lost == 0
    assert not s.kinds()["shutdown"]


async def put_and_wait(s: Scene, data: bytes, results: list[bool]) -> None:
    """Do what an application does."""
    outcome = await s.put(data, "k")
    results.append((await outcome.wait()).success)


async def strike_at(strike: int) -> bool:
    """Cancel one of several tasks at a checkpoint; return whether there was such a one."""
    # So little room that the records wait for each other.
    async with scene(max_pending_bytes=64 * 1024) as s:
        results: list[bool] = []
        strikes = Strikes(strike)

        async def struck(data: bytes) -> None:
            await strikes.run(put_and_wait(s, data, []))

        async with anyio.create_task_group() as tasks:
            for number in range(8):
                if number == 6:
                    # Three are let in, and three are before it in line.
                    tasks.start_soon(struck, b"struck" + bytes(20_000))
                    await anyio.sleep(0.001)
                data = b"%d" % number + bytes(20_000)
                tasks.start_soon(partial(put_and_wait, s, data, results))
                await anyio.sleep(0.001)
        assert results == [True] * 8
        # A record that was accepted before its task was cancelled is on its way.
        await s.settle()
        # All of the room is there again: three of them at once, and not four.
        before = s.now
        for number in range(3):
            await s.put(b"after %d" % number + bytes(20_000), "k")
        assert s.now == before
        with anyio.move_on_after(0.01) as no_room:
            await s.put(b"after all" + bytes(20_000), "k")
        assert no_room.cancelled_caught
    account = s.account()
    assert account.delivered == account.accepted
    assert account.accepted in {8 + 3, 9 + 3}
    return strikes.struck


async def test_S3_a_task_cancelled_at_any_checkpoint_harms_no_other() -> None:
    """In put and in waiting for the outcome: every other one resolves, and no room is lost."""
    strike = 1
    while await strike_at(strike):
        strike += 1
    # One at least waits in line, one for room, one for the outcome.
    assert strike > 3


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
async def test_S4_what_strikes_a_flush_propagates_and_harms_nothing(
    error: type[BaseException] | None,
) -> None:
    """Cancellation or KeyboardInterrupt where it waits."""
    async with scene() as s:
        await s.put(b"x", "k")
        strikes = Strikes(1, error)
        if error is None:
            assert await strikes.run(s.producer.flush()) is None
        else:
            with pytest.raises(error):
                await strikes.run(s.producer.flush())
        assert strikes.struck
        assert (await s.deliver(b"y", "k")).success
        assert await s.producer.flush()
    assert s.account().delivered == 2


async def leave_struck(strike: int) -> bool:
    """Cancel the exit at a checkpoint; return whether there was such a one."""
    strikes = Strikes(strike, armed=False)
    played: list[Scene] = []
    outcomes: list[Outcome] = []
    began: list[float] = []

    async def application() -> None:
        async with scene() as s:
            played.append(s)
            outcomes.extend([await s.put(b"%d" % number, "k") for number in range(3)])
            began.append(s.now)
            strikes.armed = True

    await strikes.run(application())
    (s,) = played
    assert s.now - began[0] <= LINGER + RTT + 1e-6
    assert all(outcome.done for outcome in outcomes)
    s.check()
    with pytest.raises(ClosedError):
        await s.producer.put(b"late")
    assert len(s.closed_at) == 1
    await s.producer.__aexit__(None, None, None)
    assert len(s.closed_at) == 1
    return strikes.struck


async def test_S4_a_cancelled_exit_ends_everything_and_a_second_one_does_nothing() -> None:
    """At any checkpoint of it: every outcome resolves, and the account closes."""
    strike = 1
    while await leave_struck(strike):
        strike += 1
    assert strike > 2


@pytest.mark.parametrize("anyio_backend_name", ["asyncio", "trio"])
def test_S4_ctrl_c_ends_an_exit_that_waits(anyio_backend_name: str) -> None:
    """In a process of its own, whose endpoint never answers: at once, and the loss is told."""
    fake = make_fake()
    fake.script(Hang())
    ran = run_against(
        fake,
        f"""
        import os, signal, sys, threading, time
        import anyio
        import kinesink

        leaving = threading.Event()

        def interrupt():
            leaving.wait()
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGINT)

        async def main():
            threading.Thread(target=interrupt, daemon=True).start()
            config = kinesink.Config.from_environment(stream_name="app", shutdown_timeout=40)
            async with kinesink.Producer(config) as producer:
                await producer.put(b"x")
                leaving.set()

        anyio.run(main, backend={anyio_backend_name!r})
        """,
    )
    assert ran.status != 0
    # On Python 3.10 the loop shows it as the cancellation by which it comes.
    assert "KeyboardInterrupt" in ran.err or (
        sys.version_info < (3, 11) and "CancelledError" in ran.err
    )
    assert "kinesink: 1 event (1 bytes) not delivered to 'app'" in ran.err
    assert ran.seconds < 35
    fake.release()


async def test_S4_an_interrupted_body_propagates_its_interrupt() -> None:
    """And waits for nothing."""
    outcomes: list[Outcome] = []

    async def application() -> None:
        async with scene() as s:
            s.fake.script(Hang(operation="PutRecords"))
            await anyio.sleep(1)
            outcomes.append(await s.put(b"x", "k"))
            raise KeyboardInterrupt

    began = anyio.current_time()
    with pytest.raises(KeyboardInterrupt):
        await application()
    assert anyio.current_time() == pytest.approx(began + LINGER + RTT + 1)
    assert (await outcomes[0].wait()).reason is DropReason.SHUTDOWN


@pytest.mark.parametrize("seconds", [0.0, 0.3, 2.0])
async def test_S5_flush_returns_by_its_timeout(seconds: float) -> None:
    """Whatever is queued; outcomes and statistics stay readable after the close."""
    async with scene(shutdown_timeout=1.0, max_pending_bytes=1 << 20) as s:
        s.fake.script(Hang(operation="PutRecords"))
        outcomes = [await s.put(b"%d" % number, str(number)) for number in range(100)]
        while s.emit(b"event" + bytes(1_000)):
            pass
        began = s.now
        assert not await s.producer.flush(seconds)
        assert s.now - began == pytest.approx(seconds, abs=1e-3)
    assert {(await outcome.wait()).reason for outcome in outcomes} == {DropReason.SHUTDOWN}
    account = s.producer.statistics()
    assert account.dropped[DropReason.SHUTDOWN] > 900
    assert account.dropped[DropReason.QUEUE_FULL] == 1


def test_S5_flush_from_a_plain_thread_returns_by_its_timeout() -> None:
    """With the intake full; in real time, because the thread waits in it."""
    fake = make_fake()
    fake.script(Hang(operation="PutRecords"))
    sink = make_sink(fake, max_pending_bytes=1 << 20, shutdown_timeout=0.1)
    while sink.emit(bytes(10_000)):
        pass
    took: list[float] = []

    def flush() -> None:
        began = time.monotonic()
        assert not sink.flush(timeout=0.2)
        took.append(time.monotonic() - began)

    thread = threading.Thread(target=flush)
    thread.start()
    thread.join(20)
    # An upper bound as generous as a loaded machine needs it, far below the request timeout.
    assert 0.2 <= took[0] <= 3.0
    sink.close()
    # Nobody waits for it any longer; it ends by itself.
    wait_until(lambda: sink.statistics().pending == 0)
    account = sink.statistics()
    assert account.dropped[DropReason.SHUTDOWN] == account.accepted - 1
    fake.release()


async def test_S1_a_scene_measures_the_round_trip_it_promises() -> None:
    """The clock of these tests is exact: linger and one round trip."""
    async with scene() as s:
        began = s.now
        await s.deliver(b"x", "k")
        assert s.now - began == pytest.approx(LINGER + RTT)
