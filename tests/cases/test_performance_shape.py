"""The shape of the cost (cases P): counted, not timed; and the latency on a virtual clock."""

# ruff: noqa: N802 - the tests carry the names of the cases

from __future__ import annotations

import asyncio
import threading
from collections import Counter

import anyio
import pytest

from kinesink.core.limits import MIB
from tests.cases.scene import APP, RTT, TOP, new_fake, scene

LINGER = 0.1


class Counted:
    """Counts what an event loop and the threads are asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
        self.counts: Counter[str] = Counter()
        self._patch = monkeypatch
        self._count(threading, "Lock", "lock")
        self._count(threading, "RLock", "lock")
        self._count(threading, "Thread", "thread")
        if backend == "asyncio":
            loop = asyncio.get_running_loop()
            for name, what in (
                ("call_soon", "callback"),
                ("call_soon_threadsafe", "callback"),
                ("call_at", "timer"),
                ("create_task", "task"),
                ("create_future", "future"),
            ):
                self._count(loop, name, what)
        else:
            self._count_in_trio()

    def _count(self, owner: object, name: str, what: str) -> None:
        original = getattr(owner, name)

        def counted(*arguments: object, **keywords: object) -> object:
            self.counts[what] += 1
            return original(*arguments, **keywords)

        self._patch.setattr(owner, name, counted)

    def _count_in_trio(self) -> None:
        import trio  # noqa: PLC0415 - an extra

        counts = self.counts

        class Instrument(trio.abc.Instrument):
            def task_spawned(self, task: trio.lowlevel.Task) -> None:
                del task
                counts["task"] += 1

            def before_task_step(self, task: trio.lowlevel.Task) -> None:
                del task
                counts["callback"] += 1

        trio.lowlevel.add_instrument(Instrument())


async def test_P1_an_event_costs_no_task_lock_future_or_timer(
    monkeypatch: pytest.MonkeyPatch, anyio_backend_name: str
) -> None:
    """Six times the events in as many turns and requests: the same number of each."""
    small: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for events in (10_000, 60_000):
        with monkeypatch.context() as patch:
            async with scene(new_fake(4), aggregate_max_bytes=MIB - 1) as s:
                turns = 10_000 // 1_000
                counted = Counted(patch, anyio_backend_name)
                emit = s.intake.put
                for _ in range(turns):
                    for _ in range(events // turns):
                        emit(b"x", 1)
                    await anyio.sleep(0.001)
                s.emitted[b"x"] += events
                await s.settle()
                counts = Counter(counted.counts)
                requests = s.account().requests
        assert counts["lock"] == counts["thread"] == 0
        # Loop callbacks grow with requests and with time, and so does all else.
        assert counts["callback"] <= 60 * (requests + turns)
        small = small or counts
        assert sum(counts.values()) <= 2 * sum(small.values()) + 40 * requests
        assert sum(counts.values()) < events / 5
    assert sum(counts.values()) < 60_000 / 40


@pytest.mark.parametrize("load", ["quiet shards", "a thousand a second", "without key"])
async def test_P5_latency_is_the_linger_and_a_round_trip(load: str) -> None:
    """And 50 ms at most on top of them, for 99 of 100 events."""
    emitted: dict[bytes, float] = {}
    async with scene(new_fake(16)) as s:
        epoch = s.fake.clock() - s.now
        seconds, rate = (5, 200) if load == "quiet shards" else (2, 1_000)
        for number in range(seconds * rate):
            data = b"%d" % number
            emitted[data] = s.now
            if load == "without key":
                s.emit(data)
            else:
                s.emit(data, "k", (TOP + 1) // 16 * (number * 5 % 16))
            await anyio.sleep(1 / rate)
        await s.settle()
    acknowledged = {
        read.data: read.arrival - epoch + RTT / 2
        for read in s.fake.user_records(APP)
        if read.data in emitted
    }
    latencies = sorted(acknowledged[data] - at for data, at in emitted.items())
    assert len(latencies) == seconds * rate
    assert latencies[len(latencies) * 99 // 100] <= LINGER + RTT + 0.05
    assert latencies[len(latencies) // 2] <= LINGER + RTT + 0.01
    assert latencies[-1] <= LINGER + RTT + 0.05
