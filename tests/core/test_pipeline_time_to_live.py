"""The end of events: time to live (cases T), flush, abandonment and the account (cases N)."""

# ruff: noqa: N802 - the tests carry the names of the cases

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from kinesink.core.options import PipelineOptions
from kinesink.core.records import Answered, Chunk, DropReason, Failure, UserRecord
from tests.core.world import (
    FAULT,
    OPEN_RATE,
    THROTTLED,
    Ticket,
    World,
    codes,
    hang,
    refuse,
    result_of,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tests.core.world import Options

BROKEN = Failure("InternalFailure", "oops", 500)


def ready(*, shards: int = 1, **options: Unpack[Options]) -> World:
    """Return a world whose map is known."""
    world = World(shards=shards, options=PipelineOptions(**options))
    world.run(0.5)
    return world


def expired_at(world: World) -> list[float]:
    """Return when the dropped records that somebody waited for expired."""
    return [drop.result.attempts[-1].started for drop in world.dropped if drop.result]


def test_T1_a_hanging_call_ends_with_the_time_to_live_of_what_it_carries() -> None:
    """The call is bounded by the time left, and the outcome is there in time."""
    world = ready(time_to_live=3.0, request_timeout=60.0)
    world.always = hang
    record = world.keyed(b"a", waited=True)
    began = world.now
    world.run(2.999)
    assert world.sent[0].timeout == pytest.approx(2.9)
    assert world.pipeline.ledger.pending == 1
    world.run(0.001)
    assert codes(record) == ["ReadTimeout", "Expired"]
    assert expired_at(world) == [pytest.approx(began + 3.0)]
    world.check()


def test_T1_an_event_under_way_expires_on_time_though_its_call_goes_on() -> None:
    """Younger events keep the call alive; what comes of it counts for them alone."""
    world = ready(time_to_live=3.0)
    world.latency = 1.0
    old = UserRecord(b"old", arrival=world.now - 2.5, partition_key="k", ticket=Ticket())
    world.add(old)
    young = world.keyed(b"young", waited=True)
    world.run(0.6)
    assert codes(old) == ["ReadTimeout", "Expired"]
    assert world.pipeline.ledger.pending == 1
    world.run(1)
    assert result_of(young).success
    assert world.lost(DropReason.EXPIRED) == 1
    world.check(delivered=1)


def test_T1_a_call_gets_a_second_at_least() -> None:
    """Cut off after milliseconds it would look like an outage and keep one going."""
    world = ready(time_to_live=2.0)
    world.latency = 0.5
    world.add(Chunk([b"x"], world.now - 1.9))
    world.run(0.05)
    assert world.sent[0].timeout == 1.0
    world.keyless(b"y")
    world.run()
    assert world.reports == []
    world.check(delivered=1)


def test_T2_attempts_are_the_calls_that_carried_the_record() -> None:
    """Whatever the reason of the retry."""
    world = ready(shards=2)
    world.script.append(refuse(BROKEN))
    world.script.append(lambda _: Answered([THROTTLED]))
    world.script.append(lambda _: Answered([FAULT]))
    world.script.append(lambda _: Answered([]))
    record = world.keyed(b"a", waited=True)
    world.run(5)
    expected = [BROKEN.code, THROTTLED.error_code, FAULT.error_code, "WrongRecordCount", None]
    assert codes(record) == expected
    assert len(world.sent) == 5
    started = [attempt.started for attempt in result_of(record).attempts]
    assert started == world.sent_at
    assert world.pipeline.ledger.retried == 4
    world.check(delivered=1)


def test_T3_a_record_queued_for_rate_expires_once_at_its_time() -> None:
    """Counted from its arrival, however late it was retried."""
    world = ready(time_to_live=10.0)
    world.script.append(lambda _: Answered([FAULT]))
    began = world.now
    record = world.keyed(b"a", waited=True)
    world.run(9.0)
    assert result_of(record).success
    world.always = lambda _: Answered([THROTTLED])
    began = world.now
    record = world.keyed(b"b", waited=True)
    world.run(20)
    assert codes(record).count("Expired") == 1
    assert codes(record)[-1] == "Expired"
    assert expired_at(world) == [pytest.approx(began + 10.0)]
    assert world.lost(DropReason.EXPIRED) == 1
    world.check(delivered=1)


@pytest.mark.parametrize(
    "place", ["window", "held", "line", "backoff", "verdict", "blocked", "resent"]
)
def test_T3_T4_wherever_it_waits_only_the_old_expires(place: str) -> None:
    """Each place where an event may wait knows its time."""
    world = ready(time_to_live=4.0, linger=0.1 if place != "window" else 30.0)
    if place == "held":
        world = World(options=PipelineOptions(time_to_live=1.0))
        world.answers_questions = False
    if place == "line":
        world.always = lambda _: Answered([THROTTLED])
        world.jitter = 1.0
    if place == "backoff":
        world.always = lambda _: Answered([FAULT])
    if place == "blocked":
        world.always = refuse(Failure("LimitExceededException", "slow"))
    if place == "resent":
        world.always = refuse(Failure("ExpiredTokenException", "x"))
    if place == "verdict":
        world.split()
        world.answers_questions = False
    life = world.options.time_to_live
    began = world.now
    old = UserRecord(
        b"old", arrival=began - life / 2, partition_key="k", explicit_hash_key=1, ticket=Ticket()
    )
    world.add(old)
    young = world.keyed(b"young", hash_key=2, waited=True)
    world.run(life / 2 - 0.001)
    assert world.pipeline.ledger.pending == 2
    world.run(0.002)
    assert codes(old)[-1] == "Expired"
    assert world.pipeline.ledger.pending == 1
    world.run(life)
    assert [drop.result is not None for drop in world.dropped] == [True, True]
    assert codes(young)[-1] == "Expired"
    assert expired_at(world) == pytest.approx([began + life / 2, began + life], abs=1e-6)
    world.check(delivered=0)


def test_T4_younger_answers_and_requests_wait_on() -> None:
    """An expiry takes out what is old, of each kind, and nothing else."""
    world = ready(time_to_live=4.0)
    world.split()
    world.answers_questions = False
    for age in (3.0, 2.0):
        contents = [
            UserRecord(b"%d" % i, arrival=world.now - age, partition_key="k", explicit_hash_key=i)
            for i in range(2)
        ]
        world.add(*contents)
        world.run(0.01)
    assert len(world.sent) == 2
    world.run(1.1)
    assert world.lost(DropReason.EXPIRED) == 2
    assert world.pipeline.ledger.pending == 2
    world.list_shards()
    world.run(0.5)
    world.check(delivered=2)


def test_T4_a_request_to_be_sent_again_waits_on_while_another_expires() -> None:
    """Only the one that is too old is taken apart."""
    world = ready(time_to_live=4.0, max_requests_in_flight=2)
    world.script.extend([refuse(Failure("ExpiredTokenException", "x"))] * 2)
    for age in (3.0, 2.0):
        world.add(Chunk([b"%d" % age], world.now - age))
        world.run(0.001)
    world.script.append(hang)
    assert len(world.sent) == 2
    world.pipeline._calls.blocked_until = world.now + 1.5
    world.run(1.3)
    assert world.lost(DropReason.EXPIRED) == 1
    world.script.clear()
    world.run(1)
    world.check(delivered=1)


def test_an_event_without_end_never_expires() -> None:
    """An infinite time to live is one."""
    world = ready(time_to_live=math.inf)
    world.always = refuse(BROKEN)
    world.keyless(b"a")
    world.run(5000)
    world.always = world.write
    world.run(30)
    world.check(delivered=1)


@pytest.mark.parametrize("arrival", [0.1, 1e6 + 1 / 3, 3e7 + 0.7])
def test_expiry_does_not_spin_on_rounding(arrival: float) -> None:
    """The sum that makes the deadline and the difference that finds the old may round apart."""
    for life in (0.3, 0.7, 1.1, 600.1):
        world = World(options=PipelineOptions(time_to_live=life), now=arrival)
        world.answers_questions = False
        world.always = hang
        world.keyless(b"a")
        world.run(life * 2)
        world.check(delivered=0)


def test_what_expires_in_a_hurried_window_leaves_nothing_behind() -> None:
    """A flush and an expiry at the same moment."""
    world = ready(time_to_live=1.0, linger=0.9)
    world.add(Chunk([b"old"], world.now - 0.5))
    world.keyless(b"young")
    world.pipeline.flush()
    world.now += 0.6
    world.run()
    assert world.lost(DropReason.EXPIRED) == 1
    world.check(delivered=1)


def test_a_large_backlog_is_not_swept_for_each_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond some thousand entries, expiry may come a little late and costs little."""
    world = ready(time_to_live=10.0, framing="none", shard_rate_limit=OPEN_RATE)
    world.always = refuse(BROKEN)
    sweeps = 0
    stock = world.pipeline._stock
    expire = stock.expire

    def counted(now: float) -> None:
        nonlocal sweeps
        sweeps += 1
        expire(now)

    monkeypatch.setattr(stock, "expire", counted)
    for _ in range(500):
        world.add(*[UserRecord(b"x", arrival=world.now, partition_key="k") for _ in range(25)])
        world.run(0.02)
    world.run(5)
    assert world.pipeline.ledger.pending < 0.6 * 12_500
    world.run(7)
    assert sweeps < 250
    world.check(delivered=0)


def test_flush_lets_nothing_linger_and_knows_its_end() -> None:
    """What arrives later belongs to the next epoch."""
    world = ready(linger=30.0)
    world.keyless(b"a")
    world.keyed(b"b")
    epoch = world.pipeline.flush()
    world.keyless(b"c")
    world.run(0.5)
    assert world.pipeline.ledger.ended(epoch)
    assert world.pipeline.ledger.pending == 0
    assert len(world.sent) == 1
    world.check(delivered=3)


def test_flush_reaches_what_is_still_held_or_retried() -> None:
    """An event of a flushed epoch hurries whenever it enters the window."""
    world = World(options=PipelineOptions(linger=30.0))
    world.keyless(b"a")
    world.script.append(lambda _: Answered([FAULT]))
    epoch = world.pipeline.flush()
    world.run(1.0)
    assert world.pipeline.ledger.ended(epoch)
    world.keyless(b"b")
    world.run(29.0)
    assert world.pipeline.ledger.pending == 1
    world.run(2.0)
    world.check(delivered=2)


def test_S2_abandoning_accounts_for_every_place() -> None:
    """In a call, in backoff, in line, in the window, refused, or not yet judged."""
    world = ready(shards=1)
    records = []
    for outcome in (hang, lambda _: Answered([FAULT]), lambda _: Answered([THROTTLED]), None):
        world.split()
        world.answers_questions = False
        if outcome is not None:
            world.script.append(outcome)
        records.append(world.keyed(b"a", hash_key=1, waited=True))
        records.append(world.keyed(b"b", hash_key=2, waited=True))
        world.run(0.121)
    records.append(world.keyed(b"window", waited=True))
    world.script.append(refuse(Failure("StaleConnection", "closed")))
    world.keyless(b"x", b"y")
    world.run(0.1)
    world.pipeline.abandon(DropReason.SHUTDOWN, "the end", world.now)
    world.run(20)
    ledger = world.pipeline.ledger
    assert ledger.delivered + world.lost(DropReason.SHUTDOWN) == 11
    assert [len(r.ticket.results) for r in records if isinstance(r.ticket, Ticket)] == [1] * 9
    world.check()
    world.answers_questions = True
    world.keyless(b"after")
    world.run(5)
    assert ledger.delivered + world.lost(DropReason.SHUTDOWN) == 12


def test_abandoning_counts_what_expired_under_way_once() -> None:
    """It has ended before."""
    world = ready(time_to_live=2.0)
    world.latency = 5.0
    world.add(Chunk([b"old"], world.now - 1.5))
    world.keyless(b"young")
    world.run(0.6)
    assert world.lost(DropReason.EXPIRED) == 1
    world.pipeline.abandon(DropReason.SHUTDOWN, "the end", world.now)
    assert world.lost(DropReason.SHUTDOWN) == 1
    world.check(delivered=0)


def test_N4_copies_count_once() -> None:
    """A call that timed out after writing is written again, and delivered once."""
    world = ready()

    def written_unheard(request: object) -> Failure:
        del request
        world.write(world.sent[-1].request)
        return Failure("ReadTimeout", "no answer")

    world.script.append(written_unheard)
    world.keyless(b"x", b"y")
    world.run()
    assert world.copies == {b"x": 2, b"y": 2}
    assert world.pipeline.ledger.retried == 2
    world.check(delivered=2)


def test_T3_what_lingers_expires_on_time_although_younger_ones_are_held_back() -> None:
    """Each place is looked at for the next expiry, not the first that has something."""
    world = ready(framing="none", linger=1.0, time_to_live=2.0)
    began = world.now
    world.keyed(b"lingers", waited=True)
    world.step()
    world.pipeline._calls.blocked_until = world.now + 10.0
    world.run(0.5)
    world.add(UserRecord(b"old", arrival=world.now - 1.9, partition_key="k", ticket=Ticket()))
    world.keyed(b"held", waited=True)
    world.run(5)
    assert [at - began for at in expired_at(world)] == pytest.approx([0.6, 2.0, 2.5])
    world.check(delivered=0)
