"""Every check of the simulator can fail: each is shown something that it must not accept."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from kinesink.core.collector import PutRecordsRequest
from kinesink.core.effects import Delivered, Dropped
from kinesink.core.entry import Entry
from kinesink.core.hash_key import HashKeyRange
from kinesink.core.options import PipelineOptions
from kinesink.core.pipeline import Pipeline
from kinesink.core.records import (
    Chunk,
    DropReason,
    Failure,
    PutRecordsEntry,
    RecordResult,
    ShardId,
    UserRecord,
)
from kinesink.testing.simulation.account import Account
from kinesink.testing.simulation.events import Events, SimulatedTicket
from kinesink.testing.simulation.rates import PaceAudit
from kinesink.testing.simulation.violation import Violation
from kinesink.testing.simulation.wire import WireAudit

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.core.records import Content

SHARD = ShardId("shardId-000000000000")
MIB = 1 << 20


def pace(*, shard_rate_limit: float = 1.0) -> PaceAudit:
    """Return the audit of a producer's pace."""
    return PaceAudit(PipelineOptions(shard_rate_limit=shard_rate_limit))


class TestPace:
    """The measure of what a shard gets."""

    def test_allows_a_bucket_and_the_rate(self) -> None:
        """A burst of one second's worth, and then as much every second."""
        audit = pace()
        for _ in range(1000):
            audit.sent(SHARD, 1000, 10.0)
        for second in range(11, 20):
            for _ in range(1000):
                audit.sent(SHARD, 1000, second)

    def test_finds_one_record_too_many(self) -> None:
        """The record after a bucket is one too many."""
        audit = pace()
        for _ in range(1000):
            audit.sent(SHARD, 10, 10.0)
        with pytest.raises(Violation, match=r"rate: .* got 1001.0 records"):
            audit.sent(SHARD, 10, 10.0)

    def test_finds_too_many_bytes(self) -> None:
        """Small records count for their bytes as well."""
        audit = pace()
        for _ in range(131):
            audit.sent(SHARD, 8000, 10.0)
        with pytest.raises(Violation, match=r"rate: .* bytes above its rate"):
            audit.sent(SHARD, 8000, 10.0)

    def test_allows_a_large_record_to_go_into_debt_once(self) -> None:
        """Larger than a bucket it may go, but nothing may follow before the debt is paid."""
        audit = pace(shard_rate_limit=0.1)
        audit.sent(SHARD, MIB, 10.0)
        with pytest.raises(Violation, match="bytes above its rate"):
            audit.sent(SHARD, MIB, 11.0)
        audit = pace(shard_rate_limit=0.1)
        audit.sent(SHARD, MIB, 10.0)
        audit.sent(SHARD, MIB, 20.0)

    def test_measures_nothing_where_nothing_is_paced(self) -> None:
        """Without a shard or without a limit there is no bucket."""
        unlimited, audit = pace(shard_rate_limit=math.inf), pace()
        for _ in range(2000):
            unlimited.sent(SHARD, MIB, 10.0)
            audit.sent(None, MIB, 10.0)

    def test_a_shard_that_was_forgotten_begins_anew(self) -> None:
        """So does one of another range; one that stays, does not."""
        audit = pace()
        ranges = {SHARD: HashKeyRange(0, 9)}
        audit.knows(ranges)
        for _ in range(1000):
            audit.sent(SHARD, 10, 10.0)
        audit.knows({SHARD: HashKeyRange(0, 9)})
        with pytest.raises(Violation):
            audit.sent(SHARD, 10, 10.0)
        audit.knows({SHARD: HashKeyRange(0, 5)})
        audit.sent(SHARD, 10, 10.0)


def request_of(*sizes: int, claimed: int | None = None) -> PutRecordsRequest:
    """Return a request of entries for one shard."""
    wire = [PutRecordsEntry(b"x" * (size - 1), "k") for size in sizes]
    entries = []
    for size in sizes:
        entry = Entry([Chunk([b"x"], 0.0)], size=claimed or size)
        entry.bind(SHARD, 0)
        entries.append(entry)
    return PutRecordsRequest(entries, wire)


class TestWire:
    """The sizes of requests."""

    OPTIONS = PipelineOptions(
        request_max_entries=3, request_max_bytes=1000, request_max_bytes_per_shard=500
    )

    def sent(self, request: PutRecordsRequest, timeout: float = 1.0) -> None:
        """Show the audit a request."""
        WireAudit(self.OPTIONS).sent(request, timeout, 10_000, 10.0)

    def test_accepts_what_is_within_the_limits(self) -> None:
        """Also a single entry that is larger than all of them but the record limit."""
        self.sent(request_of(100, 200, 200))
        self.sent(request_of(9000))

    @pytest.mark.parametrize(
        ("request_", "what"),
        [
            (request_of(1, 1, 1, 1), "4 entries"),
            (request_of(), "0 entries"),
            (request_of(400, 700), "1100 bytes"),
            (request_of(10_001), "an entry has 10001 bytes"),
            (request_of(300, 300), "gets 600 bytes"),
            (request_of(300, claimed=299), "an entry for 299 bytes has 300"),
        ],
    )
    def test_finds_what_is_not(self, request_: PutRecordsRequest, what: str) -> None:
        """Each limit has its own words."""
        with pytest.raises(Violation, match=f"requests: .*{what}"):
            self.sent(request_)

    def test_finds_a_wrong_sum(self) -> None:
        """The size a request says it has is the one it has."""
        request = request_of(10)
        request.size = 11
        with pytest.raises(Violation, match="10 bytes are taken for 11"):
            self.sent(request)

    @pytest.mark.parametrize("timeout", [0.0, 6.1])
    def test_finds_a_call_that_may_take_too_long(self, timeout: float) -> None:
        """Or no time at all."""
        with pytest.raises(Violation, match="may take"):
            self.sent(request_of(10), timeout)

    def test_counts_a_refused_request_once(self) -> None:
        """Sent again as it was it takes no tokens; as a new one it does."""
        audit = WireAudit(PipelineOptions(shard_rate_limit=0.001))
        request = request_of(10)
        audit.sent(request, 1.0, 10_000, 10.0)
        audit.refused(request)
        audit.sent(request, 1.0, 10_000, 10.0)
        with pytest.raises(Violation, match="rate: "):
            audit.sent(request, 1.0, 10_000, 10.0)


class Bench:
    """An account and everything it looks at."""

    def __init__(self, options: PipelineOptions | None = None) -> None:
        self.options = options or PipelineOptions()
        self.pipeline = Pipeline(self.options, stream_name="s", now=0.0, jitter=lambda: 0.5)
        self.events = Events(0, lines=False)
        self.account = Account(self.pipeline, self.options, self.events, 1000, 0.0)

    def record(self, size: int = 10, *, waited: bool = True, poison: bool = False) -> UserRecord:
        """Return an event of this producer that has arrived at 0."""
        data = self.events.new(size, "k", 0.0, poison=poison)
        ticket = SimulatedTicket() if waited else None
        return UserRecord(data, arrival=0.0, partition_key="k", ticket=ticket)

    def receive(self, record: UserRecord) -> None:
        """Let a consumer have it."""
        for event in self.events.of(record):
            self.events.received_one(event)

    def deliver(self, record: UserRecord, now: float = 1.0, *, success: bool = True) -> None:
        """Let the pipeline tell of it."""
        self.account.delivered(Delivered(record, result(success=success)), now)

    def drop(self, reason: DropReason, *contents: Content, now: float = 1.0) -> None:
        """Let the pipeline tell that it gave something up."""
        waited = any(isinstance(c, UserRecord) and c.ticket is not None for c in contents)
        told = result(success=False, reason=reason) if waited else None
        self.account.dropped(Dropped(list(contents), reason, "why", told), now)


def result(*, success: bool, reason: DropReason | None = None) -> RecordResult:
    """Return a result without attempts."""
    return RecordResult(
        success=success, shard_id=None, sequence_number=None, attempts=(), reason=reason
    )


class TestWhatIsTold:
    """Deliveries, drops and their reasons."""

    def test_an_event_that_is_sent_after_its_end(self) -> None:
        """What was given up does not travel any more."""
        bench = Bench(PipelineOptions(time_to_live=1.0))
        record = bench.record(waited=False)
        bench.account.carries(Entry([record], size=10))
        bench.drop(DropReason.EXPIRED, record)
        with pytest.raises(Violation, match=r"results: .* was given up before"):
            bench.account.carries(Entry([record], size=10))

    def test_an_event_that_is_sent_after_the_throttle_it_was_to_fail_at(self) -> None:
        """Whether its entry was refused, or the whole call."""
        bench, patient = Bench(PipelineOptions(fail_if_throttled=True)), Bench()
        for each in (bench, patient):
            first, second = (Entry([each.record(waited=False)], size=10) for _ in range(2))
            each.account.entry_refused(first, "KMSThrottlingException")
            each.account.refused([second], Failure("SlowDown", "slowly"))
            if each is patient:
                each.account.carries(first)
                continue
            for entry in (first, second):
                with pytest.raises(Violation, match=r"results: .* was to fail at a throttle"):
                    each.account.carries(entry)

    def test_a_delivery_that_nobody_received(self) -> None:
        """Told is not enough."""
        bench = Bench()
        with pytest.raises(Violation, match=r"delivery: .* nobody received it"):
            bench.deliver(bench.record())

    def test_a_delivery_that_is_no_success(self) -> None:
        """The result says the same as the effect."""
        bench = Bench()
        record = bench.record()
        bench.receive(record)
        with pytest.raises(Violation, match=r"results: .* its result is a failure"):
            bench.deliver(record, success=False)

    def test_a_result_that_is_told_twice(self) -> None:
        """Exactly one."""
        bench = Bench()
        record = bench.record()
        bench.receive(record)
        bench.deliver(record)
        with pytest.raises(Violation, match=r"results: .* was told twice"):
            bench.deliver(record)

    def test_a_result_that_nobody_waits_for(self) -> None:
        """Only tickets are told."""
        bench = Bench()
        record = bench.record(waited=False)
        bench.receive(record)
        with pytest.raises(Violation, match="nobody waits for"):
            bench.deliver(record)

    def test_a_result_after_the_time_to_live(self) -> None:
        """Who waits learns in time."""
        bench = Bench(PipelineOptions(time_to_live=5.0))
        record = bench.record()
        bench.receive(record)
        with pytest.raises(Violation, match="time to live: "):
            bench.deliver(record, now=5.1)

    def test_attempts_that_nobody_made(self) -> None:
        """As many as there were calls."""
        bench = Bench()
        record = bench.record()
        bench.receive(record)
        bench.account.carries(Entry([record], size=10))
        with pytest.raises(Violation, match=r"attempts: .* 0 attempts, after 1 calls"):
            bench.deliver(record)

    def test_an_event_that_is_dropped_twice(self) -> None:
        """Once is enough."""
        bench = Bench(PipelineOptions(fail_if_throttled=True))
        record = bench.record(waited=False)
        bench.drop(DropReason.THROTTLED, record)
        with pytest.raises(Violation, match="dropped twice"):
            bench.drop(DropReason.THROTTLED, record)

    def test_a_drop_without_a_result(self) -> None:
        """Who waits is told of the end."""
        bench = Bench(PipelineOptions(fail_if_throttled=True))
        drop = Dropped([bench.record()], DropReason.THROTTLED, "why", None)
        with pytest.raises(Violation, match="ended without a result"):
            bench.account.dropped(drop, 1.0)

    @pytest.mark.parametrize("reason", list(DropReason))
    def test_a_reason_that_does_not_hold(self, reason: DropReason) -> None:
        """Each reason has its condition, and none of them is met."""
        bench = Bench()
        with pytest.raises(Violation, match=f"reasons: .* dropped as {reason.value}"):
            bench.drop(reason, bench.record())

    @pytest.mark.parametrize(
        ("reason", "prepare"),
        [
            (DropReason.SHUTDOWN, lambda b, _: setattr(b.account, "abandoned", True)),
            (
                DropReason.REJECTED,
                lambda b, record: b.account.refused(
                    [Entry([record], size=10)], Failure("AccessDeniedException", "no")
                ),
            ),
            (
                DropReason.REJECTED,
                lambda b, record: b.account.entry_refused(
                    Entry([record], size=10), "ValidationException"
                ),
            ),
            (
                DropReason.REJECTED,
                lambda b, _: [
                    b.account.refused([Entry([b.record()], size=10)], Failure("HTTP 413", "no"))
                    for _ in range(8)
                ],
            ),
        ],
    )
    def test_a_reason_that_holds(
        self, reason: DropReason, prepare: Callable[[Bench, UserRecord], object]
    ) -> None:
        """What has its cause is accepted."""
        bench = Bench()
        record = bench.record()
        prepare(bench, record)
        bench.drop(reason, record)
        assert bench.events.dropped == {reason: 1}

    def test_a_neighbour_of_a_bad_record_is_not_to_be_given_up(self) -> None:
        """A refusal of several says nothing of each, once any call has worked."""
        bench = Bench()
        record, neighbour = bench.record(), bench.record()
        bench.account.ever_taken = True
        entries = [Entry([record], size=10), Entry([neighbour], size=10)]
        bench.account.refused(entries, Failure("ValidationException", "no"))
        bench.account.entry_refused(Entry([record, neighbour], size=20), "ValidationException")
        with pytest.raises(Violation, match="reasons: "):
            bench.drop(DropReason.REJECTED, neighbour)

    def test_events_that_expire_late(self) -> None:
        """Nobody waits for them, but memory does."""
        bench = Bench(PipelineOptions(time_to_live=5.0))
        with pytest.raises(Violation, match="time to live: "):
            bench.drop(DropReason.EXPIRED, bench.record(waited=False), now=5.1)

    @pytest.mark.parametrize(
        ("options", "size", "is_right"),
        [
            (PipelineOptions(), 999, True),
            (PipelineOptions(), 998, False),
            (PipelineOptions(framing="lines"), 998, True),
            (PipelineOptions(framing="lines", compression="gzip"), 850, True),
            (PipelineOptions(framing="lines", compression="gzip"), 600, False),
        ],
    )
    def test_what_is_too_large(
        self, options: PipelineOptions, size: int, *, is_right: bool
    ) -> None:
        """The key counts, the line feed does, and so does what compressing may add."""
        bench = Bench(options)
        record = bench.record(size, waited=False)
        if is_right:
            bench.drop(DropReason.TOO_LARGE, record)
        else:
            with pytest.raises(Violation, match="reasons: "):
                bench.drop(DropReason.TOO_LARGE, record)


class TestConservation:
    """The sums at every step and at the end."""

    def begun(self) -> Bench:
        """Return an account of one pending event."""
        bench = Bench()
        bench.pipeline.add([bench.record(waited=False)], 0.0)
        bench.account.check()
        return bench

    def test_an_event_that_was_not_counted(self) -> None:
        """What arrived is accepted."""
        bench = self.begun()
        bench.record()
        with pytest.raises(Violation, match="conservation: 1 accepted of 2"):
            bench.account.check()

    def test_a_sum_that_is_wrong(self) -> None:
        """Delivered, dropped and pending make up what was accepted."""
        bench = self.begun()
        bench.pipeline.ledger.delivered += 1
        with pytest.raises(Violation, match="conservation: 1 accepted, 1 delivered"):
            bench.account.check()

    def test_bytes_that_are_wrong(self) -> None:
        """Bytes are counted as events are."""
        bench = self.begun()
        bench.pipeline.ledger.pending_bytes += 1
        with pytest.raises(Violation, match="bytes pending"):
            bench.account.check()

    def test_a_drop_that_was_not_told(self) -> None:
        """Each reason has the number that was told."""
        bench = self.begun()
        ledger = bench.pipeline.ledger
        ledger.dropped[DropReason.EXPIRED] = ledger.pending = 1
        ledger.accepted, bench.events.added = 2, 2
        with pytest.raises(Violation, match="dropped, told"):
            bench.account.check()

    def test_a_delivery_that_was_not_received(self) -> None:
        """Counting is no receiving."""
        bench = self.begun()
        ledger = bench.pipeline.ledger
        ledger.delivered, ledger.pending = 1, 0
        ledger.delivered_bytes, ledger.pending_bytes = ledger.pending_bytes, 0
        with pytest.raises(Violation, match="delivery: 1 count as delivered; 0 were received"):
            bench.account.check()

    def test_a_delivery_that_is_taken_back(self) -> None:
        """Totals only grow."""
        bench = self.begun()
        ledger = bench.pipeline.ledger
        for delivered in (1, 0):
            ledger.delivered, ledger.pending = delivered, 1 - delivered
            ledger.delivered_bytes, ledger.pending_bytes = 10 * delivered, 10 * (1 - delivered)
            bench.account.nameless_received = 1
            if delivered:
                bench.account.check()
        with pytest.raises(Violation, match="has sunk"):
            bench.account.check()

    def test_an_event_that_is_pending_at_the_end(self) -> None:
        """In the end there is none."""
        with pytest.raises(Violation, match="progress: 1 events are pending for ever"):
            self.begun().account.check_end()

    def end(self, bench: Bench) -> None:
        """Let everything count as delivered, whatever was received."""
        ledger = bench.pipeline.ledger
        bench.account.nameless_received = ledger.pending
        ledger.took(Entry([Chunk([b"x" * ledger.pending_bytes], 0.0)], size=1))

    def test_an_event_that_nobody_received_at_the_end(self) -> None:
        """One by one, not by number."""
        bench = self.begun()
        self.end(bench)
        with pytest.raises(Violation, match=r"delivery: .* was neither received nor given up"):
            bench.account.check_end()

    def test_empty_events_that_nobody_received(self) -> None:
        """They have no name, but a number."""
        bench = Bench()
        bench.pipeline.add([Chunk([bench.events.new(0, None, 0.0, poison=False)], 0.0)], 0.0)
        self.end(bench)
        bench.account.check_end()
        bench.events.nameless_added += 1
        with pytest.raises(Violation, match="delivery: 2 empty events, 1 seen"):
            bench.account.check_end()


class TestQuestions:
    """ListShards and DescribeStreamSummary."""

    def test_two_at_a_time(self) -> None:
        """One waits for the other."""
        account = Bench().account
        account.asks("ListShards", 0.0)
        account.asks("Describe", 0.0)
        with pytest.raises(Violation, match="ListShards is asked while it is under way"):
            account.asks("ListShards", 1.0)

    @pytest.mark.parametrize("question", ["ListShards", "Describe"])
    @pytest.mark.parametrize(("interval", "window"), [(0.1, 1), (0.9, 60)])
    def test_too_many_in_a_while(self, question: str, interval: float, window: int) -> None:
        """The account shares them with others; old ones do not count."""
        account = Bench().account

        def ask(interval: float, since: float = 1000.0) -> None:
            for turn in range(200):
                account.asks(question, since + turn * interval)
                account.answered(question)

        ask(2.1, since=0.0)
        with pytest.raises(Violation, match=f"questions: {question} .* times in {window} s"):
            ask(interval)
