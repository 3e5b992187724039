"""The pace of one shard: what it may see in any window, and what a throttle changes."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesink.core.limits import SHARD_BYTES_PER_SECOND
from kinesink.core.pace import Quiet, ShardPace
from tests.core.entries import (
    limiter,
    pace,
    shard_id,
)

MIB = 2**20


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

    @settings(max_examples=200)
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

    def after_a_storm(self, *, well: float) -> ShardPace:
        """Return a pace at its start rate for a while, and throttled for other reasons then."""
        one = pace(first_bytes=0)
        for tick in range(7):
            now = well + tick * 0.21
            one.taken(now - 0.02)
            one.throttled(now - 0.01, now, jitter=0.0)
        assert one.rate < 0.25 / 8
        return one

    def test_it_returns_to_what_the_shard_is_known_to_take(self) -> None:
        """Doubling, a second after the last throttle; to most of it at first."""
        one = self.after_a_storm(well=10.0)
        low = one.rate
        self.held_back(one, 0.9, taken=True)
        assert one.rate == pytest.approx(low, rel=0.01)
        self.held_back(one, 1.0, taken=True)
        assert low * 1.8 < one.rate < low * 2.2
        self.held_back(one, 5.0, taken=True)
        assert 0.25 * 0.7 <= one.rate < 0.25 * 0.8

    def test_it_returns_to_all_of_it_where_it_stays_quiet(self) -> None:
        """And not further than that: there it grows as ever."""
        one = self.after_a_storm(well=10.0)
        for _ in range(128):
            one.taken(12.0)
        self.held_back(one, 30.0, taken=True)
        assert 0.25 * 0.95 < one.rate < 0.25 * 1.1

    def test_a_start_that_was_refused_at_once_is_no_rate_to_return_to(self) -> None:
        """Nobody knows whether the shard would have taken it."""
        one = self.after_a_storm(well=3.9)
        low = one.rate
        self.held_back(one, 5.0, taken=True)
        assert one.rate < low * 1.01

    def test_a_return_that_is_refused_was_too_fast(self) -> None:
        """The next one ends lower."""
        one = self.after_a_storm(well=10.0)
        tops = []
        self.held_back(one, 6.0, taken=True)
        for _ in range(3):
            # Less than the 4 s after which a rate is known.
            self.held_back(one, 3.5, taken=True)
            tops.append(one.rate)
            for _ in range(4):
                now = one._updated_at + 0.21
                one.taken(now - 0.02)
                one.throttled(now - 0.01, now, jitter=0.0)
        assert tops[0] > tops[1] > tops[2]
        assert tops[2] < 0.7 * tops[0]

    def test_refusals_far_below_it_say_nothing_about_it(self) -> None:
        """A storm that goes on is no proof that the shard takes less."""
        one = self.after_a_storm(well=10.0)
        for _ in range(4):
            now = one._updated_at + 2.5
            one.taken(now - 0.02)
            one.throttled(now - 0.01, now, jitter=0.0)
        self.held_back(one, 12.0, taken=True)
        assert one.rate >= 0.25 * 0.7

    @pytest.mark.parametrize("shared", [False, True])
    def test_heirs_know_what_the_shard_took(self, *, shared: bool) -> None:
        """A merged shard only what both of its parents took."""
        parent = self.after_a_storm(well=10.0)
        heir = ShardPace(
            shard_id(1), ceiling=1.0, first_bytes=0, now=parent._updated_at, quiet=parent._quiet
        )
        heir.inherit(parent, shared=shared)
        self.held_back(heir, 12.0, taken=True)
        assert (heir.rate > 0.1) is not shared

    def test_success_ends_the_row_of_throttles(self) -> None:
        """If it was sent after the last of them."""
        one = pace()
        one.throttled(0.0, 1.0, jitter=1.0)
        one.taken(0.9)
        assert one.throttles == 1
        one.taken(1.1)
        assert one.throttles == 0
