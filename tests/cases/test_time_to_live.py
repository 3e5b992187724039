"""Time to live (cases T), from put to outcome."""

# ruff: noqa: N802 - the tests carry the names of the cases

from __future__ import annotations

import anyio
import pytest

from kinesink import DropReason
from kinesink.core.aggregated_record import decode
from kinesink.testing import (
    FailEntries,
    Hang,
    RawAnswer,
    RequestError,
    Reset,
    ThrottleEntries,
    Truncate,
    WrongResultCount,
)
from tests.cases.evidence import carried, codes
from tests.cases.scene import RTT, full_jitter, scene

LINGER = 0.1
NAP = 0.02


@pytest.mark.parametrize("time_to_live", [0.5, 2.0, 20.0])
async def test_T1_a_call_that_hangs_holds_no_outcome_up(time_to_live: float) -> None:
    """It is there when the time to live ends, and the call ends as well."""
    async with scene(time_to_live=time_to_live) as s:
        s.fake.script(Hang(operation="PutRecords"))
        began = s.now
        result = await s.deliver(b"x", "k")
        assert time_to_live <= s.now - began <= time_to_live + NAP
        # A call has a second at least, and the request timeout at most.
        await anyio.sleep(1.0 + NAP)
        assert s.fake.hanging == 0
    assert result.reason is DropReason.EXPIRED
    assert codes(result)[-1] == "Expired"
    for call, attempt in zip(s.calls(), result.attempts, strict=False):
        left = time_to_live - (call.time - RTT / 2 - (began + s.fake.clock() - s.now))
        assert attempt.duration <= max(1.0, min(6.0, left)) + 1e-6


async def test_T2_recorded_attempts_are_the_calls_that_carried_the_record() -> None:
    """Whatever goes wrong, nothing below the producer retries on its own."""
    async with scene(shards=3, framing="none", request_timeout=2.0) as s:
        s.fake.script(
            RequestError("InternalFailure", status=500, share=0.1, operation="PutRecords"),
            Reset(share=0.1, operation="PutRecords"),
            Reset(share=0.1, applied=True, operation="PutRecords"),
            RawAnswer(503, share=0.1, operation="PutRecords"),
            Truncate(share=0.1, operation="PutRecords"),
            WrongResultCount(share=0.1),
            Hang(share=0.05, operation="PutRecords"),
            ThrottleEntries(share=0.1),
            FailEntries(share=0.1),
        )
        outcomes = {}
        for number in range(60):
            data = b"%d" % number
            outcomes[data] = await s.put(data, str(number))
            await anyio.sleep(0.05)
        results = {data: await outcome.wait() for data, outcome in outcomes.items()}
        # What has been cancelled while it hung has been carried as well.
        calls = [data for call in s.calls() for data in carried(call)]
    assert all(result.success for result in results.values())
    attempts = {data: len(result.attempts) for data, result in results.items()}
    assert attempts == {data: calls.count(data) for data in outcomes}
    assert max(attempts.values()) > 2
    assert s.account().retried == sum(attempts.values()) - 60


async def test_T3_a_record_queued_for_rate_expires_once_at_its_time() -> None:
    """Counted from its arrival, whatever it has been through."""
    async with scene(shards=1, framing="none", time_to_live=10.0, shard_rate_limit=0.01) as s:
        fault = FailEntries(entry=lambda put: put.data == b"old")
        s.fake.script(fault)
        began = s.now
        old = await s.put(b"old", "k")
        await anyio.sleep(9.0)
        tried = [data for call in s.calls() for data in carried(call)].count(b"old")
        assert tried > 2
        # From here on it waits in a line that moves by ten records a second.
        s.fake.faults.remove(fault)
        s.fake.script(ThrottleEntries())
        result = await old.wait()
        assert 10.0 <= s.now - began <= 10.0 + NAP
        s.fake.faults.clear()
        await anyio.sleep(30)
        assert s.account().dropped == {DropReason.EXPIRED: 1}
    assert result.reason is DropReason.EXPIRED
    assert codes(result).count("Expired") == 1
    assert codes(result)[-1] == "Expired"
    assert s.account().dropped == {DropReason.EXPIRED: 1}
    assert s.account().pending == 0


@pytest.mark.parametrize("waits", ["for rate", "to be retried", "for an answer"])
async def test_T4_of_mixed_ages_only_the_oldest_expire(
    waits: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The younger ones of the same aggregated record go on, and arrive."""
    full_jitter(monkeypatch, 0.1)  # no backoff reaches beyond their own time to live
    fault = {
        "for rate": ThrottleEntries(),
        "to be retried": FailEntries(),
        "for an answer": Hang(operation="PutRecords"),
    }[waits]
    async with scene(shards=1, linger=1.0, time_to_live=3.0) as s:
        s.fake.script(fault)
        began = s.now
        old = [await s.put(b"old %d" % number, "k") for number in range(5)]
        await anyio.sleep(0.9)
        young = [await s.put(b"young %d" % number, "k") for number in range(5)]
        for outcome in old:
            result = await outcome.wait()
            assert result.reason is DropReason.EXPIRED
            assert codes(result).count("Expired") == 1
        assert 3.0 <= s.now - began <= 3.0 + NAP
        assert not any(outcome.done for outcome in young)
        assert s.account().dropped == {DropReason.EXPIRED: 5}
        assert s.account().pending == 5
        s.fake.faults.clear()
        s.fake.release()
        assert all([(await outcome.wait()).success for outcome in young])
        assert s.now - began <= 3.9
    # They had travelled together.
    first = carried(s.calls()[0])
    assert [len(decode(data) or ()) for data in first] == [10]


async def test_T4_without_anybody_waiting_the_same_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events of a log call, by their number."""
    full_jitter(monkeypatch, 0.1)
    async with scene(shards=1, linger=1.0, time_to_live=3.0) as s:
        s.fake.script(ThrottleEntries())
        for number in range(5):
            s.emit(b"old %d" % number)
        await anyio.sleep(0.9)
        for number in range(5):
            s.emit(b"young %d" % number)
        await anyio.sleep(2.2)
        assert s.account().dropped == {DropReason.EXPIRED: 5}
        s.fake.faults.clear()
    assert s.account().delivered == 5
    assert sorted(s.copies()) == [b"young %d" % number for number in range(5)]
