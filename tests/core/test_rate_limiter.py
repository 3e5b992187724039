"""The entries that wait for their shard: who goes next, where, and at what cost."""

from __future__ import annotations

import gc
import math
import sys
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesink.core.collector import Collector
from kinesink.core.rate_limiter import RateLimiter
from tests.core.entries import (
    OPTIONS,
    every_shard,
    keyed_entry,
    keyless_entry,
    limiter,
    open_shards,
    sends,
    shard_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.core.entry import Entry
    from kinesink.core.records import ShardId

MIB = 2**20


class TestQueues:
    """Keyed entries wait for their shard, first in first out."""

    def test_r16_one_throttled_shard_delays_nobody_else(self) -> None:
        """Its own entries wait; those of another shard go."""
        limited = limiter()
        for number in range(4):
            limited.add(keyed_entry(predicted=shard_id(number % 2)), 0.0)
        limited.throttled(shard_id(0), 0.5, 1.0, 1.0)
        log = sends(limited, 0.9, start=1.0)
        assert log == []
        log = sends(limited, 1.05, start=1.0)

        assert [shard for _, shard, _ in log] == [shard_id(1)] * 2
        assert [shard for _, shard, _ in sends(limited, 1.2, start=1.05)] == [shard_id(0)] * 2
        assert limited.waiting == 0

    def test_a_returned_entry_is_first_in_line(self) -> None:
        """Before what has arrived since."""
        limited = limiter()
        limited.add(keyed_entry(10, predicted=shard_id(0)), 0.0)
        limited.add(keyed_entry(20, predicted=shard_id(0)), 0.0, first=True)
        limited.add(keyless_entry(30), 0.0)
        limited.add(keyless_entry(40), 0.0, first=True)

        assert [size for _, _, size in sends(limited, 0.0)] == [20, 10, 40, 30]

    def test_a_returned_entry_is_looked_at_at_once(self) -> None:
        """It may be smaller than the one that waits for a full bucket."""
        limited = limiter()
        limited.add(keyed_entry(10 * MIB, predicted=shard_id(0)), 0.0)
        assert sends(limited, 0.0) == []
        assert limited.deadline(0.0) > 0.5
        limited.add(keyed_entry(100, predicted=shard_id(0)), 0.1, first=True)

        assert sends(limited, 0.1, start=0.1) == [(0.1, shard_id(0), 100)]

    def test_l4_a_small_entry_behind_a_large_one_waits_for_the_refill(self) -> None:
        """1 MiB goes when the bucket is full; the next goes when the debt is paid."""
        limited = limiter()
        limited.add(keyed_entry(MIB, predicted=shard_id(0)), 0.0)
        limited.add(keyed_entry(100, predicted=shard_id(0)), 0.0)
        (first, _, _), (second, _, _) = sends(limited, 10.0)

        assert first < 1.0
        assert second - first < 4.0

    def test_entries_without_a_shard_wait_for_backoff_only(self) -> None:
        """Without a map there is no pace to keep."""
        limited = limiter()
        for _ in range(3000):
            limited.add(keyed_entry(10_000), 0.0)
        limited.add(keyless_entry(10_000), 0.0)
        assert len(sends(limited, 0.0)) == 3001
        limited.add(keyed_entry(), 0.5)
        limited.add(keyless_entry(), 0.5)
        limited.throttled(None, 0.5, 1.0, 1.0)
        assert limited.deadline(1.0) <= 1.0
        log = sends(limited, 2.0, start=1.0)
        assert {shard for _, shard, _ in log} == {None}
        assert all(at >= 1.1 for at, _, _ in log)
        limited.taken(None, 2.0)
        assert limited.pace_of(None, 2.0).throttles == 0

    def test_an_unknown_shard_has_no_pace_to_slow_down(self) -> None:
        """It is gone, or nothing was ever sent to it."""
        limited = limiter()
        limited.throttled(shard_id(7), 0.0, 1.0, 1.0)
        limited.taken(shard_id(7), 0.0)

        assert limited.pace_of(shard_id(7), 1.0).throttles == 0

    def test_a_request_refused_for_rate_slows_every_shard(self) -> None:
        """Each keeps its own count."""
        limited = limiter()
        paces = [limited.pace_of(shard_id(number), 0.0) for number in range(3)]
        limited.all_throttled(0.5, 1.0, 1.0)
        limited.taken(shard_id(1), 1.5)

        assert [each.throttles for each in paces] == [1, 0, 1]
        assert {each.rate for each in paces} == {0.0625}

    def test_old_entries_can_be_withdrawn(self) -> None:
        """From every queue; the others keep their order."""
        limited = limiter()
        for arrival in (1.0, 5.0, 2.0, 6.0):
            limited.add(keyed_entry(10, predicted=shard_id(0), arrival=arrival), 7.0)
            limited.add(keyed_entry(10, arrival=arrival), 7.0)
            limited.add(keyless_entry(10, arrival=arrival), 7.0)
        assert limited.oldest() == 1.0
        gone = limited.withdraw(lambda entry: entry.oldest <= 2.0)

        assert sorted(entry.oldest for entry in gone) == [1.0] * 3 + [2.0] * 3
        assert limited.waiting == 6
        assert limited.oldest() == 5.0
        assert limited.withdraw(lambda entry: entry.oldest <= 2.0) == []
        assert len(limited.withdraw(lambda _: True)) == 6
        assert limited.oldest() == math.inf
        assert limited.deadline(7.0) <= 7.0
        assert sends(limited, 8.0, start=7.0) == []

    def test_what_waits_long_is_looked_at_each_second(self) -> None:
        """Its rate may have grown meanwhile, so that its debt is paid earlier."""
        limited = limiter(1)
        one = limited.pace_of(shard_id(0), 0.0)
        one.throttled(-0.1, 0.0, jitter=0.0)
        one.spend(10 * MIB)
        for entry in (keyed_entry(predicted=shard_id(0)), keyless_entry()):
            limited.add(entry, 1.0)
            assert sends(limited, 1.0, start=1.0) == []
            assert limited.deadline(1.0) <= 2.02

    def test_withdrawn_entries_leave_no_growth_behind(self) -> None:
        """Nobody waits for the shard any more."""
        limited = limiter()
        one = limited.pace_of(shard_id(0), 0.0)
        one.spend(MIB)
        limited.add(keyed_entry(predicted=shard_id(0)), 0.0)
        assert sends(limited, 0.0) == []
        limited.withdraw(lambda _: True)
        assert list(limited.ready_paces(1.0)) == []
        one.wait(1, 1.0)

        assert one.rate == 0.25

    @settings(max_examples=100)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["add", "first", "keyless", "run", "throttle", "withdraw"]),
                st.integers(0, 2),
                st.integers(1, 300_000),
            ),
            max_size=60,
        )
    )
    def test_no_entry_is_lost_and_no_clock_spins(self, steps: list[tuple[str, int, int]]) -> None:
        """Whatever happens, each entry that was added comes out once."""
        limited, collector = limiter(3), Collector(OPTIONS)
        now, added, out = 0.0, [], []
        for step, shard, size in steps:
            now += 0.01
            if step in {"add", "first"}:
                added.append(keyed_entry(size, predicted=shard_id(shard), arrival=now))
                limited.add(added[-1], now, first=step == "first")
            elif step == "keyless":
                added.append(keyless_entry(size, arrival=now))
                limited.add(added[-1], now)
            elif step == "throttle":
                limited.throttled(shard_id(shard), now - 0.005, now, 0.7)
            elif step == "withdraw":
                old = [entry for entry in limited.queued() if entry.oldest <= now - 0.05]
                out += limited.withdraw(old.__contains__)
            else:
                while (request := collector.form(limited, now)) is not None:
                    out += request.entries
                assert limited.deadline(now) > now
            assert limited.waiting == len(added) - len(out)
        rounds = 0
        while limited.waiting:
            rounds += 1
            assert rounds < 2000
            while (request := collector.form(limited, now)) is not None:
                out += request.entries
            following = limited.deadline(now)
            assert following > now
            now = following if limited.waiting else now
        assert sorted(map(id, out)) == sorted(map(id, added))


class TestBeat:
    """Shards that run at their rate share requests."""

    def test_l7_waits_end_together(self) -> None:
        """On a grid of 20 ms, never before the tokens are there."""
        limited = limiter()
        for number in range(16):
            for _ in range(20):
                limited.add(keyed_entry(40_000 + 100 * number, predicted=shard_id(number)), 0.0)
        times = sorted({at for at, _, _ in sends(limited, 3.0)})

        assert all(later - earlier > 0.019 for earlier, later in pairwise(times))

    @pytest.mark.parametrize(("linger", "beat"), [(0.1, 0.02), (10.0, 0.02), (0.05, 0.01)])
    def test_the_beat_is_a_fifth_of_linger_and_20_ms_at_most(
        self, linger: float, beat: float
    ) -> None:
        """So that it stays inside the promise of latency."""
        limited = limiter(linger=linger)
        limited.add(keyed_entry(51_200, predicted=shard_id(0)), 0.0)
        limited.add(keyed_entry(100, predicted=shard_id(0)), 0.0)
        (_, _, _), (second, _, _) = sends(limited, 1.0)

        assert second == pytest.approx(beat)

    def test_without_linger_there_is_no_beat(self) -> None:
        """An entry goes as soon as its tokens are there."""
        limited = limiter(linger=0.0)
        limited.add(keyed_entry(51_200, predicted=shard_id(0)), 0.0)
        limited.add(keyed_entry(100, predicted=shard_id(0)), 0.0)
        (_, _, _), (second, _, _) = sends(limited, 1.0)

        assert second == pytest.approx(100 / (MIB / 4), rel=1e-3)


class TestReshards:
    """What the children of a shard inherit."""

    def test_r13_after_a_split_both_go_on_at_the_rate_of_the_parent(self) -> None:
        """And the parent's pace is released."""
        limited = limiter()
        limited.pace_of(shard_id(0), 0.0).rate = 0.6
        children = open_shards(2)
        limited.bequeath(shard_id(9), children, 1.0)
        limited.bequeath(shard_id(0), children, 1.0)

        assert set(limited._paces) == {child.shard_id for child in children}
        assert {limited.pace_of(child.shard_id, 1.0).rate for child in children} == {0.6}

    def test_r13_children_do_not_begin_to_double_anew(self) -> None:
        """The parent knew that the stream is shared, and so do they."""
        limited = limiter()
        parent = limited.pace_of(shard_id(9), 0.0)
        parent.throttled(-0.1, 0.0, jitter=1.0)
        children = open_shards(2)
        limited.bequeath(shard_id(9), children, 0.01)
        for child in children:
            one = limited.pace_of(child.shard_id, 0.01)
            one.spend(MIB)
            for tick in range(100):
                one.wait(1000, tick / 50)
            assert one.rate == pytest.approx(0.0625, rel=0.01)
            one.throttled(2.0, 3.0, jitter=0.0)
            assert one.rate == pytest.approx(0.0625 * 0.7, rel=0.01)

    def test_r13_children_do_not_wait_for_the_backoff_of_their_parent(self) -> None:
        """They have room of their own."""
        limited = limiter()
        for second in range(1, 9):
            limited.pace_of(shard_id(9), 0.0).throttled(second - 0.5, second, jitter=1.0)
        (child,) = open_shards(1)
        limited.bequeath(shard_id(9), [child], 8.1)

        assert limited.pace_of(child.shard_id, 8.1).wait(100, 8.1) == 0.0

    def test_after_a_merge_the_lower_rate_counts(self) -> None:
        """In whichever order the parents go."""
        (child,) = open_shards(1)
        for rates in ((0.6, 0.3), (0.3, 0.6)):
            limited = limiter()
            for number, rate in enumerate(rates, start=1):
                limited.pace_of(shard_id(number), 0.0).rate = rate
            for number in (1, 2):
                limited.bequeath(shard_id(number), [child], 1.0)
            assert limited.pace_of(child.shard_id, 1.0).rate == 0.3


class TestCost:
    """What waiting entries and many shards cost, in calls."""

    @pytest.mark.parametrize("is_keyless", [True, False])
    def test_p2_one_more_costs_the_same_however_many_wait(self, *, is_keyless: bool) -> None:
        """10 or 10,000 entries in the queue of a shard, or keyless."""

        def make() -> Entry:
            return keyless_entry() if is_keyless else keyed_entry(predicted=shard_id(0))

        def cost(waiting: int) -> int:
            limited = limiter(1)
            for _ in range(waiting):
                limited.add(make(), 0.0)
            entry = make()
            return calls(lambda: limited.add(entry, 0.0))

        assert cost(10) == cost(10_000)

    def test_p4_an_entry_costs_the_same_at_10_000_shards_as_at_one(self) -> None:
        """From the line to the request, and back as taken."""

        def cost(count: int) -> int:
            limited, collector = limiter(count, ceiling=math.inf), Collector(OPTIONS)
            for number in range(count):
                limited.pace_of(shard_id(number), 0.0)
            entries = [keyless_entry(100, arrival=0.0) for _ in range(400)]

            def work() -> None:
                for entry in entries:
                    limited.add(entry, 0.0)
                request = collector.form(limited, 0.0)
                assert request is not None
                for entry in request.entries:
                    limited.taken(entry.predicted, 0.0)

            return calls(work)

        assert cost(10_000) <= 1.3 * cost(1)

    def test_p4_an_entry_finds_room_at_the_first_look(self) -> None:
        """Among shards that have some; it is not weighed against others."""
        looks = 0
        limited = limiter(10_000)
        for number in range(10_000):
            limited.pace_of(shard_id(number), 0.0)

        def grants(_shard: ShardId, _size: int) -> bool:
            nonlocal looks
            looks += 1
            return True

        for _ in range(100):
            limited.place_keyless(100, 0.0, grants)
        assert looks == 100

    def test_p4_where_nothing_has_room_sixteen_shards_are_looked_at(self) -> None:
        """However many there are."""

        def cost(count: int) -> int:
            limited = limiter(count)
            for number in range(count):
                limited.pace_of(shard_id(number), 0.0).spend(MIB)
            return calls(lambda: limited.place_keyless(100, 0.0, every_shard))

        assert cost(16) == cost(10_000)


def calls(work: Callable[[], object]) -> int:
    """Return how many calls `work` makes."""
    count = 0

    def profile(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    gc.disable()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


def test_processes_that_start_together_begin_with_different_shards() -> None:
    """The shard of the first keyless entry is drawn, not always the first one."""
    begun_with = set()
    for jitter in (0.0, 0.3, 0.6, 0.9):
        made = RateLimiter(OPTIONS, jitter=jitter)
        made.use_shards(open_shards(8))
        placement = made.place_keyless(10, 0.0, every_shard)
        assert placement is not None
        begun_with.add(placement.shard_id)
    assert len(begun_with) > 1
