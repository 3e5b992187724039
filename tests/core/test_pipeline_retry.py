"""Retry and failure (cases F), on the core alone."""

# ruff: noqa: N802 - the tests carry the names of the cases

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kinesink.core.entry import Entry
from kinesink.core.options import PipelineOptions
from kinesink.core.records import Answered, Chunk, DropReason, EntryResult, Failure, StreamSummary
from kinesink.core.retry_policy import OWN_ERROR
from kinesink.testing.streams import AUTO
from tests.core.world import (
    DENIED,
    FAULT,
    OPEN_RATE,
    THROTTLED,
    World,
    codes,
    hang,
    refuse,
    reply,
    result_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.core.collector import PutRecordsRequest
    from kinesink.core.records import PutRecordsEntry

EXPIRED = Failure("ExpiredTokenException", "The security token included in the request is expired")
CLOCK = Failure("InvalidSignatureException", "Signature expired: 20180920T174101Z is now earlier")
STALE = Failure("StaleConnection", "closed by the other end")
INVALID = Failure("ValidationException", "1 validation error detected")
RESET = Failure("ConnectionReset", "reset by peer")
BROKEN = Failure("InternalFailure", "oops", 500)

ALONE = PipelineOptions(framing="none", shard_rate_limit=OPEN_RATE)


def ready(options: PipelineOptions = ALONE, *, shards: int = 1) -> World:
    """Return a world whose map is known and where each event is an entry."""
    world = World(shards=shards, options=options)
    world.run(0.5)
    return world


def test_F1_results_align_by_position_and_neighbours_are_untouched() -> None:
    """Two are delivered, two are retried, and what they are told is their own."""
    world = ready()

    def mixed(request: PutRecordsRequest) -> Answered:
        ok = [world.write_entry(request, i) for i in (0, 3)]
        return Answered([ok[0], THROTTLED, FAULT, ok[1]])

    world.script.append(mixed)
    records = [world.keyed(b"%d" % i, waited=True) for i in range(4)]
    world.run(0.121)
    assert [result_of(records[i]).success for i in (0, 3)] == [True, True]
    assert world.pipeline.ledger.pending == 2
    world.run()
    assert codes(records[1]) == [THROTTLED.error_code, None]
    assert codes(records[2]) == [FAULT.error_code, None]
    assert world.copies == {b"0": 1, b"1": 1, b"2": 1, b"3": 1}
    world.check(delivered=4)


def test_F1_entries_put_back_in_line_keep_their_order() -> None:
    """Those refused together go again together, oldest first."""
    world = ready()
    world.script.append(lambda request: Answered([THROTTLED] * len(request.wire)))
    for i in range(5):
        world.keyed(b"%d" % i)
    world.run()
    assert world.written == [b"0", b"1", b"2", b"3", b"4"]
    world.check(delivered=5)


def test_F2_failing_on_throttling_takes_exactly_one_attempt() -> None:
    """Some callers prefer failing to waiting, for one entry and for a whole request."""
    world = ready(PipelineOptions(fail_if_throttled=True))
    world.script.append(lambda _: Answered([THROTTLED]))
    world.script.append(refuse(Failure("LimitExceededException", "slow")))
    first = world.keyed(b"a", waited=True)
    world.run()
    second = world.keyed(b"b", waited=True)
    world.run()
    assert codes(first) == [THROTTLED.error_code]
    assert codes(second) == ["LimitExceededException"]
    assert world.lost(DropReason.THROTTLED) == 2
    world.check(delivered=0)


def test_F2_throttled_entry_waits_longer_each_time_and_remembers_a_bounded_history() -> None:
    """The delays double up to the cap; the newest attempts are kept."""
    world = ready()
    world.always = lambda _: Answered([THROTTLED])
    record = world.keyed(b"a", waited=True)
    world.run(200)
    waits = [b - a for a, b in zip(world.sent_at, world.sent_at[1:], strict=False)]
    assert waits[:7] == pytest.approx([0.12, 0.22, 0.42, 0.82, 1.62, 3.22, 5.02], abs=0.03)
    world.always = world.write
    world.run(6)
    assert result_of(record).success
    assert len(result_of(record).attempts) == 32
    world.check(delivered=1)


@pytest.mark.parametrize(
    "code",
    [
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "LimitExceededException",
        "KMSThrottlingException",
    ],
)
def test_F3_any_rate_refusal_of_a_request_counts_as_throttled(code: str) -> None:
    """It slows the stream down and is tried again."""
    world = ready()
    world.script.append(refuse(Failure(code, "slow down")))
    world.keyed(b"a")
    world.keyed(b"b")
    world.run(3)
    assert world.pipeline.ledger.throttled == 2
    assert world.sent_at[1] - world.sent_at[0] == pytest.approx(1.02, abs=0.05)
    world.check(delivered=2)


@pytest.mark.parametrize("results", [0, 1, 3])
def test_F4_wrong_number_of_results_is_retried_whole(results: int) -> None:
    """No entry is credited with another's result."""
    world = ready()
    world.script.append(lambda _: Answered([EntryResult("shardId-000000000000", "1")] * results))
    records = [world.keyed(b"a", waited=True), world.keyed(b"b", waited=True)]
    world.run()
    assert [codes(record) for record in records] == [["WrongRecordCount", None]] * 2
    world.check(delivered=2)


def poison(world: World, bad: bytes) -> None:
    """Refuse each request that holds the bad data, as a whole."""

    def answer(request: PutRecordsRequest) -> Answered | Failure:
        if any(bad in slot.data for slot in request.wire):
            return INVALID
        return world.write(request)

    world.always = answer


@pytest.mark.parametrize("position", [0, 17, 99])
def test_F5_one_bad_entry_fails_alone(position: int) -> None:
    """The request is split in halves until it stands alone."""
    world = ready()
    poison(world, b"bad")
    records = [world.keyed(b"bad" if i == position else b"%d" % i, waited=True) for i in range(100)]
    world.run(3)
    assert result_of(records[position]).reason is DropReason.REJECTED
    assert len(world.copies) == 99
    assert len(world.sent) <= 1 + 2 * 7
    assert any("neighbours are sent" in report.text for report in world.reports)
    world.check(delivered=99)


def test_F5_out_of_an_aggregated_record_only_the_culprit_is_dropped() -> None:
    """A refused aggregated record is taken apart before anything is given up."""
    world = ready(PipelineOptions())
    world.keyless(b"first")
    world.run()
    poison(world, b"bad")
    world.keyless(b"a", b"bad", b"b")
    world.keyed(b"k1")
    world.keyed(b"k2")
    world.run(3)
    assert world.lost(DropReason.REJECTED) == 1
    assert world.copies == {b"first": 1, b"a": 1, b"b": 1, b"k1": 1, b"k2": 1}
    world.check(delivered=5)


def test_F5_an_entry_refused_by_itself_is_dropped_and_its_neighbours_are_not() -> None:
    """The answer may name the bad entry; then nothing needs to be searched."""
    world = ready()

    def oversize(request: PutRecordsRequest) -> Answered:
        bad = EntryResult(error_code="InvalidArgumentException", error_message="too large")
        return Answered([world.write_entry(request, 0), bad])

    world.script.append(oversize)
    world.keyed(b"a")
    bad = world.keyed(b"b", waited=True)
    world.run()
    assert result_of(bad).error == "InvalidArgumentException: too large"
    world.check(delivered=1)


def test_F5_when_nothing_ever_worked_the_record_is_not_to_blame() -> None:
    """A stream that refuses everything is not searched for bad records for ever."""
    world = ready()
    world.always = refuse(INVALID)
    for i in range(100):
        world.keyed(b"%d" % i)
    waited = world.keyed(b"w", waited=True)
    world.run(120)
    assert result_of(waited).reason is DropReason.REJECTED
    assert len(world.sent) < 230
    assert world.pipeline.ledger.pending == 100
    sent = len(world.sent)
    world.run(120)
    assert len(world.sent) - sent < 10
    world.always = world.write
    world.run(200)
    world.check(delivered=100)


def refuse_bad(world: World) -> Callable[[PutRecordsRequest], Answered | Failure]:
    """Return an answer that refuses whole requests for a record that begins with "bad"."""

    def answer(request: PutRecordsRequest) -> Answered | Failure:
        if any(slot.data.startswith(b"bad") for slot in request.wire):
            return INVALID
        return world.write(request)

    return answer


@pytest.mark.parametrize("bad", [1, 5, 10])
def test_F5_bad_records_before_anything_worked_stop_nothing(bad: int) -> None:
    """They are set aside, the others are tried one at a time, and the first settles it."""
    world = ready()
    world.always = refuse_bad(world)
    for i in range(bad):
        world.keyed(b"bad %d" % i)
        world.run(0.2)
    for i in range(10):
        world.keyed(b"%d" % i)
    world.run(300)
    assert world.lost(DropReason.REJECTED) == bad
    assert world.copies == {b"%d" % i: 1 for i in range(10)}
    world.check(delivered=10)


def test_F5_what_was_set_aside_is_taken_apart_where_it_must_not_be_shared_any_more() -> None:
    """It is old by then, and leaves at once: nothing is left to be done at the same moment."""
    world = ready(PipelineOptions())
    world.always = refuse(INVALID)
    world.keyed(b"a")
    world.keyed(b"b")
    world.run(3)
    world.always = world.write
    world.stream.distribution = AUTO
    world.pipeline.stream_described(StreamSummary(record_distribution=AUTO), world.now)
    world.keyless(b"c")
    world.run(60)
    assert sorted(world.written) == [b"a", b"b", b"c"]
    world.check(delivered=3)


def test_F5_a_stream_that_refuses_all_it_gets_is_asked_what_it_takes_ten_seconds_apart() -> None:
    """The record limit may have changed; the account has 20 such calls a second for all."""
    world = ready()
    world.keyed(b"first")
    world.always = refuse_bad(world)
    for i in range(120):
        world.keyed(b"bad %d" % i)
        world.run(0.5)
    assert 5 <= world.questions["DescribeStreamSummary"] <= 8
    assert world.lost(DropReason.REJECTED) == 120
    world.check(delivered=1)


@pytest.mark.parametrize("others", [0, 3])
def test_F5_neighbours_of_the_first_bad_record_are_not_told_that_they_failed(others: int) -> None:
    """An aggregated record refused before anything worked is taken apart first."""
    world = World(shards=1, options=PipelineOptions())

    def refuse_poison(request: PutRecordsRequest) -> Answered | Failure:
        return (
            INVALID if b"poison" in b"".join(s.data for s in request.wire) else world.write(request)
        )

    world.always = refuse_poison
    world.run(0.5)
    poison = world.keyed(b"poison", waited=True)
    good = [world.keyed(b"%d" % i, waited=True) for i in range(9)]
    world.run(0.15)
    good += [world.keyed(b"later %d" % i, waited=True) for i in range(others)]
    world.run(60)
    assert result_of(poison).reason is DropReason.REJECTED
    assert all(result_of(record).success for record in good)
    world.check(delivered=9 + others)


def test_F5_the_search_goes_on_while_parts_of_a_request_expire() -> None:
    """After an outage the oldest are always about to expire; bad ones among them are found."""
    options = PipelineOptions(framing="none", shard_rate_limit=OPEN_RATE, time_to_live=10.0)
    world = World(options=options, latency=0.05, jitter=0.02)
    world.keyless(b"works")
    world.run(2)
    world.always = refuse(RESET)
    expired = 0

    def back(request: PutRecordsRequest) -> Answered | Failure:
        nonlocal expired
        expired = world.lost(DropReason.EXPIRED)
        world.always = refuse_bad(world)
        return refuse_bad(world)(request)

    for i in range(6000):
        world.keyed(b"bad %d" % i if i % 200 == 150 else b"%d" % i, key=str(i))
        world.run(0.005)
        if i == 3000:
            world.always = back
    world.run(30)
    assert world.lost(DropReason.EXPIRED) - expired < 500
    assert world.lost(DropReason.REJECTED) >= 10
    world.check()


@pytest.mark.parametrize("failure", [EXPIRED, STALE])
def test_F7_what_expires_in_part_each_time_is_not_sent_again_without_end(failure: Failure) -> None:
    """At once, once; what is left of it then backs off like everything else."""
    world = ready(PipelineOptions(framing="none", time_to_live=5.0), shards=2)
    world.jitter = 0.5
    world.always = refuse(failure)
    for _ in range(4000):
        world.keyless(b"x" * 20)
        world.run(0.005)
    assert len(world.sent) < 40


@pytest.mark.parametrize("together", [True, False])
def test_F9_a_record_that_cannot_be_encoded_is_given_up_alone(
    monkeypatch: pytest.MonkeyPatch, *, together: bool
) -> None:
    """An error of kinesink's own costs the record it fails at, not its company."""
    encode = Entry.encode

    def fragile(entry: Entry, turn: int) -> PutRecordsEntry:
        if b"poison" in entry.data():
            raise ZeroDivisionError
        return encode(entry, turn)

    monkeypatch.setattr(Entry, "encode", fragile)
    world = ready(PipelineOptions(framing="kpl" if together else "none"))
    poison = world.keyed(b"poison", waited=True)
    for i in range(9):
        world.keyed(b"%d" % i)
    world.keyless(b"x", b"poison", b"y")
    world.run()
    assert world.lost(DropReason.INTERNAL) == 2
    assert "ZeroDivisionError" in (result_of(poison).error or "")
    assert "ZeroDivisionError" in world.reports[0].text
    assert sorted(world.consumed) == [*[b"%d" % i for i in range(9)], b"x", b"y"]
    world.check(delivered=11)


@pytest.mark.parametrize("position", [0, 7])
def test_F9_an_error_of_our_own_in_a_call_is_searched_like_a_bad_entry(position: int) -> None:
    """Even if nothing ever worked: then the service has not been asked."""
    world = ready()

    def fragile(request: PutRecordsRequest) -> Answered | Failure:
        if any(slot.data == b"poison" for slot in request.wire):
            return Failure(OWN_ERROR, "ZeroDivisionError()")
        return world.write(request)

    world.always = fragile
    for i in range(8):
        world.keyed(b"poison" if i == position else b"%d" % i)
    world.run()
    assert world.lost(DropReason.INTERNAL) == 1
    assert world.reports == []
    world.check(delivered=7)


def test_F6_permanent_error_fails_at_once_what_somebody_waits_for() -> None:
    """With the reason, not at the end of the time to live; one line says what to do."""
    world = ready(PipelineOptions())
    world.script.append(refuse(Failure("ResourceNotFoundException", "Stream s not found")))
    waited = world.keyed(b"a", waited=True)
    kept = world.keyed(b"b")
    world.run(0.13)
    assert result_of(waited).error == "ResourceNotFoundException: Stream s not found"
    assert world.pipeline.last_error == result_of(waited).error
    (report,) = world.reports
    assert "check the stream's name" in report.text
    world.run(3)
    assert kept.attempts == []
    assert world.copies == {b"b": 1}
    world.check(delivered=1)


def test_F6_what_nobody_waits_for_is_kept_probed_and_expires() -> None:
    """Probes are rare while somebody has to repair something, and the end is counted."""
    world = ready(PipelineOptions(time_to_live=300))
    world.always = refuse(DENIED)
    for _ in range(100):
        world.keyless(b"x", b"y")
        world.run(1)
    assert world.pipeline.ledger.pending == 200
    assert len(world.sent) < 15
    world.run(400)
    assert world.lost(DropReason.EXPIRED) == 200
    world.check(delivered=0)
    world.always = world.write
    world.keyless(b"z")
    world.run(31)
    world.check(delivered=1)


def test_F7_expired_token_is_resent_once_at_once_without_backoff() -> None:
    """Each of several calls under way goes again with fresh credentials."""
    world = ready()
    world.latency = 0.3
    world.script.extend([refuse(EXPIRED)] * 2)
    first = world.keyed(b"a", waited=True)
    world.run(0.11)
    second = world.keyed(b"b", waited=True)
    world.run()
    assert [codes(first), codes(second)] == [[EXPIRED.code, None]] * 2
    assert world.sent_at[2] - world.sent_at[0] == pytest.approx(world.latency)
    assert world.reports == []
    world.check(delivered=2)


def test_F7_credentials_that_stay_refused_keep_the_events_and_say_so() -> None:
    """The data is not dropped before its time."""
    world = ready()
    world.always = refuse(EXPIRED)
    record = world.keyed(b"a", waited=True)
    world.run(60)
    assert world.pipeline.ledger.pending == 1
    assert world.reports
    world.always = world.write
    world.run(31)
    assert result_of(record).success
    world.check(delivered=1)


def test_F8_a_clock_refused_twice_is_permanent() -> None:
    """The first time it is corrected from the answer and sent again at once."""
    world = ready()
    world.script.extend([refuse(CLOCK), refuse(CLOCK)])
    record = world.keyed(b"a", waited=True)
    kept = world.keyed(b"b")
    world.run(0.2)
    assert codes(record) == [CLOCK.code] * 2
    assert not result_of(record).success
    world.run(5)
    assert kept.data in world.copies
    world.check(delivered=1)


def test_F8_a_clock_refused_after_a_stale_connection_is_not() -> None:
    """Both happen at once when a machine wakes up: the second is the clock's first."""
    world = ready()
    world.script.extend([refuse(STALE), refuse(CLOCK)])
    record = world.keyed(b"a", waited=True)
    world.run(5)
    assert codes(record) == [STALE.code, CLOCK.code, None]
    world.check(delivered=1)


def test_a_failing_stream_is_probed_by_one_call_at_a_time() -> None:
    """After three failures in a row; the first success opens it again."""
    options = PipelineOptions(framing="none", shard_rate_limit=OPEN_RATE, request_max_entries=1)
    world = ready(options)
    world.always = refuse(BROKEN)
    for i in range(50):
        world.keyed(b"%d" % i)
    world.run(60)
    assert len(world.sent) < 40
    assert any("tried again" in report.text for report in world.reports)
    world.always = world.write
    world.run(21)
    world.check(delivered=50)


def test_calls_that_fail_together_are_one_failure() -> None:
    """Eight calls cut off by one hiccup do not look like eight."""
    options = PipelineOptions(framing="none", shard_rate_limit=OPEN_RATE, request_max_entries=1)
    world = ready(options)
    world.script.extend([refuse(BROKEN)] * 8)
    for i in range(8):
        world.keyed(b"%d" % i)
    world.run(0.5)
    assert world.reports == []
    world.check(delivered=8)


def test_B4_an_outage_longer_than_the_time_to_live_ends_when_it_ends() -> None:
    """The oldest events are always about to expire then; that must not cut calls short."""
    world = World(options=PipelineOptions(time_to_live=20), latency=0.3)
    world.always = hang
    for i in range(300):
        world.keyed(b"%d" % i, key=str(i), waited=i % 2 == 0)
        world.run(0.1)
    world.always = world.write
    for i in range(300, 700):
        world.keyed(b"%d" % i, key=str(i), waited=i % 2 == 0)
        world.run(0.1)
    ledger = world.pipeline.ledger
    assert ledger.pending < 50
    assert ledger.delivered >= 400
    assert sum(world.copies.values()) <= ledger.delivered * 1.1
    world.run(30)
    world.check()


def test_an_answer_for_a_call_that_was_given_up_is_ignored() -> None:
    """Its events have been counted."""
    world = ready()
    world.keyed(b"a", waited=True)
    world.run(0.11)
    world.pipeline.abandon(DropReason.SHUTDOWN, "the end", world.now)
    world.run()
    assert world.lost(DropReason.SHUTDOWN) == 1
    world.check(delivered=0)


def test_what_expires_before_its_refused_request_can_go_again_is_taken_out() -> None:
    """The rest of it is routed anew, whatever the request was to be sent again for."""
    for failure in (EXPIRED, INVALID):
        world = ready(PipelineOptions(time_to_live=2.0, framing="none", max_requests_in_flight=1))
        world.latency = 1.0
        world.script.append(refuse(failure))
        world.add(Chunk([b"old"], world.now - 1.5))
        world.keyless(b"new")
        world.run(1.5)
        assert world.lost(DropReason.EXPIRED) == 1
        world.run(5)
        assert b"new" in world.copies
        world.check(delivered=1)


def test_a_throttle_after_part_of_an_entry_expired_keeps_the_rest() -> None:
    """What is left of an aggregated record is encoded anew."""
    for outcome in (THROTTLED, FAULT):
        world = ready(PipelineOptions(time_to_live=2.0))
        world.latency = 0.6
        world.script.append(reply(Answered([outcome])))
        world.add(Chunk([b"old"], world.now - 1.5))
        world.keyless(b"a", b"b")
        world.run(5)
        assert world.lost(DropReason.EXPIRED) == 1
        assert world.copies == {b"a": 1, b"b": 1}
        world.check(delivered=2)


def test_every_event_of_a_failed_call_may_have_expired_meanwhile() -> None:
    """Then the failure is learnt from and nothing is left to be retried."""
    written = EntryResult("shardId-000000000000", "1")
    outcomes: list[Answered | Failure] = [BROKEN, INVALID, EXPIRED]
    outcomes += [Answered([each]) for each in (THROTTLED, FAULT, written)]
    for outcome in outcomes:
        world = ready(PipelineOptions(time_to_live=1.2))
        world.keyless(b"first")
        world.run(3)
        world.latency = 2.0
        world.script.append(reply(outcome))
        world.keyless(b"x", b"y")
        world.run(10)
        assert world.lost(DropReason.EXPIRED) == 2
        assert len(world.sent) == 2
        world.check(delivered=1)


def test_an_aggregated_record_on_the_way_when_the_stream_turns_auto_is_sent_anew() -> None:
    """Refused or taken, it must not go as it was."""
    for outcome in (THROTTLED, None):
        world = ready(PipelineOptions(), shards=2)
        if outcome:
            world.script.append(lambda _: Answered([THROTTLED]))
        world.keyless(b"x", b"y")
        world.run(0.11)
        world.stream.distribution = AUTO
        world.describe()
        world.run(3)
        assert world.written[-2:] == [b"x", b"y"]
        world.check(delivered=2)
