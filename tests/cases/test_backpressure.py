"""Backpressure and overflow (cases B)."""

# ruff: noqa: N802 - the tests carry the names of the cases

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import anyio
import pytest

from kinesink import ClosedError, DropReason
from kinesink.core.records import ATTEMPTS_KEPT
from kinesink.shell.intake import EVENT_OVERHEAD_BYTES
from kinesink.testing import Hang, RequestError, Reset
from kinesink.testing.exchange import Ending
from tests.cases.scene import RTT, scene

if TYPE_CHECKING:
    from kinesink import Outcome
    from kinesink.core.pipeline import Pipeline
    from kinesink.testing.faults import Fault
    from tests.cases.scene import Scene

LIMIT = 64 * 1024
LINGER = 0.1


@pytest.mark.parametrize("size", [0, 10_000])
async def test_B1_put_waits_at_the_limit_and_goes_on_with_the_first_completion(size: int) -> None:
    """Of events, which count for their overhead, or of bytes."""
    fits = LIMIT // (size + EVENT_OVERHEAD_BYTES)
    async with scene(max_pending_bytes=LIMIT, shard_rate_limit=float("inf")) as s:
        began = s.now
        for _ in range(fits):
            await s.put(bytes(size), "k")
        assert s.now == began
        with anyio.move_on_after(LINGER + RTT - 0.01) as waited:
            await s.put(bytes(size), "k")
        assert waited.cancelled_caught
        # The first answer makes room, and whoever waits for it waits no longer.
        await s.put(bytes(size), "k")
        assert s.now == pytest.approx(began + LINGER + RTT)
        assert s.account().accepted == fits + 1


async def test_B1_a_hundred_waiting_tasks_are_let_in_in_the_order_they_came() -> None:
    """Room made for some lets some in; in the end all are delivered."""
    came: list[int] = []
    let_in: list[int] = []
    async with scene(max_pending_bytes=LIMIT) as s:

        async def application(number: int) -> None:
            came.append(number)
            outcome = await s.put(b"%03d" % number + bytes(20_000), "k")
            let_in.append(number)
            assert (await outcome.wait()).success

        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(application, number)
                await anyio.sleep(0.0001)
        assert s.account().delivered == 100
    assert let_in == came


async def test_B2_emit_neither_waits_nor_raises_and_the_overflow_is_counted() -> None:
    """What does not fit is dropped with the reason, and told once."""
    async with scene(max_pending_bytes=LIMIT) as s:
        s.fake.script(Hang(operation="PutRecords"))
        began = s.now
        taken = [s.emit(b"%04d" % number + bytes(996)) for number in range(1_000)]
        assert s.now == began
        fits = LIMIT // (1_000 + EVENT_OVERHEAD_BYTES)
        assert taken == [True] * fits + [False] * (1_000 - fits)
        await anyio.sleep(1)
        account = s.account()
        assert (account.accepted, account.pending) == (1_000, fits)
        assert account.dropped == {DropReason.QUEUE_FULL: 1_000 - fits}
        told = [each.text for each in s.told if each.kind == "dropped:queue_full"]
        assert len(told) == 1
        assert f"{1_000 - fits} events dropped" in told[0]
        s.fake.faults.clear()
        s.fake.release()
        await s.settle()
        # There is room again.
        assert s.emit(b"after")
    assert s.account().delivered == fits + 1


async def test_B3_who_waits_for_room_is_told_when_the_producer_closes() -> None:
    """Each with a clear error, at once, and nothing of theirs was accepted."""
    told: list[float] = []
    async with (
        anyio.create_task_group() as tasks,
        scene(max_pending_bytes=LIMIT, shutdown_timeout=2.0) as s,
    ):
        s.fake.script(Hang(operation="PutRecords"))
        await s.put(bytes(60_000), "k")

        async def application() -> None:
            with pytest.raises(ClosedError, match="'app' is not open"):
                await s.producer.put(bytes(10_000), "k")
            told.append(s.now)

        for _ in range(20):
            tasks.start_soon(application)
        await anyio.sleep(0.5)
        assert not told
        left_at = s.now
    assert told == [left_at] * 20
    assert s.account().accepted == 1


def things_within(*roots: object) -> int:
    """Count what some objects of the core hold, however deep."""
    seen: set[int] = set()
    left: list[object] = list(roots)
    while left:
        thing = left.pop()
        if id(thing) in seen or isinstance(thing, type) or callable(thing):
            continue
        seen.add(id(thing))
        left += gc.get_referents(thing)
    return len(seen)


DOWN: list[Fault] = [
    RequestError("InternalFailure", status=500),
    RequestError("ServiceUnavailable", status=503),
    Reset(ending=Ending.REFUSE),
    Hang(),
]


async def load(s: Scene, seconds: int, outcomes: list[Outcome]) -> None:
    """Go on as before: ten events a second, some of which somebody waits for."""
    for _ in range(seconds * 2):
        outcomes.append(await s.put(b"%d" % len(outcomes), "k"))
        for number in range(4):
            s.emit(b"event %d" % number, "k" if number % 2 else None)
        await anyio.sleep(0.5)


@pytest.mark.parametrize("fault", DOWN)
async def test_B4_an_outage_longer_than_the_time_to_live_leaves_no_trace(
    fault: Fault, pipelines: list[Pipeline]
) -> None:
    """Memory and histories stay bounded; once it is back, new events do not wait for long."""
    outcomes: list[Outcome] = []
    async with scene(time_to_live=20.0) as s:
        await load(s, 5, outcomes)
        s.fake.script(fault)
        sizes = []
        for _ in range(3):
            await load(s, 40, outcomes)
            sizes.append(things_within(*pipelines))
            # What has come in the last 20 seconds, and a little more.
            assert s.pending <= 10 * 21
        # A leak of two objects per event would more than double it.
        assert max(sizes) <= 2 * sizes[0]
        s.fake.faults.clear()
        s.fake.release()
        back_at = s.now
        result = await s.deliver(b"new", "k")
        # The longest backoff of calls is 15 s.
        assert result.success
        assert s.now - back_at <= 15 + LINGER + RTT
        await s.settle()
        began = s.now
        assert (await s.deliver(b"newer", "k")).success
        assert s.now - began <= LINGER + RTT + 0.03
    results = [await outcome.wait() for outcome in outcomes]
    assert max(len(result.attempts) for result in results) <= ATTEMPTS_KEPT
    assert {result.reason for result in results} == {None, DropReason.EXPIRED}
    # All but the first five and the last twenty seconds were lost to the outage.
    expired = s.account().dropped[DropReason.EXPIRED]
    assert 10 * (120 - 21) <= expired <= 10 * 121


async def test_B4_history_of_a_record_stays_bounded_however_often_it_is_tried() -> None:
    """The newest attempts are kept."""
    async with scene(time_to_live=600.0) as s:
        fault = RequestError("InternalFailure", status=500)
        s.fake.script(fault)
        outcome = await s.put(b"x", "k")
        await s.until(lambda: len(s.calls()) > 1.5 * ATTEMPTS_KEPT, 590, step=1)
        s.fake.faults.remove(fault)
        result = await outcome.wait()
    assert len(result.attempts) == ATTEMPTS_KEPT
    assert result.attempts[-1].success
    assert result.attempts[0].started > s.calls()[0].time + 30
