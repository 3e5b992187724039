"""Keyless entries to shards: who gets the next one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from kinesink.core.collector import Collector
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
    from kinesink.core.records import ShardId

MIB = 2**20


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
