"""The pace of each shard: what it may see in any window, and what a throttle changes."""

from __future__ import annotations

import gc
import math
import sys
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesink.core.collector import Collector
from kinesink.core.limits import SHARD_BYTES_PER_SECOND
from kinesink.core.pace import Quiet, ShardPace
from kinesink.core.rate_limiter import RateLimiter
from tests.core.entries import (
    OPTIONS,
    equal_shards,
    keyed_entry,
    keyless_entry,
    map_of,
    shard_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.core.entry import Entry
    from kinesink.core.options import PipelineOptions
    from kinesink.core.records import ShardId
    from kinesink.core.shard_map import Shard

MIB = 2**20


def pace(*, ceiling: float = 1.0, first_bytes: int = 51_200, now: float = 0.0) -> ShardPace:
    """Return the pace of a shard at its start."""
    return ShardPace(shard_id(0), ceiling=ceiling, first_bytes=first_bytes, now=now, quiet=Quiet())


def limiter(shards: int = 0, *, linger: float = 0.1, ceiling: float = 1.0) -> RateLimiter:
    """Return a limiter that places keyless entries on so many equal shards."""
    made = RateLimiter(replace(OPTIONS, linger=linger, shard_rate_limit=ceiling))
    made.use_shards(open_shards(shards))
    return made


def open_shards(count: int) -> list[Shard]:
    """Return `count` equal shards."""
    return map_of(equal_shards(count)).shards if count else []


def every_shard(_shard: ShardId, _size: int) -> bool:
    """Grant each shard what it asks for, as an empty request does."""
    return True


def sends(
    limited: RateLimiter, until: float, *, options: PipelineOptions = OPTIONS, start: float = 0.0
) -> list[tuple[float, ShardId | None, int]]:
    """Run collector and clock until `until`; return when which shard got how many bytes."""
    collector, now, log = Collector(options), start, []
    while now <= until:
        while (request := collector.form(limited, now)) is not None:
            log += [(now, entry.predicted, entry.size) for entry in request.entries]
        following = limited.deadline(now)
        assert following > now
        now = following
    return log


class TestBuckets:
    """Tokens come at the rate and stop at a second's worth."""

    def test_the_start_is_small(self) -> None:
        """One aggregated record, and a tenth of a second's records at a quarter of the rate."""
        fresh = pace()

        assert fresh.rate == 0.25
        assert fresh.byte_tokens == 51_200
        assert fresh.record_tokens == 25

    @pytest.mark.parametrize(("ceiling", "rate"), [(0.1, 0.1), (1.0, 0.25), (1.5, 0.25)])
    def test_the_start_is_never_above_the_ceiling(self, ceiling: float, rate: float) -> None:
        """Whoever asks for a tenth gets a tenth."""
        assert pace(ceiling=ceiling).rate == rate

    def test_the_wait_is_what_is_missing_at_the_rate(self) -> None:
        """In bytes or in records, whichever is longer."""
        fresh = pace()
        assert fresh.wait(51_200, 0.0) == 0.0
        fresh.spend(51_200)
        assert fresh.wait(26_214, 0.0) == pytest.approx(0.1, rel=1e-4)
        for _ in range(24):
            fresh.spend(0)
        assert fresh.wait(1, 0.0) == pytest.approx(0.004)

    def test_a_bucket_holds_a_second_of_the_rate(self) -> None:
        """An hour of silence saves no more."""
        rested = pace()
        assert rested.wait(1, 3600.0) == 0.0
        assert rested.byte_tokens == MIB / 4
        assert rested.record_tokens == 250

    def test_l4_an_entry_larger_than_the_bucket_goes_into_debt(self) -> None:
        """It waits for a full bucket, and what follows waits until the debt is paid."""
        rested = pace(first_bytes=0)
        ready_at = rested.wait(10 * MIB, 0.0)
        assert 0.8 < ready_at <= 1.0
        assert rested.wait(10 * MIB, 2.0) == 0.0
        rate, bucket = rested.rate * SHARD_BYTES_PER_SECOND, rested.byte_tokens
        rested.spend(10 * MIB)

        assert rested.byte_tokens == bucket - 10 * MIB
        assert rested.wait(1, 2.0) == pytest.approx((10 * MIB - bucket + 1) / rate)

    def test_without_a_ceiling_there_is_no_pace(self) -> None:
        """An infinite rate; only the backoff after a throttle is kept."""
        free = pace(ceiling=math.inf)
        for now in (0.0, 0.0, 1.0):
            assert free.wait(10 * MIB, now) == 0.0
            free.spend(10 * MIB)
        free.throttled(1.0, 2.0, jitter=1.0)
        assert free.wait(1, 2.0) == pytest.approx(0.1)
        assert free.wait(1, 2.1) == 0.0
        assert math.isinf(free.rate)

    def test_waits_too_short_for_a_clock_are_none(self) -> None:
        """A clock of months cannot tell them from now; nobody may spin on them."""
        almost = pace()
        almost.spend(51_200)
        wait = almost.wait(1000, 0.0)

        assert almost.wait(1000, wait - 5e-7) == 0.0

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(
            st.tuples(st.floats(0, 2), st.integers(1, 2 * MIB), st.integers(0, 9)),
            min_size=1,
            max_size=60,
        ),
        st.sampled_from([0.005, 0.3, 1.0, 1.5]),
    )
    def test_l5_no_window_sees_more_than_a_bucket_and_the_rate(
        self, steps: list[tuple[float, int, int]], ceiling: float
    ) -> None:
        """Between any two sends, in bytes and records, plus the debt of one large entry."""
        one, now = pace(ceiling=ceiling, first_bytes=10_000), 0.0
        sent: list[tuple[float, int, float]] = []
        for pause, size, luck in steps:
            now += pause
            if luck == 0:
                one.throttled(now - 0.01, now, jitter=0.5)
            for _ in range(20 * luck):
                one.taken(now)
            while (wait := one.wait(size, now)) > 0:
                now += wait
            one.spend(size)
            sent.append((now, size, one.rate))
        for first in range(len(sent)):
            seen, highest, lowest, largest = 0, 0.0, math.inf, 0
            for records, (at, size, rate) in enumerate(sent[first:], start=1):
                seen, highest, largest = seen + size, max(highest, rate), max(largest, size)
                lowest = min(lowest, rate)
                window, start_tokens = at - sent[first][0], max(10_000.0, highest * MIB)
                debt = max(0.0, largest - lowest * MIB)
                assert seen <= start_tokens + highest * MIB * window + debt + 8 * records
                assert records <= max(1, highest * 1000) * (1 + 1e-9) + highest * 1000 * window + 1


class TestAdaptation:
    """Doubling until the first throttle, then growth by quiet time, and cuts by excess."""

    def held_back(self, one: ShardPace, seconds: float, *, taken: bool = False) -> None:
        """Keep asking for more than the shard's rate for a while."""
        start = one._updated_at
        for tick in range(1, round(seconds * 50) + 1):
            now = start + tick / 50
            while one.wait(1000, now) == 0:
                one.spend(1000)
                if taken:
                    one.taken(now)

    def settled(self, *, accepted: int = 0) -> ShardPace:
        """Return the pace of a shard that was throttled before, at a quarter of the start."""
        one = pace(first_bytes=0)
        one.throttled(-0.1, 0.0, jitter=0.0)
        for _ in range(accepted):
            one.taken(0.0)
        return one

    def test_it_doubles_each_second_until_the_first_throttle(self) -> None:
        """While it is what holds entries back; up to the ceiling."""
        one = pace()
        one.wait(1, 0.0)
        one.spend(10 * 51_200)
        one.wait(1, 0.0)
        one.wait(1, 0.5)
        assert one.rate == pytest.approx(0.25 * 2**0.5)
        one.wait(1, 1.0)
        assert one.rate == pytest.approx(0.5)
        self.held_back(one, 5.0)
        assert one.rate == 1.0

    def test_it_grows_only_while_it_is_wanted(self) -> None:
        """Low traffic earns no rate, nor does a long sleep in debt earn more than a second's."""
        calm = pace()
        for second in range(100):
            assert calm.wait(100, float(second)) == 0.0
            calm.spend(100)
        assert calm.rate == 0.25
        calm.spend(10 * MIB)
        calm.wait(100, 100.0)
        calm.wait(100, 130.0)
        assert calm.rate == pytest.approx(0.5)

    def test_it_does_not_grow_past_the_end_of_a_wait(self) -> None:
        """Whoever waited went elsewhere then, or has gone."""
        left = pace(first_bytes=0)
        assert left.wait(262_144 // 2, 0.0) == pytest.approx(0.4)
        left.wait(1, 600.0)

        assert left.rate == pytest.approx(0.25 * 2**0.4)

    def test_the_first_throttle_cuts_it_to_a_quarter(self) -> None:
        """Where nothing was accepted before, it was a guess; else it is a cut like others."""
        one = pace()
        one.throttled(0.0, 1.0, jitter=0.5)
        assert one.rate == 0.0625

        known = pace()
        for _ in range(99):
            known.taken(0.5)
        known.throttled(0.0, 1.0, jitter=0.5)
        assert known.rate == pytest.approx(0.25 * 0.94)

    def test_f2_throttles_hold_the_shard_back(self) -> None:
        """Longer each time in a row, with full jitter."""
        one = pace()
        one.throttled(0.0, 1.0, jitter=0.5)
        assert one.wait(1, 1.0) == pytest.approx(0.05)
        one.throttled(1.5, 2.0, jitter=1.0)
        assert one.wait(1, 2.0) == pytest.approx(0.2)
        one.throttled(2.5, 3.0, jitter=1.0)
        assert one.wait(1, 3.0) == pytest.approx(0.4)

    @pytest.mark.parametrize(("accepted", "cut"), [(0, 0.3), (10, 0.3), (99, 0.06), (5999, 0.001)])
    def test_a_cut_is_six_excesses_and_three_tenths_at_most(
        self, accepted: int, cut: float
    ) -> None:
        """One refused in a hundred says that the load is a hundredth too high."""
        one = self.settled(accepted=accepted)
        one.throttled(0.5, 1.0, jitter=0.0)
        assert one.rate == pytest.approx(0.0625 * (1 - cut))
        one.throttled(1.5, 2.0, jitter=0.0)
        assert one.rate == pytest.approx(0.0625 * (1 - cut) * 0.7)

    def test_a_cut_counts_every_refusal_since_the_last(self) -> None:
        """Of a hundred in flight together, one says as little as one of a hundred accepted."""
        one = self.settled()
        for _ in range(1000):
            one.taken(0.1)
        for _ in range(9):
            one.throttled(-0.1, 0.2, jitter=0.0)
        one.throttled(0.3, 1.0, jitter=0.0)

        assert one.rate == pytest.approx(0.0625 * (1 - 6 * 10 / 1010))

    def test_what_was_sent_before_a_throttle_counts_with_it(self) -> None:
        """A hundred refusals of one moment are one."""
        one = pace()
        for _ in range(100):
            one.throttled(0.5, 1.0, jitter=1.0)
        one.throttled(0.9, 1.3, jitter=1.0)

        assert one.throttles == 1
        assert one.rate == 0.0625

    def test_it_is_cut_once_in_a_fifth_of_a_second(self) -> None:
        """However densely the throttles come."""
        one = self.settled()
        for tick in range(1, 10):
            now = tick * 0.11
            one.taken(now - 0.02)
            one.throttled(now - 0.01, now, jitter=0.0)

        assert one.rate == pytest.approx(0.0625 * 0.7**4)

    def test_a_row_of_throttles_cuts_four_times(self) -> None:
        """It may be an outage, which is no reason to be slow after it."""
        one = pace()
        for second in range(1, 50):
            one.throttled(second - 0.1, float(second), jitter=0.0)

        assert one.throttles == 49
        assert one.rate == pytest.approx(0.0625 * 0.7**3)

    @pytest.mark.parametrize(("ceiling", "floor"), [(1.0, 0.001), (0.0005, 0.0005)])
    def test_it_has_a_floor(self, ceiling: float, floor: float) -> None:
        """A thousandth of a shard, or the ceiling where that is lower."""
        one = pace(ceiling=ceiling)
        for second in range(1, 100):
            one.taken(second - 0.05)
            one.throttled(second - 0.1, float(second), jitter=0.0)

        assert one.rate == floor

    def test_it_grows_faster_the_longer_nothing_was_throttled(self) -> None:
        """By the square of the time at first, so that it is flat where throttles are regular."""
        one = self.settled(accepted=128)
        rates = [one.rate]
        for _ in range(6):
            self.held_back(one, 10.0, taken=True)
            rates.append(one.rate)
        growth = [later / earlier for earlier, later in pairwise(rates)]

        assert growth == sorted(growth)
        assert growth[0] < 1.02
        assert 2.0 < rates[-1] / rates[0] < 4.0

    def test_quiet_counts_little_where_little_was_accepted(self) -> None:
        """Nobody refused it, but nobody was asked."""
        grown = {}
        for accepted in (1, 32, 128):
            one = self.settled(accepted=accepted)
            self.held_back(one, 30.0)
            grown[accepted] = one.rate / 0.0625 - 1

        assert 0.0 < grown[1] < grown[32] / 10
        assert grown[32] < grown[128] / 4

    def test_small_rates_grow_faster_than_large_ones(self) -> None:
        """Which evens out the rates of a fleet."""
        quiet = Quiet()
        quiet.disturb(0.0)
        quiet.accepted = 1000

        assert quiet.growth(0.01, 10.0) == pytest.approx(2 * quiet.growth(0.04, 10.0))

    def test_a_long_quiet_lets_it_double_again(self) -> None:
        """The neighbours that were in the way are gone."""
        quiet = Quiet()
        quiet.disturb(0.0)
        quiet.accepted = 1000

        assert quiet.growth(0.01, 100.0) == pytest.approx(0.1)
        assert quiet.growth(0.01, 3600.0) == pytest.approx(math.log(2))

    def test_a_shard_that_was_never_throttled_grows_by_a_tenth(self) -> None:
        """Though another shard was; it may be the only one that is full."""
        limited = limiter()
        limited.pace_of(shard_id(0), 0.0).throttled(-0.1, 0.0, jitter=0.0)
        other = limited.pace_of(shard_id(1), 0.0)
        self.held_back(other, 5.0)

        assert other.rate == pytest.approx(0.25 * math.exp(0.5), rel=0.02)

    def test_a_shard_that_refuses_everything_does_not_keep_the_others_slow(self) -> None:
        """A row of throttles counts once for the stream."""
        limited = limiter()
        dead, other = (limited.pace_of(shard_id(number), 0.0) for number in range(2))
        for one in (dead, other):
            one.throttled(-0.1, 0.0, jitter=0.0)
        for second in range(1, 60):
            dead.throttled(second - 0.5, float(second), jitter=0.0)
            self.held_back(other, 1.0, taken=True)

        assert other.rate > 2 * 0.0625

    def test_success_ends_the_row_of_throttles(self) -> None:
        """If it was sent after the last of them."""
        one = pace()
        one.throttled(0.0, 1.0, jitter=1.0)
        one.taken(0.9)
        assert one.throttles == 1
        one.taken(1.1)
        assert one.throttles == 0


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
        gone = limited.withdraw(2.0)

        assert sorted(entry.oldest for entry in gone) == [1.0] * 3 + [2.0] * 3
        assert limited.waiting == 6
        assert limited.oldest() == 5.0
        assert limited.withdraw(2.0) == []
        assert len(limited.withdraw(math.inf)) == 6
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
        limited.withdraw(math.inf)
        assert list(limited.ready_paces(1.0)) == []
        one.wait(1, 1.0)

        assert one.rate == 0.25

    @settings(max_examples=100, deadline=None)
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
                out += limited.withdraw(now - 0.05)
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


class TestPlacement:
    """Keyless entries go where there is room."""

    def test_r14_the_hash_key_lies_in_the_shard(self) -> None:
        """In its middle, as far from a neighbour as can be."""
        limited = limiter(4)
        for shard in open_shards(4):
            placement = limited.place_keyless(100, 0.0, every_shard)
            assert placement is not None
            assert placement.shard_id == shard.shard_id
            limited.add(keyless_entry(100), 0.0)
            assert limited.take_for(placement).outer_hash_key == shard.range.midpoint
            placement.spend(100)

    def test_r15_shards_share_in_proportion_to_what_they_can_take(self) -> None:
        """One at a third of the rate of the others gets a third of the bytes."""
        limited = limiter(4, ceiling=0.3)
        slow = limited.pace_of(shard_id(2), 0.0)
        for number in range(4):
            one = limited.pace_of(shard_id(number), 0.0)
            one._ceiling = one.rate = 0.1 if number == 2 else 0.3
        for _ in range(3000):
            limited.add(keyless_entry(10_000), 0.0)
        taken: dict[ShardId | None, int] = {}
        for _, shard, size in sends(limited, 20.0):
            taken[shard] = taken.get(shard, 0) + size

        for number in (0, 1, 3):
            share = taken[slow.shard_id] / taken[shard_id(number)]
            assert share == pytest.approx(1 / 3, rel=0.1)

    def test_r16_a_throttled_shard_is_walked_around(self) -> None:
        """Until it has recovered."""
        limited = limiter(3)
        for number in range(3):
            limited.pace_of(shard_id(number), 0.0)
        limited.throttled(shard_id(1), 0.5, 1.0, 1.0)
        chosen = []
        for now in (1.0, 1.0, 1.0, 1.0, 1.2, 1.2, 1.2):
            placement = limited.place_keyless(90_000, now, every_shard)
            assert placement is not None
            placement.spend(90_000)
            chosen.append(placement.shard_id)

        assert shard_id(1) not in chosen[:4]
        assert shard_id(1) in chosen[4:]

    def test_r16_a_keyless_entry_that_was_refused_walks_around_at_once(self) -> None:
        """Its keyed neighbour waits for the shard."""
        limited, collector = limiter(2), Collector(OPTIONS)
        limited.add(keyed_entry(100, predicted=shard_id(0)), 1.0)
        request = collector.form(limited, 1.0)
        limited.add(keyless_entry(100), 1.0)
        other = collector.form(limited, 1.0)
        assert request is not None
        assert other is not None
        for entry in (*request.entries, *other.entries):
            limited.throttled(shard_id(0), 1.0, 1.1, 1.0)
            limited.add(entry, 1.1, first=True)
        again = sends(limited, 2.0, start=1.1)

        assert again[0][:2] == (1.1, shard_id(1))
        assert again[1][1] == shard_id(0)
        assert again[1][0] >= 1.2

    def test_r16_a_shard_with_waiting_keyed_entries_is_left_to_them(self) -> None:
        """They have nowhere else to go."""
        limited = limiter(2)
        limited.add(keyed_entry(10 * MIB, predicted=shard_id(0)), 0.0)
        for _ in range(4):
            limited.add(keyless_entry(100), 0.0)

        assert {shard for _, shard, _ in sends(limited, 0.01)} == {shard_id(1)}

    def test_keyless_entries_do_not_starve_behind_keyed_ones(self) -> None:
        """Where keyed entries keep every shard busy, the older entry goes first."""
        limited, now = limiter(2, ceiling=0.25), 0.0
        collector = Collector(OPTIONS)
        limited.add(keyless_entry(30_000, arrival=0.5), 0.5)
        sent = []
        while now < 3.0 and None not in sent:
            now = round(now + 0.02, 2)
            for number in range(2):
                limited.add(keyed_entry(20_000, predicted=shard_id(number), arrival=now), now)
                if now < 0.5:
                    limited.add(keyed_entry(9_000, predicted=shard_id(number), arrival=now), now)
            while (request := collector.form(limited, now)) is not None:
                sent += [None if entry.keyless else entry.oldest for entry in request.entries]

        assert None in sent
        assert max(at for at in sent if at is not None) < 1.0

    def test_keyed_entries_do_not_starve_behind_older_keyless_ones(self) -> None:
        """A backlog of both goes by age: at half time, half of each is gone."""
        limited = limiter(1, ceiling=0.25)
        for number in range(40):
            limited.add(keyless_entry(20_000, arrival=number * 0.01), 0.4)
            limited.add(keyed_entry(20_000, predicted=shard_id(0), arrival=number * 0.01), 0.4)
        collector, now, kinds = Collector(OPTIONS), 0.4, []
        while limited.waiting > 40:
            while (request := collector.form(limited, now)) is not None:
                kinds += [entry.keyless for entry in request.entries]
            now = limited.deadline(now)

        assert abs(kinds.count(True) - kinds.count(False)) <= 4

    def test_a_keyless_entry_competes_only_where_it_can_be_placed(self) -> None:
        """Not for a shard that is no longer listed."""
        limited = limiter(1, ceiling=0.25)
        limited.pace_of(shard_id(0), 0.0).spend(MIB)
        limited.add(keyless_entry(arrival=0.0), 0.0)
        assert sends(limited, 0.0) == []
        limited.add(keyed_entry(200, predicted=shard_id(5), arrival=0.5), 0.5)

        assert sends(limited, 0.5, start=0.5) == [(0.5, shard_id(5), 200)]

    @pytest.mark.parametrize("linger", [0.1, 0.0])
    def test_keyless_entries_wait_behind_keyed_ones_without_spinning(self, linger: float) -> None:
        """The only shard is reserved: its next look is theirs as well."""
        limited = limiter(1, linger=linger)
        limited.add(keyed_entry(200_000, predicted=shard_id(0)), 0.0)
        limited.add(keyless_entry(100), 0.0)
        assert sends(limited, 0.0) == []
        assert limited.deadline(0.0) > 0.0

        assert [size for _, _, size in sends(limited, 5.0)] == [200_000, 100]

    def test_keyless_entries_wait_for_tokens_on_the_beat(self) -> None:
        """And are looked at before that when one is returned, or the shards change."""
        limited = limiter(2)
        for _ in range(4):
            limited.add(keyless_entry(51_200), 0.0)
        assert len(sends(limited, 0.0)) == 2
        beat = limited.deadline(0.0)
        assert 0.19 < beat <= 0.2
        limited.add(keyless_entry(51_200), 0.0)
        assert limited.deadline(0.0) == beat
        limited.add(keyless_entry(51_200), 0.0, first=True)
        assert limited.deadline(0.0) == 0.0
        assert sends(limited, 0.0) == []
        assert limited.deadline(0.0) == beat
        limited.use_shards(open_shards(3))
        assert len(sends(limited, 0.0)) == 1

    def test_a_shard_that_was_passed_over_does_not_grow(self) -> None:
        """Another one had room, so its rate holds nothing back."""
        limited = limiter(2)
        empty = limited.pace_of(shard_id(0), 0.0)
        empty.spend(51_200)
        for tick in range(100):
            placement = limited.place_keyless(100, tick / 1000, every_shard)
            assert placement is not None
        assert empty.rate == 0.25

    def test_shards_that_had_their_share_are_left_out(self) -> None:
        """None at all means: not in this request, but nothing has to be waited for."""
        limited = limiter(3)
        placement = limited.place_keyless(100, 0.0, lambda shard, _: shard == shard_id(2))
        assert placement is not None
        assert placement.shard_id == shard_id(2)

        assert limited.place_keyless(100, 0.0, lambda _shard, _size: False) is None
        assert limited.keyless_at <= 0.0

    def test_every_shard_has_its_turn(self) -> None:
        """Also where there are more than are looked at in one go."""
        limited = limiter(100)
        for _ in range(200):
            limited.add(keyless_entry(51_200), 0.0)
        log = sends(limited, 0.3)

        assert {shard for _, shard, _ in log} == {shard_id(number) for number in range(100)}

    def test_a_smaller_map_is_walked_from_where_it_still_goes(self) -> None:
        """The turn may point past its end, or to nothing at all."""
        limited = limiter(10)
        for _ in range(7):
            limited.place_keyless(100, 0.0, every_shard)
        limited.use_shards(open_shards(3))
        placement = limited.place_keyless(100, 0.0, every_shard)
        assert placement is not None
        limited.use_shards([])
        assert not limited.has_shards
        assert limited.keyless_at == -math.inf


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
