"""Accounting (cases N)."""

# ruff: noqa: N802 - the tests carry the names of the cases

from __future__ import annotations

import threading
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from kinesink import DropReason, Statistics
from kinesink.testing import (
    FailEntries,
    Hang,
    Latency,
    RequestError,
    Reset,
    ThrottleEntries,
    WrongResultCount,
)
from tests.cases.clock import EPOCH, wall_clock
from tests.cases.scene import APP, RTT, TOP, scene
from tests.shell.support import adds_up

if TYPE_CHECKING:
    from tests.cases.scene import Scene

LINGER = 0.1


async def everything_happens(s: Scene, turns: int) -> None:
    """Play a bit of every case: throttles, faults, a reshard, invalid events, expiry."""
    s.fake.script(
        RequestError("InternalFailure", status=500, share=0.1),
        Reset(share=0.05, applied=True),
        ThrottleEntries(share=0.1),
        FailEntries(share=0.1),
        WrongResultCount(share=0.05),
        Hang(share=0.02, operation="PutRecords"),
    )
    for turn in range(turns):
        if turn in {10, 30}:
            s.fake.update_shard_count(APP, 3 if turn == 10 else 2)
        await s.put(b"put %d" % turn, str(turn))
        for number in range(5):
            s.emit(b"%d/%d" % (turn, number), None if number % 2 else str(number))
        if turn % 10 == 0:
            s.emit(b"invalid", "")
            s.emit(bytes(1 << 20), "too large")
        await anyio.sleep(0.05)


async def test_N1_the_account_adds_up_at_any_moment_from_any_thread() -> None:
    """Accepted is delivered, dropped and pending, whatever happens meanwhile."""
    over = threading.Event()
    wrong: list[Statistics] = []
    readings = [0]

    async def look_at_every_turn(s: Scene) -> None:
        while True:
            s.look()
            assert adds_up(s.intake.statistics())
            await anyio.sleep(0.01)

    async with scene(time_to_live=5.0) as s:

        def look_from_outside() -> None:
            while not over.is_set():
                reading = s.intake.statistics()
                readings[0] += 1
                if not adds_up(reading):
                    wrong.append(reading)

        thread = threading.Thread(target=look_from_outside)
        thread.start()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(look_at_every_turn, s)
                await everything_happens(s, 100)
                await s.settle()
                tasks.cancel_scope.cancel()
        finally:
            over.set()
            thread.join()
    assert not wrong
    assert readings[0] > 0
    account = s.account()
    assert account.accepted == 100 * 6 + 20
    assert account.dropped[DropReason.INVALID] == 10
    assert account.dropped[DropReason.TOO_LARGE] == 10
    # What a sink shows in the end is what the producer has counted.
    assert s.intake.statistics() == s.producer.statistics()


@pytest.mark.parametrize(
    "parameters",
    [
        {"framing": "none"},
        {"framing": "lines"},
        {"framing": "lines", "compression": "gzip"},
        {"protocol": "cbor"},
        {"record_distribution": "auto"},
        {"linger": 0.0},
        {"max_requests_in_flight": 1},
        {"fail_if_throttled": True},
    ],
    ids=str,
)
async def test_N1_the_account_closes_whatever_is_configured(parameters: dict[str, Any]) -> None:
    """And a consumer sees what counts as delivered: records, or lines."""
    async with scene(time_to_live=5.0, **parameters) as s:
        await everything_happens(s, 40)
    account = s.account()
    assert account.accepted == 40 * 6 + 8
    assert account.delivered > 120


def minus(after: Statistics, before: Statistics) -> dict[str, int]:
    """Return what has happened between two readings, as whoever exports them computes it."""
    counters = [spec.name for spec in fields(Statistics) if spec.name != "dropped"]
    found = {name: getattr(after, name) - getattr(before, name) for name in counters}
    return {name: count for name, count in found.items() if count}


async def test_N2_each_observation_counts_once_however_often_it_is_read() -> None:
    """Totals are right after minutes, and differences say what happened between two readings."""
    async with scene(shards=1) as s:
        total = 0
        for minute in range(20):
            before = s.producer.statistics()
            for number in range(minute):
                s.emit(b"%02d/%02d" % (minute, number))
                # However often somebody looks.
                assert s.producer.statistics() == s.producer.statistics()
            await anyio.sleep(60)
            after = s.producer.statistics()
            total += minute
            happened = minus(after, before)
            assert happened.get("accepted", 0) == happened.get("delivered", 0) == minute
            assert happened.get("delivered_bytes", 0) == 5 * minute
            assert happened.get("requests", 0) == happened.get("entries", 0) == bool(minute)
            assert not {"pending", "retried", "throttled", "wrong_shard"} & set(happened)
        assert s.account().delivered == total == 190


async def test_N3_what_is_told_has_wall_clock_time_and_deadlines_have_not() -> None:
    """A wall clock that is set back or forward moves no deadline."""
    offset = [0.0]
    async with scene(
        local_clock=lambda: wall_clock() + offset[0], time_to_live=5.0, shard_rate_limit=1.0
    ) as s:
        began = s.now
        result = await s.deliver(b"x", "k")
        (attempt,) = result.attempts
        # Since the epoch, not since the start of some machine.
        assert attempt.started == pytest.approx(EPOCH + began + LINGER)
        assert attempt.duration == pytest.approx(RTT)
        s.fake.script(RequestError("InternalFailure", status=500))
        began = s.now
        outcome = await s.put(b"y", "k")
        await anyio.sleep(2)
        offset[0] = -86_400.0
        await anyio.sleep(2)
        offset[0] = 86_400.0
        result = await outcome.wait()
        assert s.now == pytest.approx(began + 5.0, abs=0.02)
    expiry = result.attempts[-1]
    assert expiry.error_code == "Expired"
    assert expiry.started == pytest.approx(EPOCH + began + 5.0, abs=0.02)
    assert all(0 <= attempt.duration <= RTT + 1e-6 for attempt in result.attempts)


async def test_N4_copies_count_once_and_shards_have_one_spelling() -> None:
    """After a wrong shard, and after an answer that came too late."""
    async with scene(shards=1, request_timeout=1.0) as s:
        s.fake.script(Latency(operation="PutRecords", answer=3.0, times=1))
        late = await s.deliver(b"late", "k", hash_key=0)
        s.fake.split_shard(APP, s.fake.open_shards(APP)[0].shard_id)
        outcomes = [
            await s.put(b"low", "k", 0),
            await s.put(b"high", "k", TOP),
        ]
        astray = [await outcome.wait() for outcome in outcomes]
        s.fake.script(ThrottleEntries(times=1))
        throttled = await s.deliver(b"throttled", "k")
    assert s.landed() == {b"late": 2, b"low": 2, b"high": 2, b"throttled": 1}
    account = s.account()
    assert (account.accepted, account.delivered) == (4, 4)
    # "late" once more, the two of the split once more, the throttled one once more.
    assert (account.retried, account.throttled, account.wrong_shard) == (4, 1, 1)
    ids = {shard.shard_id for shard in s.fake.shards(APP)}
    spelled = {
        attempt.shard_id
        for result in (late, *astray, throttled)
        for attempt in result.attempts
        if attempt.success
    }
    assert spelled <= ids
    assert len(spelled) == 3
