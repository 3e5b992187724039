"""Which shard owns a hash key, before, during and after reshards."""

from __future__ import annotations

import random

import pytest

from kinesink.core.hash_key import HashKeyRange
from kinesink.core.limits import MAX_HASH_KEY
from kinesink.core.records import ShardDescription, ShardId
from kinesink.core.shard_map import CLOSED_SHARD_TIME_TO_LIVE, ShardMap, State

HALF = 2**127


def shard(number: int, start: int, end: int) -> ShardDescription:
    """Return an open shard."""
    return ShardDescription(shard_id(number), start, end)


def shard_id(number: int) -> ShardId:
    """Return the id that Kinesis gives to the `number`-th shard."""
    return ShardId(f"shardId-{number:012d}")


def equal_shards(count: int) -> list[ShardDescription]:
    """Return `count` shards of (nearly) equal ranges."""
    ends = [2**128 * (i + 1) // count - 1 for i in range(count)]
    starts = [0, *(end + 1 for end in ends[:-1])]
    return [shard(i, start, end) for i, (start, end) in enumerate(zip(starts, ends, strict=True))]


def map_of(listing: list[ShardDescription], now: float = 0.0) -> ShardMap:
    """Return a map that has read `listing` at `now`."""
    shard_map = ShardMap()
    read(shard_map, listing, now)
    return shard_map


def read(
    shard_map: ShardMap, listing: list[ShardDescription], now: float
) -> dict[ShardId, HashKeyRange]:
    """Ask at `now` and answer at once."""
    shard_map.refresh.due_at = now
    assert shard_map.refresh.ask(now)
    return shard_map.listed(listing, now, jitter=0.0)


class TestPrediction:
    """A hash key to its shard."""

    @pytest.mark.parametrize("count", [1, 2, 3, 4, 1000, 10_000])
    def test_r11_each_end_of_each_range_belongs_to_its_shard(self, count: int) -> None:
        """0, every ending hash key, the next one, and 2**128 - 1."""
        listing = equal_shards(count)
        random.Random(count).shuffle(listing)
        shard_map = map_of(listing)

        assert shard_map.known
        assert shard_map.whole
        for each in listing:
            assert shard_map.predict(each.start) == each.shard_id
            assert shard_map.predict(each.end) == each.shard_id
        assert shard_map.predict(0) == shard_id(0)
        assert shard_map.predict(MAX_HASH_KEY) == shard_id(count - 1)

    def test_four_equal_shards_meet_where_the_service_says(self) -> None:
        """The first of four ends at a known number."""
        shard_map = map_of(equal_shards(4))

        assert shard_map.predict(85070591730234615865843651857942052863) == shard_id(0)
        assert shard_map.predict(85070591730234615865843651857942052864) == shard_id(1)

    def test_r7_nothing_is_predicted_without_a_map(self) -> None:
        """No shard is known, and no range."""
        shard_map = ShardMap()

        assert not shard_map.known
        assert shard_map.predict(0) is None
        assert shard_map.range_of(shard_id(0)) is None
        assert not shard_map.owns(shard_id(0), 0, 0)

    def test_r12_nothing_is_predicted_in_a_hole(self) -> None:
        """Before, between and behind the shards that were listed."""
        shard_map = map_of([shard(1, 10, 19), shard(2, 30, 39)])

        found = [shard_map.predict(k) for k in (9, 10, 19, 20, 29, 30, 39, 40, MAX_HASH_KEY)]

        one, two = shard_id(1), shard_id(2)
        assert found == [None, one, one, None, None, two, two, None, None]
        assert not shard_map.whole

    def test_r14_an_overlap_predicts_a_shard_that_owns_the_key(self) -> None:
        """Or none; never one whose range excludes it."""
        listing = [shard(0, 0, MAX_HASH_KEY), shard(1, 0, HALF - 1), shard(2, HALF, MAX_HASH_KEY)]
        shard_map = map_of(listing)

        assert not shard_map.whole
        for hash_key in (0, 5, HALF - 1, HALF, MAX_HASH_KEY):
            predicted = shard_map.predict(hash_key)
            assert predicted is not None
            hash_keys = shard_map.range_of(predicted)
            assert hash_keys is not None
            assert hash_keys.contains(hash_key)

    def test_the_heirs_of_a_range_are_the_open_shards_that_own_some_of_it(self) -> None:
        """Neighbours are none of them."""
        shard_map = map_of(equal_shards(8))
        eighth = 2**125

        heirs = shard_map.overlapping(HashKeyRange(2 * eighth, 4 * eighth - 1))

        assert [each.shard_id for each in heirs] == [shard_id(2), shard_id(3)]


class TestListings:
    """One map after the other."""

    def test_r6_a_map_serves_while_the_next_listing_is_under_way(self) -> None:
        """INVALID, UPDATING, READY, and UPDATING with a stale map."""
        shard_map = ShardMap()
        states = [shard_map.state]
        shard_map.refresh.due_at = 0.0
        shard_map.refresh.ask(0.0)
        states.append(shard_map.state)
        shard_map.listed(equal_shards(2), 0.5, jitter=0.0)
        states.append(shard_map.state)
        assert shard_map.deadline() == 420.5
        shard_map.refresh.ask(420.5)
        states.append(shard_map.state)
        assert states == [State.INVALID, State.UPDATING, State.READY, State.UPDATING]
        assert shard_map.predict(0) == shard_id(0)
        shard_map.refresh.failed(421.0, jitter=0.0)
        assert shard_map.predict(0) == shard_id(0)

    def test_a_split_replaces_the_parent_by_its_children(self) -> None:
        """The parent is told as gone, with its range."""
        shard_map = map_of([shard(0, 0, MAX_HASH_KEY)])
        gone = read(shard_map, [shard(1, 0, HALF - 1), shard(2, HALF, MAX_HASH_KEY)], 10.0)

        assert gone == {shard_id(0): HashKeyRange(0, MAX_HASH_KEY)}
        assert shard_map.generation == 2
        assert shard_map.predict(HALF) == shard_id(2)
        assert not shard_map.owns(shard_id(0), 0, 0)
        assert shard_map.owns(shard_id(1), 0, HALF - 1)
        assert not shard_map.owns(shard_id(1), 0, HALF)
        assert not shard_map.owns(shard_id(2), HALF - 1, HALF)

    def test_the_same_listing_changes_nothing(self) -> None:
        """Nothing is gone, and nothing has to be routed again."""
        shard_map = map_of(equal_shards(4))

        assert read(shard_map, equal_shards(4), 420.0) == {}
        assert shard_map.generation == 1

    def test_r10_a_closed_shard_keeps_its_range_for_a_while(self) -> None:
        """For answers still under way; then it is forgotten."""
        shard_map = map_of([shard(0, 0, MAX_HASH_KEY)])
        children = [shard(1, 0, HALF - 1), shard(2, HALF, MAX_HASH_KEY)]
        read(shard_map, children, 10.0)
        shard_map.purge(10.0 + CLOSED_SHARD_TIME_TO_LIVE - 0.1)
        assert shard_map.range_of(shard_id(0)) == HashKeyRange(0, MAX_HASH_KEY)
        read(shard_map, children, 10.0 + CLOSED_SHARD_TIME_TO_LIVE)
        assert shard_map.range_of(shard_id(0)) is None

    def test_r10_a_closed_shard_is_known_for_twice_as_long_as_an_answer_may_take(self) -> None:
        """A patient producer must still be able to judge the last answers."""
        shard_map = ShardMap(answers_take=100.0)
        read(shard_map, equal_shards(1), 0.0)
        read(shard_map, [shard(1, 0, HALF - 1), shard(2, HALF, MAX_HASH_KEY)], 10.0)

        shard_map.purge(10.0 + 199.9)
        assert shard_map.range_of(shard_id(0)) is not None
        shard_map.purge(10.0 + 200.0)
        assert shard_map.range_of(shard_id(0)) is None

    def test_r10_a_closed_shard_that_is_listed_again_is_open(self) -> None:
        """Its mark and its time to live are gone."""
        shard_map = map_of(equal_shards(1))
        read(shard_map, [shard(1, 0, HALF - 1), shard(2, HALF, MAX_HASH_KEY)], 10.0)
        read(shard_map, equal_shards(1), 20.0)
        shard_map.purge(1e6)

        assert shard_map.owns(shard_id(0), 0, 0)
        assert shard_map.range_of(shard_id(0)) == HashKeyRange(0, MAX_HASH_KEY)
        assert shard_map.range_of(shard_id(1)) is None

    def test_a_shard_id_with_another_range_is_another_shard(self) -> None:
        """A stream was deleted and created anew: the old one is gone, the new one is open."""
        shard_map = map_of(equal_shards(2))
        gone = read(shard_map, equal_shards(1), 10.0)

        assert gone == {
            shard_id(0): HashKeyRange(0, HALF - 1),
            shard_id(1): HashKeyRange(HALF, MAX_HASH_KEY),
        }
        assert shard_map.range_of(shard_id(0)) == HashKeyRange(0, MAX_HASH_KEY)

    @pytest.mark.parametrize(
        "listing",
        [
            pytest.param([], id="empty"),
            pytest.param([shard(0, 0, HALF - 2), shard(1, HALF, MAX_HASH_KEY)], id="gap"),
            pytest.param([shard(0, 0, HALF), shard(1, HALF, MAX_HASH_KEY)], id="overlap"),
            pytest.param([shard(0, 1, MAX_HASH_KEY)], id="no beginning"),
            pytest.param([shard(0, 0, MAX_HASH_KEY - 1)], id="no end"),
        ],
    )
    def test_r12_a_listing_with_a_hole_does_not_replace_a_whole_map(
        self, listing: list[ShardDescription]
    ) -> None:
        """It raced a reshard: the old map serves, no newer for it, and it is read again soon."""
        shard_map = map_of(equal_shards(4))

        assert read(shard_map, listing, 50.0) == {}
        assert shard_map.whole
        assert shard_map.generation == 1
        assert shard_map.predict(MAX_HASH_KEY) == shard_id(3)
        assert shard_map.refresh.answered_at == 0.0
        assert 50.0 < shard_map.deadline() <= 51.0

    def test_r12_a_listing_with_a_hole_is_better_than_none(self) -> None:
        """It is read again in a second, and the next whole one takes over."""
        shard_map = map_of([shard(0, 0, HALF - 1)])

        assert shard_map.predict(0) == shard_id(0)
        assert shard_map.deadline() == 1.0
        read(shard_map, [shard(1, HALF, MAX_HASH_KEY)], 1.0)
        assert shard_map.predict(0) is None
        read(shard_map, equal_shards(2), 2.0)
        assert shard_map.whole
        assert shard_map.deadline() == 422.0

    def test_r12_a_listing_that_is_never_whole_is_read_again_ever_more_rarely(self) -> None:
        """Half a minute apart in the end; a whole one starts the count anew."""
        shard_map = map_of([shard(0, 0, HALF - 1)])
        waits, now = [], 0.0
        for _ in range(7):
            waits.append(shard_map.deadline() - now)
            now = shard_map.deadline()
            read(shard_map, [shard(0, 0, HALF - 1)], now)

        assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
        read(shard_map, equal_shards(2), now)
        assert shard_map.whole

    def test_r5_listings_that_show_nothing_new_are_asked_for_ever_more_rarely(self) -> None:
        """Two seconds apart in the end; something new starts the count anew."""
        shard_map = map_of(equal_shards(1))
        spacings = []
        for now in range(1, 6):
            spacings.append(shard_map.spacing)
            read(shard_map, equal_shards(1), float(now))

        assert spacings == [0.25, 0.5, 1.0, 2.0, 2.0]
        read(shard_map, [shard(1, 0, HALF - 1), shard(2, HALF, MAX_HASH_KEY)], 10.0)
        assert shard_map.spacing == 0.25

    def test_what_is_forgotten_judges_nothing_any_more(self) -> None:
        """A stream of the same name has shards of the same ids, with other ranges."""
        shard_map = map_of(equal_shards(1))
        read(shard_map, [shard(1, 0, HALF - 1), shard(2, HALF, MAX_HASH_KEY)], 10.0)
        assert shard_map.forget(20.0).keys() == {shard_id(1), shard_id(2)}

        assert not shard_map.known
        assert not shard_map.whole
        assert [shard_map.range_of(shard_id(i)) for i in range(3)] == [None, None, None]
        assert shard_map.generation == 3
        assert shard_map.deadline() == 20.0
        assert shard_map.forget(21.0) == {}
        assert shard_map.generation == 3

    def test_r12_an_empty_first_listing_is_no_map(self) -> None:
        """And is asked for again with backoff."""
        shard_map = map_of([])

        assert not shard_map.known
        assert shard_map.generation == 0
        assert 0.0 < shard_map.deadline() <= 1.0

    def test_a_thrown_away_listing_still_forgets_closed_shards(self) -> None:
        """Their time to live does not depend on how the listing looks."""
        shard_map = map_of(equal_shards(1))
        read(shard_map, [shard(1, 0, HALF - 1), shard(2, HALF, MAX_HASH_KEY)], 10.0)
        read(shard_map, [], 100.0)

        assert shard_map.range_of(shard_id(0)) is None
