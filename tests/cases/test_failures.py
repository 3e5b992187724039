"""Retry and failure (cases F), from put to consumer, through the real client and its signer."""

# ruff: noqa: N802 - the tests carry the names of the cases

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import anyio
import pytest

from kinesink import DropReason
from kinesink.core.records import ATTEMPTS_KEPT
from kinesink.testing import (
    AccessDenied,
    FailEntries,
    RejectRequest,
    RequestError,
    ThrottleEntries,
    WrongResultCount,
)
from tests.cases.clock import EPOCH, wall_clock
from tests.cases.evidence import Lookups, carried, codes
from tests.cases.scene import APP, RTT, full_jitter, new_fake, scene

if TYPE_CHECKING:
    from kinesink.testing.faults import CallFault
    from kinesink.testing.streams import Put
    from tests.shell.conftest import AwsEnvironment

LINGER = 0.1
CALL = LINGER + RTT

RATE_REFUSALS = (
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "LimitExceededException",
    "KMSThrottlingException",
)


async def test_F1_results_align_by_position_and_neighbours_are_untouched() -> None:
    """Two of four entries are taken, two are retried, and each learns its own fate."""
    async with scene(shards=1, framing="none") as s:
        s.fake.script(ThrottleEntries(positions={1}, times=1), FailEntries(positions={2}, times=1))
        outcomes = [await s.put(data, "k") for data in (b"a", b"b", b"c", b"d")]
        results = [await outcome.wait() for outcome in outcomes]
    assert [codes(result) for result in results] == [
        [None],
        ["ProvisionedThroughputExceededException", None],
        ["InternalFailure", None],
        [None],
    ]
    landed = {record.sequence_number: record.data for record in s.fake.records(APP)}
    assert [landed[result.sequence_number or ""] for result in results] == [b"a", b"b", b"c", b"d"]
    assert carried(s.calls()[0]) == [b"a", b"b", b"c", b"d"]
    assert sorted(data for call in s.calls()[1:] for data in carried(call)) == [b"b", b"c"]
    account = s.account()
    assert (account.delivered, account.retried, account.throttled) == (4, 2, 1)
    assert s.landed() == {b"a": 1, b"b": 1, b"c": 1, b"d": 1}


@pytest.mark.parametrize("level", ["entry", "request"])
async def test_F2_who_prefers_failing_fails_at_the_first_throttle(level: str) -> None:
    """After exactly one attempt."""
    code = RATE_REFUSALS[0]
    async with scene(fail_if_throttled=True) as s:
        s.fake.script(ThrottleEntries() if level == "entry" else RequestError(code))
        began = s.now
        result = await s.deliver(b"x", "k")
        assert s.now - began <= CALL + 0.03
    assert codes(result) == [code]
    assert result.reason is DropReason.THROTTLED
    assert s.account().dropped == {DropReason.THROTTLED: 1}
    assert len(s.calls()) == 1


@pytest.mark.parametrize("drawn", [0.25, 1.0])
async def test_F2_a_throttled_entry_waits_longer_each_time(
    drawn: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each wait is the drawn share of 0.1 s doubled up to 5 s; the history is bounded."""
    full_jitter(monkeypatch, drawn)
    async with scene(shards=1, framing="none") as s:
        fault = ThrottleEntries()
        s.fake.script(fault)
        outcome = await s.put(b"x", "k")
        await s.until(lambda: len(s.calls()) > ATTEMPTS_KEPT + 8, 400, step=1)
        s.fake.faults.remove(fault)
        result = await outcome.wait()
    times = [call.time for call in s.calls()]
    for step, (earlier, later) in enumerate(pairwise(times)):
        wait = later - earlier - RTT
        meant = drawn * min(5.0, 0.1 * 2**step)
        # The waits of all shards end on a common beat of 20 ms.
        assert meant - 1e-6 <= wait <= meant + 0.02 + 1e-6
    assert len(result.attempts) == ATTEMPTS_KEPT == 32
    assert codes(result)[:-1] == [RATE_REFUSALS[0]] * (ATTEMPTS_KEPT - 1)
    assert result.success
    assert s.account().throttled == len(times) - 1


@pytest.mark.parametrize("code", RATE_REFUSALS)
@pytest.mark.parametrize("level", ["entry", "request"])
async def test_F3_any_refusal_for_rate_is_a_throttle(code: str, level: str) -> None:
    """Of an entry or of a whole request: slowed down, counted, tried again."""
    async with scene() as s:
        entry = ThrottleEntries(code=code, times=1)
        whole = RequestError(code, operation="PutRecords", times=1)
        s.fake.script(entry if level == "entry" else whole)
        result = await s.deliver(b"x", "k")
    assert codes(result) == [code, None]
    assert (s.account().throttled, s.account().retried) == (1, 1)
    async with scene(fail_if_throttled=True) as s:
        s.fake.script(entry if level == "entry" else whole)
        assert (await s.deliver(b"x", "k")).reason is DropReason.THROTTLED


@pytest.mark.parametrize("by", [-1, 1, -4])
async def test_F4_a_wrong_number_of_results_credits_nobody(by: int) -> None:
    """All is retried: that is what at least once means."""
    async with scene(shards=1, framing="none") as s:
        s.fake.script(WrongResultCount(by=by, times=1))
        outcomes = [await s.put(b"%d" % number, "k") for number in range(4)]
        results = [await outcome.wait() for outcome in outcomes]
    assert [codes(result) for result in results] == [["WrongRecordCount", None]] * 4
    assert s.landed() == {b"%d" % number: 2 for number in range(4)}
    last = [record.sequence_number for record in s.fake.records(APP)[-4:]]
    assert [result.sequence_number for result in results] == last
    assert (s.account().delivered, s.account().retried) == (4, 4)


async def test_F4_a_number_that_stays_wrong_is_bounded_by_the_time_to_live() -> None:
    """Whatever has landed meanwhile, nothing was acknowledged."""
    async with scene(time_to_live=5.0) as s:
        s.fake.script(WrongResultCount(by=1))
        began = s.now
        result = await s.deliver(b"x", "k")
        assert 5.0 <= s.now - began <= 5.02
    assert result.reason is DropReason.EXPIRED
    *answered, last = codes(result)
    assert last == "Expired"
    # The last call may have had less time left than an answer takes.
    assert set(answered) - {"ReadTimeout"} == {"WrongRecordCount"}
    assert answered.count("ReadTimeout") <= 1


@pytest.mark.parametrize("code", ["ValidationException", "InvalidArgumentException"])
@pytest.mark.parametrize("framing", ["none", "kpl"])
async def test_F5_one_bad_entry_fails_alone(code: str, framing: str) -> None:
    """The request is halved until it is found, out of an aggregated record too."""

    def is_bad(put: Put) -> bool:
        return b"bad" in put.data

    async with scene(shards=4, framing=framing) as s:
        s.fake.script(RejectRequest(code=code, entry=is_bad))
        outcomes = {
            data: await s.put(data, str(number))
            for number, data in enumerate([*(b"%d" % n for n in range(40)), b"bad", b"last"])
        }
        began = s.now
        results = {data: await outcome.wait() for data, outcome in outcomes.items()}
        assert s.now - began <= 2.0
    bad = results.pop(b"bad")
    assert bad.reason is DropReason.REJECTED
    assert bad.error is not None
    assert code in bad.error
    assert all(result.success for result in results.values())
    assert s.landed() == dict.fromkeys(results, 1)
    assert s.account().dropped == {DropReason.REJECTED: 1}
    # Two halves at each step down to one of 42 entries.
    assert len(s.calls()) <= 2 * 6 + 4


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (RequestError("ResourceNotFoundException", "no such stream"), "ResourceNotFoundException"),
        (AccessDenied(operation="PutRecords"), "AccessDeniedException"),
        (RejectRequest(code="ValidationException"), "ValidationException"),
    ],
)
async def test_F6_a_permanent_error_fails_at_once_and_loudly(fault: CallFault, code: str) -> None:
    """With its reason and not at the end of the time to live; one line says so."""
    async with scene() as s:
        s.fake.script(fault)
        began = s.now
        result = await s.deliver(b"x", "k")
        assert s.now - began <= CALL + 0.03
        told = [each for each in s.told if code in each.text]
        s.fake.faults.clear()
        await anyio.sleep(60)
        assert (await s.deliver(b"repaired", "k")).success
    assert result.reason is DropReason.REJECTED
    assert result.error is not None
    assert result.error.startswith(code)
    assert codes(result) == [code]
    assert len(told) == 1
    assert APP in told[0].text


async def test_F7_an_expired_token_is_renewed_once_for_all_requests_in_flight(
    aws: AwsEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request is signed anew and sent again at once, and no backoff has begun."""
    full_jitter(monkeypatch)
    aws.set_keys(token="first")
    async with scene(shards=8, framing="none", shard_rate_limit=float("inf")) as s:
        lookups = Lookups(monkeypatch)
        s.fake.expired_tokens.add("first")
        aws.set_keys(token="second")
        began = s.now
        outcomes = [await s.put(b"%d" % number, str(number)) for number in range(2_000)]
        results = [await outcome.wait() for outcome in outcomes]
        assert s.now - began <= LINGER + 2 * RTT + 0.03
        assert lookups.count == 1
        assert {tuple(codes(result)) for result in results} == {("ExpiredTokenException", None)}
        # A fault that follows waits the first step of the backoff: none was used up.
        s.fake.script(RequestError("InternalFailure", status=500, times=1))
        result = await s.deliver(b"x", "k")
    first, second = result.attempts
    assert second.started - first.started - first.duration == pytest.approx(0.05, abs=0.001)
    by_token = [call.headers["x-amz-security-token"] for call in s.calls()]
    assert by_token[:8] == ["first"] * 4 + ["second"] * 4
    assert s.landed() == {**{b"%d" % number: 1 for number in range(2_000)}, b"x": 1}


async def test_F7_a_token_that_stays_expired_is_bounded_by_the_time_to_live(
    aws: AwsEnvironment,
) -> None:
    """Events are kept until then, and the operator is told."""
    aws.set_keys(token="first")
    async with scene(time_to_live=20.0) as s:
        s.fake.expired_tokens.add("first")
        began = s.now
        result = await s.deliver(b"x", "k")
        assert 20.0 <= s.now - began <= 20.02
    assert result.reason is DropReason.EXPIRED
    assert s.kinds()["ExpiredTokenException"] == 1


@pytest.mark.parametrize("skew", [-3_600.0, -301.0, 301.0, 86_400.0])
async def test_F8_a_wrong_clock_is_corrected_from_the_answer(skew: float) -> None:
    """The request is signed anew and retried; later ones are right at first try."""
    offset = [0.0]
    async with scene(local_clock=lambda: wall_clock() + offset[0]) as s:
        s.fake.check_clock = True
        offset[0] = skew
        began = s.now
        result = await s.deliver(b"x", "k")
        assert s.now - began <= LINGER + 2 * RTT + 0.03
        assert codes(result) == ["InvalidSignatureException", None]
        for number in range(5):
            later = await s.deliver(b"later %d" % number, "k")
            assert codes(later) == [None]
    assert len(s.calls()) == 7
    assert not s.told


@pytest.mark.parametrize("trouble", ["clock", "token"])
async def test_F7_F8_a_start_with_a_wrong_clock_or_an_old_token_is_repaired_at_once(
    trouble: str, aws: AwsEnvironment
) -> None:
    """The questions about the stream are signed anew and sent again like any request."""
    aws.set_keys(token="first")
    fake = new_fake(2)
    if trouble == "clock":
        fake.check_clock = True
    else:
        fake.expired_tokens.add("first")
    skew = 1_000.0 if trouble == "clock" else 0.0
    # Two round trips fit into the linger.
    async with scene(fake, warm=False, rtt=0.04, local_clock=lambda: wall_clock() + skew) as s:
        began = s.now
        outcomes = [await s.put(b"%d" % number, str(number)) for number in range(20)]
        # The first keys have been read; the next look finds others.
        await anyio.sleep(0.02)
        aws.set_keys(token="second")
        results = [await outcome.wait() for outcome in outcomes]
        assert s.now - began <= LINGER + 2 * 0.04 + 0.03
        assert all(result.success for result in results)
        assert (s.account().refreshes, len(s.calls("ListShards"))) == (1, 2)
        assert len(s.calls("DescribeStreamSummary")) == 2
        # The map was there in time: one aggregated record for each shard, and no alarm.
        assert len(s.records()) == 2
        assert not s.told


async def test_F8_refused_again_with_the_right_time_it_is_permanent() -> None:
    """Then it is not the clock."""
    async with scene() as s:
        s.fake.script(
            RequestError("InvalidSignatureException", "Signature expired: 1 is now earlier than 2")
        )
        result = await s.deliver(b"x", "k")
        s.fake.faults.clear()
        await anyio.sleep(60)
    assert codes(result) == ["InvalidSignatureException"] * 2
    assert result.reason is DropReason.REJECTED
    assert s.kinds()["InvalidSignatureException"] == 1


async def test_F8_every_attempt_carries_a_fresh_signature_and_date() -> None:
    """Whatever the request, and however long it is retried."""
    async with scene(warm=False) as s:
        s.fake.script(RequestError("InternalFailure", status=500, times=30))
        await s.put(b"x", "k")
        await anyio.sleep(120)
    calls = [call for call in s.fake.calls if call.time > EPOCH]
    assert len(calls) > 30
    for call in calls:
        assert call.headers["x-amz-date"] == amz_date(call.time - RTT / 2)
    signatures = {(call.operation, call.headers["authorization"]) for call in calls}
    moments = {(call.operation, call.headers["x-amz-date"]) for call in calls}
    assert len(signatures) == len(moments)


def amz_date(moment: float) -> str:
    """Return a moment as signatures show it."""
    from datetime import datetime, timezone  # noqa: PLC0415 - for this alone

    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y%m%dT%H%M%SZ")
