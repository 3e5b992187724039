"""Which shard is read when, and in which order records come out: by hand, on a clock of numbers."""

from __future__ import annotations

import math

import pytest

from kinesink.cli.tail.walk import (
    PACE,
    POLL,
    START,
    Failure,
    Found,
    GaveUpError,
    GetIterator,
    GetRecords,
    Listed,
    Page,
    Place,
    Record,
    Remedy,
    Walk,
)

A, B, C = "shard-a", "shard-b", "shard-c"
LATEST = Place("LATEST")
PASSING = Failure("the network is down.", Remedy.AGAIN)


def walk_of(
    *shards: str | Listed,
    place: Place = START,
    follow: bool = True,
    until: float = math.inf,
    only: frozenset[str] = frozenset(),
) -> Walk:
    """Return a walk over shards."""
    listed = [Listed(shard) if isinstance(shard, str) else shard for shard in shards]
    return Walk(listed, place, follow=follow, until=until, only=only)


def record(shard: str, arrival: float) -> Record:
    """Return a record that tells when it came."""
    return Record(shard, str(int(arrival * 10)), arrival, b"")


def page(shard: str, *arrivals: float, tip: bool = False) -> Page:
    """Return a page of records."""
    return Page([record(shard, arrival) for arrival in arrivals], f"{shard} again", tip)


def end(shard: str, *arrivals: float, children: tuple[Listed, ...] = ()) -> Page:
    """Return the last page of a closed shard."""
    return page(shard, *arrivals)._replace(iterator=None, children=children)


def begin(walk: Walk, now: float = 0.0) -> None:
    """Have every shard that may be read find its place."""
    for call in walk.calls(now, 100):
        assert isinstance(call, GetIterator)
        walk.take(call, Found(call.shard_id, 1_000.0), now)


def answer(walk: Walk, shard: str, page: Page, now: float) -> None:
    """Have a shard that is due answer a read."""
    (call,) = [call for call in walk.calls(now, 100) if call.shard_id == shard]
    assert isinstance(call, GetRecords)
    walk.take(call, page, now)


def arrivals(walk: Walk) -> list[float]:
    """Return the times of what comes out."""
    return [record.arrival for record in walk.ready()]


class TestPace:
    """A shard answers five reads a second, to all its readers."""

    def test_a_place_is_found_before_anything_is_read(self) -> None:
        """In each shard, and the read follows at once."""
        walk = walk_of(A, B)
        assert walk.calls(0, 100) == [GetIterator(A, START), GetIterator(B, START)]
        walk.take(GetIterator(A, START), Found("place", 0), 0.1)
        assert walk.calls(0.1, 100) == [GetRecords(A, "place")]

    def test_one_call_at_a_time_for_each_shard(self) -> None:
        """While it is under way nothing is due."""
        walk = walk_of(A)
        walk.calls(0, 100)
        assert walk.calls(100, 100) == []
        assert walk.deadline() == math.inf

    def test_no_more_calls_than_there_is_room_for(self) -> None:
        """The others come when it is their turn."""
        walk = walk_of(A, B, C)
        assert len(walk.calls(0, 2)) == 2
        assert [call.shard_id for call in walk.calls(0, 2)] == [C]

    def test_four_reads_a_second_while_there_is_more(self) -> None:
        """Counted from the begin of one call to the begin of the next."""
        walk = walk_of(A)
        begin(walk)
        answer(walk, A, page(A, 1), 0.0)
        walk.ready()
        assert walk.deadline() == PACE
        assert walk.calls(PACE - 0.01, 100) == []
        assert walk.calls(PACE, 100) == [GetRecords(A, f"{A} again")]

    def test_one_a_second_at_the_end_of_what_there_is(self) -> None:
        """Each reader takes a share of all of them."""
        walk = walk_of(A)
        begin(walk)
        answer(walk, A, page(A, tip=True), 0.0)
        assert walk.deadline() == POLL

    def test_nothing_is_read_on_while_a_page_is_held(self) -> None:
        """So no more than a page of each shard is in memory."""
        walk = walk_of(A, B)
        begin(walk)
        answer(walk, A, page(A, 5), 0.0)
        assert arrivals(walk) == []
        assert [call.shard_id for call in walk.calls(10, 100)] == []
        walk.take(GetRecords(B, B), page(B, 9), 10)
        assert arrivals(walk) == [5]
        assert [call.shard_id for call in walk.calls(20, 100)] == [A]


class TestOrder:
    """Records of all shards come out by their arrival."""

    def test_what_is_older_elsewhere_comes_first(self) -> None:
        """And what may still be there is waited for."""
        walk = walk_of(A, B)
        begin(walk)
        answer(walk, A, page(A, 1, 4), 0.0)
        assert arrivals(walk) == []
        walk.take(GetRecords(B, B), page(B, 2, 3), 0.1)
        assert arrivals(walk) == [1, 2, 3]
        answer(walk, B, page(B, 5), 1.0)
        assert arrivals(walk) == [4]

    def test_within_a_shard_the_order_is_that_of_the_shard(self) -> None:
        """Clocks of a service may differ by a little."""
        walk = walk_of(A)
        begin(walk)
        answer(walk, A, page(A, 2, 1, 3), 0.0)
        assert arrivals(walk) == [2, 1, 3]

    def test_a_shard_without_more_holds_nothing_up(self) -> None:
        """What it has not got yet is newer."""
        walk = walk_of(A, B)
        begin(walk)
        answer(walk, A, page(A, 1, 4), 0.0)
        walk.take(GetRecords(B, B), page(B, tip=True), 0.1)
        assert arrivals(walk) == [1, 4]

    def test_a_shard_that_fails_holds_nothing_up(self) -> None:
        """Its records come when it answers again."""
        walk = walk_of(A, B)
        begin(walk)
        answer(walk, A, page(A, 1, 4), 0.0)
        walk.take(GetRecords(B, B), PASSING, 0.1)
        assert arrivals(walk) == [1, 4]

    def test_a_shard_that_has_fallen_behind_is_waited_for_again(self) -> None:
        """It had no more, and has a lot now."""
        walk = walk_of(A, B)
        begin(walk)
        answer(walk, A, page(A, tip=True), 0.0)
        walk.take(GetRecords(B, B), page(B, tip=True), 0.0)
        answer(walk, A, page(A, 10), 1.0)
        walk.take(GetRecords(B, f"{B} again"), page(B, 12, tip=True), 1.0)
        assert arrivals(walk) == [10]


class TestResharding:
    """Children are read after their parents."""

    def test_children_follow_their_parent(self) -> None:
        """From their begin, once the parent is read to its end."""
        walk = walk_of(A, place=LATEST)
        begin(walk)
        answer(walk, A, end(A, 1, children=(Listed(B, (A,)), Listed(C, (A,)))), 0.0)
        assert arrivals(walk) == [1]
        assert walk.calls(0, 100) == [GetIterator(B, START), GetIterator(C, START)]

    def test_children_that_were_listed_wait_as_well(self) -> None:
        """They hold nothing up meanwhile."""
        walk = walk_of(A, Listed(B, (A,)))
        begin(walk)
        answer(walk, A, page(A, 1), 0.0)
        assert arrivals(walk) == [1]
        answer(walk, A, end(A, children=(Listed(B, (A,)),)), 1.0)
        assert walk.calls(1, 100) == [GetIterator(B, START)]

    def test_the_child_of_two_waits_for_both(self) -> None:
        """It is named by each of them, and read once."""
        child = (Listed(C, (A, B)),)
        walk = walk_of(A, B)
        begin(walk)
        answer(walk, A, end(A, children=child), 0.0)
        assert walk.calls(0, 100) == []
        walk.take(GetRecords(B, B), end(B, children=child), 0.0)
        assert walk.calls(0, 100) == [GetIterator(C, START)]

    def test_parents_that_are_not_read_are_not_waited_for(self) -> None:
        """They were closed before the time of the begin."""
        assert walk_of(Listed(B, (A,))).calls(0, 100) == [GetIterator(B, START)]

    def test_only_the_shards_that_are_wanted(self) -> None:
        """And none made of them; the reading ends with them."""
        walk = walk_of(A, B, only=frozenset({A}))
        begin(walk)
        answer(walk, A, end(A, children=(Listed(C, (A,)),)), 0.0)
        assert walk.ended


class TestEnd:
    """A reading that does not follow ends."""

    def test_at_the_end_of_what_there_is(self) -> None:
        """Of every shard, when everything is out."""
        walk = walk_of(A, B, follow=False)
        begin(walk)
        answer(walk, A, page(A, 1, tip=True), 0.0)
        walk.take(GetRecords(B, B), page(B, 2), 0.0)
        assert not walk.ended
        assert arrivals(walk) == [1, 2]
        answer(walk, B, page(B, tip=True), 1.0)
        assert walk.ended

    def test_at_what_came_after_it_began(self) -> None:
        """A busy stream has no end."""
        walk = walk_of(A, follow=False, until=100)
        begin(walk)
        answer(walk, A, page(A, 99), 0.0)
        walk.ready()
        answer(walk, A, page(A, 101), 1.0)
        assert arrivals(walk) == [101]
        assert walk.ended

    def test_one_that_follows_does_not(self) -> None:
        """Unless the stream does."""
        walk = walk_of(A, until=100)
        begin(walk)
        answer(walk, A, page(A, 101, tip=True), 0.0)
        walk.ready()
        assert not walk.ended


class TestFailures:
    """What passes is tried again, more and more seldom."""

    def test_pauses_grow(self) -> None:
        """Up to ten seconds."""
        walk = walk_of(A)
        begin(walk)
        pauses, now = [], 0.0
        for _ in range(8):
            (call,) = walk.calls(now, 100)
            walk.take(call, PASSING, now)
            pauses.append(walk.deadline() - now)
            now = walk.deadline()
        assert pauses == [0.5, 1, 2, 4, 8, 10, 10, 10]

    def test_a_success_makes_them_short_again(self) -> None:
        """It was another trouble before."""
        walk = walk_of(A)
        begin(walk)
        for now, result in ((0, PASSING), (1, PASSING), (3, page(A, tip=True)), (4, PASSING)):
            (call,) = walk.calls(now, 100)
            walk.take(call, result, now)
        assert walk.deadline() == 4.5

    def test_a_reading_that_ends_does_not_try_for_ever(self) -> None:
        """It ends with the reason."""
        walk = walk_of(A, follow=False)
        begin(walk)
        for now in range(0, 500, 100):
            (call,) = walk.calls(now, 100)
            walk.take(call, PASSING, now)
        (call,) = walk.calls(500, 100)
        with pytest.raises(GaveUpError, match="the network is down"):
            walk.take(call, PASSING, 500)

    def test_what_somebody_has_to_repair_ends_it_at_once(self) -> None:
        """Also one that follows."""
        walk = walk_of(A)
        with pytest.raises(GaveUpError, match="no permission"):
            walk.take(GetIterator(A, START), Failure("no permission", Remedy.NONE), 0)

    def test_an_expired_iterator_goes_on_where_it_was(self) -> None:
        """Behind the last record that was read."""
        walk = walk_of(A)
        begin(walk)
        answer(walk, A, page(A, 1, 2), 0.0)
        walk.ready()
        (call,) = walk.calls(1, 100)
        walk.take(call, Failure("expired", Remedy.NEW_ITERATOR), 1)
        assert walk.calls(10, 100) == [
            GetIterator(A, Place("AFTER_SEQUENCE_NUMBER", sequence_number="20"))
        ]

    def test_an_expired_iterator_of_the_latest_loses_nothing(self) -> None:
        """What came since it was made is read, although that is not the latest any more."""
        walk = walk_of(A, place=LATEST)
        begin(walk)
        (call,) = walk.calls(0, 100)
        walk.take(call, Failure("expired", Remedy.NEW_ITERATOR), 0)
        assert walk.calls(10, 100) == [GetIterator(A, Place("AT_TIMESTAMP", 1_000.0))]
