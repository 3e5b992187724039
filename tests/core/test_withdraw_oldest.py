"""Making room: the oldest of what waits is dropped, or moved out of the account."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesink.core.options import PipelineOptions
from kinesink.core.records import (
    Answered,
    Chunk,
    DropReason,
    Failure,
    UserRecord,
    is_waited_for,
)
from kinesink.core.router import Router
from tests.core.world import DENIED, FAULT, Ticket, World, hang, refuse, result_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typing_extensions import Unpack

    from kinesink.core.options import Framing
    from kinesink.core.records import Content, EntryResult
    from tests.core.world import Options

OVERHEAD = 150
BACKOFF = Failure("InternalFailure", "oops", 500)
REFUSED = Failure("ValidationException", "invalid")


def known(shards: int = 1, **options: Unpack[Options]) -> World:
    """Return a world whose pipeline knows its stream."""
    return World(shards=shards, options=PipelineOptions(**options)).run(1.0)


def move_out(world: World, size: float, event_overhead: int = 0) -> list[bytes]:
    """Move events out; return their data."""
    asked = 2**62 if math.isinf(size) else int(size)
    return data_of(world.pipeline.move_out_oldest(asked, world.now, event_overhead=event_overhead))


def until(world: World, condition: Callable[[], object]) -> None:
    """Let time pass until something holds."""
    for _ in range(10_000):
        if condition():
            return
        world.run(0.001)
    raise AssertionError("it never comes to that")


def data_of(contents: Iterable[Content]) -> list[bytes]:
    """Return the data of each event."""
    return [datum for content in contents for datum in content.each()]


def dropped(world: World) -> list[bytes]:
    """Return the data of the events that were dropped, in order."""
    return [datum for drop in world.dropped for datum in data_of(drop.contents)]


class TestWhatGoes:
    """Oldest first, as much as was asked for, and from every place where events wait."""

    def test_the_oldest_go_and_the_others_stay(self) -> None:
        """And arrive, as if nothing had happened."""
        world = known(linger=5.0)
        for number in range(10):
            world.now += 0.1
            world.keyless(b"%d" % number)
        assert move_out(world, 3) == [b"0", b"1", b"2"]

        world.run(10)
        assert sorted(world.consumed) == [b"%d" % number for number in range(3, 10)]
        world.check(delivered=7)

    def test_no_more_than_one_event_more_than_was_asked_for(self) -> None:
        """A run of events that arrived together is cut."""
        world = known(linger=5.0)
        world.keyless(*[b"%02d" % number for number in range(40)])
        assert move_out(world, 9) == [b"00", b"01", b"02", b"03", b"04"]
        assert move_out(world, 0) == []
        assert move_out(world, -1) == []

        world.run(10)
        world.check(delivered=35)

    @pytest.mark.parametrize(("overhead", "events"), [(0, 100), (150, 4)])
    def test_an_event_counts_for_its_overhead(self, overhead: int, events: int) -> None:
        """An event without data takes memory all the same."""
        world = known(linger=5.0)
        world.keyless(*[b"x"] * 1000)
        assert len(move_out(world, events * (1 + overhead), overhead)) == events

        world.run(10)
        world.check()

    def test_less_where_there_is_not_so_much(self) -> None:
        """And nothing where nothing is pending."""
        world = known(linger=5.0)
        world.keyless(b"a", b"b")
        assert move_out(world, 100) == [b"a", b"b"]
        assert move_out(world, 100) == []
        world.check(delivered=0)

    def test_before_the_stream_is_known(self) -> None:
        """Events wait as they came, and what is left keeps its order."""
        world = World(options=PipelineOptions(framing="none"))
        world.answers_questions = False
        world.keyless(b"a", b"b", b"c", b"d")
        world.run(0.5)
        assert move_out(world, 2) == [b"a", b"b"]

        world.list_shards()
        world.describe()
        world.run()
        assert world.written == [b"c", b"d"]
        world.check(delivered=2)

    def test_from_the_line_of_a_busy_shard(self) -> None:
        """Also what stands aside because its shard has enough in line already."""
        world = known(framing="none", shard_rate_limit=0.01)
        for number in range(2000):
            world.keyed(b"%04d" % number)
        world.run(1.0)
        assert world.pipeline._router._parked
        waits = _waiting_of_nobody(world)
        assert move_out(world, 4 * (len(waits) - 1)) == sorted(waits)[:-1]

        world.run(60)
        world.check(delivered=2001 - len(waits))
        assert not world.pipeline._router._parked

    def test_from_a_backoff(self) -> None:
        """Kinesis has said that it did not take them."""
        world = known()
        world.always = lambda request: _all(FAULT, len(request.wire))
        world.keyed(b"old")
        until(world, lambda: len(world.pipeline._stock.waiting))
        assert move_out(world, 1) == [b"old"]
        assert world.pipeline.deadline(world.now) > world.now + 10

    def test_from_a_request_that_is_to_be_sent_again(self) -> None:
        """Its other entries go on."""
        world = known(framing="none", request_max_entries=2, max_requests_in_flight=2)
        # Two calls end at once: one is to be halved, the other begins a backoff.
        world.script.extend([refuse(REFUSED), refuse(BACKOFF)])
        for number in range(4):
            world.now += 0.001
            world.keyed(b"%d" % number)
        until(world, lambda: world.pipeline._calls.wait_to_go_again)
        assert move_out(world, 1) == [b"0"]

        world.run(10)
        world.check(delivered=3)
        assert sorted(world.consumed) == [b"1", b"2", b"3"]

    def test_what_was_set_aside(self) -> None:
        """It was refused before anything worked."""
        world = known(framing="none")
        world.always = refuse(REFUSED)
        for number in range(4):
            world.now += 0.001
            world.keyed(b"%d" % number)
        until(world, lambda: world.pipeline._stock.waiting.any_aside)
        aside = data_of(c for entry in world.pipeline._waiting._aside for c in entry.contents)
        assert move_out(world, 2) == aside[:2] == [b"0", b"1"]

        world.always = world.write
        world.run(60)
        world.check(delivered=2)


class TestWhatStays:
    """What may have been written, and what somebody waits for."""

    def test_calls_under_way_are_left_alone(self) -> None:
        """Kinesis may have taken what they carry."""
        world = known()
        world.script.append(hang)
        world.keyless(b"sent")
        world.run(0.2)
        world.keyless(b"waits")
        assert move_out(world, math.inf) == [b"waits"]
        assert world.pipeline.ledger.pending == 1

        world.run(10)
        world.check(delivered=1)

    def test_answers_that_are_not_judged_yet_are_left_alone(self) -> None:
        """They say that something was written."""
        world = known(2)
        world.answers_questions = False
        world.split(0)
        for number in range(20):
            world.keyed(b"%d" % number, hash_key=number % 2 * 2**126)
        world.run(1)
        held = world.pipeline._stock.waiting._unjudged
        assert sum(answer.of.entry.events for answer in held) == 20
        assert move_out(world, math.inf) == []

    def test_who_waits_for_a_result_goes_on_waiting(self) -> None:
        """Also if it shares a record with what goes, and is the oldest of all."""
        world = known(linger=5.0)
        waited = world.keyed(b"waited for", waited=True)
        world.now += 1
        for number in range(5):
            world.keyed(b"%d" % number)
        assert move_out(world, 3) == [b"0", b"1", b"2"]
        assert move_out(world, 30) == [b"3", b"4"]

        world.run(10)
        assert result_of(waited).success
        world.check(delivered=1)

    def test_an_entry_from_which_nothing_goes_keeps_its_place(self) -> None:
        """Even if it holds the oldest event of all: it is not routed again each time."""
        world = known(shard_rate_limit=0.001)
        world.always = lambda request: _all(FAULT, len(request.wire))
        world.keyed(b"waited for", waited=True)
        until(world, lambda: len(world.pipeline._stock.waiting))
        (entry,) = world.pipeline._stock.waiting.queued()
        for _ in range(3):
            world.keyless(b"x")
            assert move_out(world, 1) == [b"x"]
        assert list(world.pipeline._stock.waiting.queued()) == [entry]
        assert entry.failures


class TestTheAccount:
    """Dropped with a reason, or no longer accepted here."""

    def test_what_is_dropped_is_told_and_counted(self) -> None:
        """With the reason and the words of the caller."""
        world = known(linger=5.0)
        world.keyless(b"a", b"b", b"c")
        full = DropReason.QUEUE_FULL
        assert world.pipeline.drop_oldest(2, full, "full", world.now, event_overhead=0) == 2
        world.run(10)
        (drop,) = world.dropped
        assert (drop.reason, drop.error, drop.result) == (DropReason.QUEUE_FULL, "full", None)
        assert dropped(world) == [b"a", b"b"]
        assert world.lost(DropReason.QUEUE_FULL) == 2
        assert world.pipeline.ledger.accepted == 3
        world.check(delivered=1)

    def test_what_is_moved_out_was_never_accepted(self) -> None:
        """Whoever holds it counts it; added again it is accepted again."""
        world = known(linger=5.0)
        world.keyless(b"a", b"b", b"c")
        out = world.pipeline.move_out_oldest(2, world.now, event_overhead=0)
        ledger = world.pipeline.ledger
        assert (ledger.accepted, ledger.pending, ledger.pending_bytes) == (1, 1, 1)
        assert not ledger.dropped

        world.add(*out)
        world.run(10)
        assert sorted(world.consumed) == [b"a", b"b", b"c"]
        world.check(delivered=3)

    def test_a_flush_does_not_wait_for_what_has_gone(self) -> None:
        """It ends as if that had ended."""
        world = known(linger=5.0)
        world.keyless(b"a")
        epoch = world.pipeline.flush()
        assert not world.pipeline.ledger.ended(epoch)
        move_out(world, 1)
        assert world.pipeline.ledger.ended(epoch)

    def test_a_record_of_compressed_lines_is_made_anew(self) -> None:
        """Of what is left."""
        world = World(
            options=PipelineOptions(framing="lines", shard_rate_limit=0.001, linger=0.01)
        ).run(1.0)
        for number in range(10):
            world.keyless(*[b"%d%03d" % (number, each) + bytes(5000) for each in range(20)])
            world.run(0.1)
        gone = move_out(world, 5004 * 7)
        world.run(3000)
        lines = {line for data in world.written for line in data.split(b"\n") if line}
        assert len(gone) == 7
        assert not lines & set(gone)
        world.check()
        assert world.pipeline.ledger.delivered == len(lines)


class TestCost:
    """It does not grow with the square of what is held."""

    @pytest.mark.parametrize("framing", ["kpl", "lines"])
    def test_in_steps_of_a_twentieth_hardly_anything_is_routed_again(
        self, framing: Framing, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Only what shared an entry with the last event that went."""
        world = known(framing=framing, shard_rate_limit=0.001)
        world.always = hang
        for number in range(50):
            world.keyless(*[b"%02d%04d" % (number, each) + bytes(94) for each in range(1000)])
        world.run(1)
        held = world.pipeline.ledger.pending
        assert held > 45_000
        routed: list[int] = []
        admit = Router.admit

        def counted(self: Router, contents: Iterable[Content], now: float) -> list[Content]:
            arrived = list(contents)
            routed.append(sum(map(len, arrived)))
            return admit(self, arrived, now)

        monkeypatch.setattr(Router, "admit", counted)
        while move_out(world, held * 100 // 20):
            world.step()
        assert len(routed) <= 22
        # An entry of 50 KiB holds some 500 of these events.
        assert sum(routed) <= 21 * 600


@st.composite
def contents(draw: st.DrawFn, arrival: float, serial: int) -> Content:
    """Return something that arrives; its data begins with its arrival, and is unlike any other."""
    size = draw(st.sampled_from([0, 10, 400, 3000]))
    if draw(st.booleans()):
        count = draw(st.integers(1, 12))
        return Chunk([b"%d %d " % (serial, each) + bytes(size) for each in range(count)], arrival)
    return UserRecord(
        b"%d " % serial + bytes(size),
        arrival=arrival,
        partition_key=draw(st.sampled_from([None, "a", "b", "c"])),
        ticket=Ticket() if draw(st.integers(0, 4)) == 0 else None,
    )


@settings(max_examples=150)
@given(data=st.data())
def test_room_is_made_by_the_oldest_whatever_has_happened(data: st.DataObject) -> None:
    """The account closes, what is older goes first, and calls under way are left alone."""
    draw = data.draw
    options = PipelineOptions(
        framing=draw(st.sampled_from(["kpl", "lines", "none"])),
        aggregate_max_bytes=2000,
        request_max_entries=draw(st.sampled_from([2, 10])),
        max_requests_in_flight=draw(st.sampled_from([1, 3])),
        shard_rate_limit=draw(st.sampled_from([0.01, math.inf])),
    )
    world = World(shards=draw(st.integers(1, 3)), options=options, jitter=0.5)
    outcomes = [world.write, hang, refuse(BACKOFF), refuse(REFUSED), refuse(DENIED), None]
    arrivals: dict[bytes, float] = {}
    added = gone_events = 0
    for serial in range(draw(st.integers(1, 12))):
        world.always = draw(st.sampled_from(outcomes)) or (
            lambda request: _all(FAULT, len(request.wire))
        )
        for _ in range(draw(st.integers(0, 4))):
            content = draw(contents(world.now, serial * 10 + added * 1000))
            added += len(content)
            arrivals.update(dict.fromkeys(content.each(), world.now))
            world.add(content)
        world.run(draw(st.sampled_from([0.0, 0.01, 0.3, 2.0])))
        under_way = _under_way(world)
        before = _waiting_of_nobody(world)
        overhead = draw(st.sampled_from([0, OVERHEAD]))
        size = draw(st.sampled_from([1, 100, 5_000, 10**9]))
        out = world.pipeline.move_out_oldest(size, world.now, event_overhead=overhead)
        gone = data_of(out)
        gone_events += len(gone)
        after = _waiting_of_nobody(world)

        assert sorted([*gone, *after]) == sorted(before)
        assert _under_way(world) == under_way
        assert not any(map(is_waited_for, out))
        ages = [arrivals[datum] for datum in gone]
        assert ages == sorted(ages)
        assert max(ages, default=-math.inf) <= min(
            map(arrivals.__getitem__, after), default=math.inf
        )
        freed = [len(datum) + overhead for datum in gone]
        assert sum(freed) >= size or not after
        assert sum(freed[:-1]) < size
        ledger = world.pipeline.ledger
        assert ledger.accepted == added - gone_events
        assert ledger.accepted == ledger.delivered + sum(ledger.dropped.values()) + ledger.pending
        world.step()
    world.always = world.write
    world.run(2000)
    world.check()
    assert world.pipeline._stock.limiter.waiting == 0


def _under_way(world: World) -> list[bytes]:
    stock = world.pipeline._stock
    remainders = [
        *(of for call in stock.calls._under_way.values() for of in call),
        *(answer.of for answer in stock.waiting._unjudged),
    ]
    return data_of(c for of in remainders if of.left is not None for c in of.left.contents)


def _waiting_of_nobody(world: World) -> list[bytes]:
    """Return the data of what waits and nobody waits for."""
    stock = world.pipeline._stock
    places = (stock.calls, stock.waiting, stock.limiter)
    queued = [c for place in places for entry in place.queued() for c in entry.contents]
    return data_of(
        content for content in [*queued, *stock.router.contents()] if not is_waited_for(content)
    )


def _all(result: EntryResult, entries: int) -> Answered:
    return Answered([result] * entries)
