"""The window: what shares an aggregated record, how large it gets, and when it closes."""

from __future__ import annotations

import gc
import math
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesink.core.aggregated_record import SubRecord, decode
from kinesink.core.aggregator import Aggregator, Sharing
from kinesink.core.hash_key import Keys
from kinesink.core.limits import MAX_HASH_KEY
from kinesink.core.records import Chunk, UserRecord
from tests.core.entries import OPTIONS, keyed, keyless, shard_id, together

if TYPE_CHECKING:
    from kinesink.core.aggregator import Group
    from kinesink.core.entry import Entry
    from kinesink.core.records import ShardId

MIB = 2**20


def aggregator(
    *,
    sharing: Sharing = Sharing.SHARD,
    record_max_bytes: int = MIB,
    max_bytes: int = 51_200,
    max_events: int | None = None,
) -> Aggregator:
    """Return an aggregator as the router sets it up."""
    made = Aggregator(
        replace(OPTIONS, aggregate_max_bytes=max_bytes, aggregate_max_events=max_events)
    )
    made.sharing = sharing
    made.use_record_limit(record_max_bytes)
    return made


def wire_bytes(entry: Entry) -> int:
    """Return what the entry takes in a request once it is sent, at its longest."""
    if entry.keyless:
        entry.bind(shard_id(0), MAX_HASH_KEY)
    wire = entry.encode(0)
    return len(wire.data) + len(wire.partition_key.encode())


class TestKeyless:
    """Events for whichever shard has room."""

    def test_r15_all_join_one_aggregated_record(self) -> None:
        """Chunks and keyless user records that somebody waits for."""
        window = aggregator()
        record = UserRecord(b"c", arrival=0.0)
        window.add_keyless(keyless(b"a", b"b"))
        window.add_keyless(record)
        window.add_keyless(keyless(b"d"))
        (entry,) = window.take(1.0)

        assert entry.data() == [b"a", b"b", b"c", b"d"]
        assert entry.keyless

    @settings(max_examples=300)
    @given(
        chunks=st.lists(st.lists(st.integers(0, 700), max_size=60), max_size=8),
        max_bytes=st.integers(256, 2000),
        record_max_bytes=st.integers(300, 3000),
        max_events=st.none() | st.integers(1, 20),
        user_records=st.booleans(),
    )
    def test_l2_no_aggregated_record_exceeds_its_limits(
        self,
        *,
        chunks: list[list[int]],
        max_bytes: int,
        record_max_bytes: int,
        max_events: int | None,
        user_records: bool,
    ) -> None:
        """Nothing is lost or reordered, and each entry counts for what it takes, or more."""
        window = aggregator(
            max_bytes=max_bytes, record_max_bytes=record_max_bytes, max_events=max_events
        )
        given_data, too_large = [], []
        for number, lengths in enumerate(chunks):
            data = [bytes([number]) * length for length in lengths]
            given_data += data
            if user_records:
                for datum in data:
                    record = UserRecord(datum, arrival=0.0)
                    if window.fits(datum, 1):
                        assert window.add_keyless(record) == []
                    else:
                        too_large.append(datum)
            else:
                too_large += window.add_keyless(Chunk(data, 0.0))
        entries = window.take(math.inf)

        assert too_large == [datum for datum in given_data if len(datum) + 1 > record_max_bytes]
        assert [datum for entry in entries for datum in entry.data()] == [
            datum for datum in given_data if len(datum) + 1 <= record_max_bytes
        ]
        for entry in entries:
            assert wire_bytes(entry) <= entry.size
            assert wire_bytes(entry) <= record_max_bytes
            assert entry.events <= (max_events or math.inf)
            if entry.aggregated:
                assert entry.size - 1 <= max_bytes

    def test_an_aggregated_record_is_filled_before_the_next_is_begun(self) -> None:
        """One event more would have exceeded the limit."""
        window = aggregator(max_bytes=1000)
        window.add_keyless(Chunk([bytes(100)] * 100, 0.0))
        entries = window.take(1.0)

        assert all(entry.size - 1 + 100 + 8 > 1000 for entry in entries[:-1])

    def test_l3_an_event_above_the_aggregation_limit_travels_alone(self) -> None:
        """Its neighbours go on sharing, before and behind it."""
        window = aggregator(max_bytes=1000)
        window.add_keyless(keyless(b"a", b"b", bytes(5000), b"c", b"d"))
        entries = window.take(1.0)

        assert [entry.events for entry in entries] == [2, 1, 2]
        assert entries[1].size == 5001

    def test_l4_an_event_of_exactly_the_record_limit_is_taken(self) -> None:
        """Data and the partition key of one byte; one byte more is too large."""
        window = aggregator()
        assert window.add_keyless(keyless(bytes(MIB - 1))) == []
        assert window.add_keyless(keyless(bytes(MIB))) == [bytes(MIB)]
        (entry,) = window.take(1.0)
        assert wire_bytes(entry) == entry.size == MIB

    def test_r17_each_event_is_a_record_of_its_own_where_nothing_is_shared(self) -> None:
        """On a stream that places records itself, or without aggregation."""
        window = aggregator(sharing=Sharing.NOTHING)
        window.add_keyless(keyless(b"a", b"b"))
        window.add_keyless(UserRecord(b"c", arrival=0.0))

        assert [entry.data() for entry in window.take(1.0)] == [[b"a"], [b"b"], [b"c"]]

    def test_the_open_aggregated_record_can_be_closed(self) -> None:
        """What comes next shares nothing with it; closing nothing does nothing."""
        window = aggregator()
        window.close_keyless()
        window.add_keyless(keyless(b"a"))
        window.close_keyless()
        window.add_keyless(keyless(b"b"))
        assert window.closed_entries == 1

        assert [entry.data() for entry in window.take(1.0)] == [[b"a"], [b"b"]]


class TestKeyed:
    """User records that belong to a shard."""

    def test_r14_user_records_of_one_predicted_shard_share(self) -> None:
        """Those of another shard do not join them."""
        window = aggregator()
        for number in range(4):
            window.add_keyed(keyed(b"%d" % number, f"k{number}"), shard_id(number % 2))
        entries = window.take(1.0)

        assert [(entry.predicted, entry.data()) for entry in entries] == [
            (shard_id(0), [b"0", b"2"]),
            (shard_id(1), [b"1", b"3"]),
        ]

    def test_r7_without_a_prediction_only_one_hash_key_shares(self) -> None:
        """Whatever the keys are that give it."""
        window = aggregator(sharing=Sharing.HASH_KEY)
        for key, explicit in (("a", 5), ("b", None), ("c", 5), ("b", None)):
            record = keyed(key.encode(), key, explicit_hash_key=explicit)
            (keys,) = record.each_keys()
            window.add_keyed(record, keys.hash_key)
        entries = window.take(1.0)

        assert [entry.data() for entry in entries] == [[b"a", b"c"], [b"b", b"b"]]
        assert all(entry.low == entry.high == entry.outer_hash_key for entry in entries)

    def test_e4_one_user_record_travels_raw(self) -> None:
        """An aggregated record of one would cost bytes for nothing."""
        window = aggregator()
        window.add_keyed(keyed(b"data"), shard_id(0))
        (entry,) = window.take(1.0)

        assert entry.encode(0).data == b"data"
        assert not entry.aggregated

    def test_nothing_shares_where_nothing_may(self) -> None:
        """Neither on such a stream, nor when asked for a record to travel alone."""
        window = aggregator(sharing=Sharing.NOTHING)
        window.add_keyed(keyed(b"a"), None)
        window.add_keyed(keyed(b"b"), None)
        window.sharing = Sharing.SHARD
        window.add_alone(keyed(b"c"), shard_id(0))

        assert [entry.data() for entry in window.take(1.0)] == [[b"a"], [b"b"], [b"c"]]

    @settings(max_examples=300)
    @given(
        records=st.lists(
            st.tuples(
                st.text(min_size=1, max_size=256),
                st.none() | st.integers(0, MAX_HASH_KEY),
                st.integers(0, 700),
                st.sampled_from([None, 0, 1]),
            ),
            max_size=60,
        ),
        at_once=st.booleans(),
        max_bytes=st.integers(256, 2000),
        record_max_bytes=st.integers(1024, 3000),
        max_events=st.none() | st.integers(1, 20),
    )
    def test_l2_no_aggregated_record_exceeds_its_limits(
        self,
        *,
        records: list[tuple[str, int | None, int, int | None]],
        at_once: bool,
        max_bytes: int,
        record_max_bytes: int,
        max_events: int | None,
    ) -> None:
        """Its size is exact, and its user records share one shard or one hash key."""
        window = aggregator(
            max_bytes=max_bytes, record_max_bytes=record_max_bytes, max_events=max_events
        )
        groups: dict[Group, list[UserRecord]] = {}
        for number, (key, explicit, length, shard) in enumerate(records):
            record = keyed(b"%d." % number + bytes(length), key, explicit_hash_key=explicit)
            if window.fits(record.data, len(key.encode())):
                hash_key = record.each_keys()[0].hash_key
                group_of_it: Group = hash_key if shard is None else shard_id(shard)
                groups.setdefault(group_of_it, []).append(record)
        for group, of_it in groups.items():
            for content in [together(of_it)] if at_once else of_it:
                window.add_keyed(content, group)
        entries = window.take(math.inf)

        for group, of_it in groups.items():
            carried = [
                SubRecord(keys.partition_key, keys.explicit_hash_key, datum)
                for entry in entries
                if group == (entry.predicted or entry.low)
                for content in entry.contents
                for datum, keys in zip(content.each(), content.each_keys(), strict=True)
            ]
            assert carried == [
                SubRecord(each.partition_key or "", each.explicit_hash_key, each.data)
                for each in of_it
            ]
        assert sum(entry.events for entry in entries) == sum(map(len, groups.values()))
        for entry in entries:
            assert wire_bytes(entry) == entry.size <= record_max_bytes
            assert entry.events <= (max_events or math.inf)
            if entry.aggregated:
                encoded = entry.encode(0).data
                assert len(encoded) <= max_bytes
                assert len(decode(encoded) or []) == entry.events
                assert entry.predicted is not None or entry.low == entry.high

    def test_an_aggregated_record_may_have_exactly_its_limit(self) -> None:
        """The outer partition key does not count for it, only for the record limit."""
        first, second = keyed(bytes(100), "k" * 50), keyed(bytes(100), "k" * 50)
        probe = aggregator()
        probe.add_keyed(first, shard_id(0))
        probe.add_keyed(second, shard_id(0))
        (entry,) = probe.take(1.0)
        exact = len(entry.encode(0).data)

        for window, events in (
            (aggregator(max_bytes=exact), [2]),
            (aggregator(max_bytes=exact - 1), [1, 1]),
            (aggregator(record_max_bytes=exact + 50), [2]),
            (aggregator(record_max_bytes=exact + 49), [1, 1]),
        ):
            window.add_keyed(first, shard_id(0))
            window.add_keyed(second, shard_id(0))
            assert [each.events for each in window.take(1.0)] == events

    @pytest.mark.parametrize(
        ("key", "length", "fits"), [("k", MIB - 1, True), ("é", MIB - 1, False), (None, MIB, False)]
    )
    def test_l6_the_record_limit_counts_data_and_partition_key(
        self, key: str | None, length: int, *, fits: bool
    ) -> None:
        """In bytes of UTF-8; a keyless one gets a key of one byte."""
        key_bytes = 1 if key is None else Keys(key, None).size

        assert aggregator().fits(bytes(length), key_bytes) is fits


class TestWindow:
    """When entries leave."""

    def test_all_that_is_open_closes_when_the_oldest_has_lingered(self) -> None:
        """Keyed and keyless of a quiet stream leave together, for one request."""
        window = aggregator()
        window.add_keyless(keyless(b"a", arrival=10.0))
        window.add_keyed(keyed(arrival=10.05), shard_id(0))
        window.add_keyed(keyed(arrival=10.09), shard_id(1))

        assert window.deadline == pytest.approx(10.1)
        assert window.take(10.09) == []
        assert len(window.take(10.1)) == 3
        assert window.deadline == math.inf

    def test_p3_only_an_earlier_arrival_moves_the_deadline(self) -> None:
        """First-in arrivals leave it where the first has put it."""
        window = aggregator()
        window.add_keyless(keyless(b"a", arrival=10.0))
        for arrival in (10.0, 10.02, 10.05):
            window.add_keyless(keyless(b"a", arrival=arrival))
            window.add_keyed(keyed(arrival=arrival), shard_id(0))
            window.add_alone(keyed(arrival=arrival), shard_id(0))
            assert window.deadline == pytest.approx(10.1)
        window.add_keyless(keyless(b"retried", arrival=9.0))
        assert window.deadline == pytest.approx(9.1)

    def test_a_full_request_leaves_at_once(self) -> None:
        """By entries; what is still open stays."""
        window = aggregator(max_events=1)
        window.add_keyless(Chunk([b"x"] * 500, 0.0))
        assert window.take(0.0) == []
        window.add_keyless(Chunk([b"x"], 0.0))

        assert len(window.take(0.0)) == 500
        assert len(window.take(1.0)) == 1

    def test_a_request_full_of_bytes_leaves_at_once(self) -> None:
        """5 MiB of entries are a request."""
        window = aggregator()
        for _ in range(5):
            assert window.take(0.0) == []
            window.add_alone(keyed(bytes(MIB - 1)), shard_id(0))

        assert len(window.take(0.0)) == 5

    def test_a_flush_lets_nothing_linger(self) -> None:
        """And changes nothing for what comes later, nor for an empty window."""
        window = aggregator()
        window.hurry()
        assert window.deadline == math.inf
        for add in (
            lambda: window.add_keyless(keyless(b"a")),
            lambda: window.add_keyed(keyed(), shard_id(0)),
            lambda: window.add_alone(keyed(), shard_id(0)),
        ):
            add()
            window.hurry()
            assert window.deadline == -math.inf
            assert len(window.take(0.0)) == 1
            assert window.deadline == math.inf

    def test_the_window_can_be_taken_apart(self) -> None:
        """Everything comes back as it came, and the window is as new."""
        window = aggregator(max_events=2)
        window.add_keyless(keyless(b"a"))
        window.add_keyed(keyed(b"k"), shard_id(0))
        window.add_alone(keyed(b"l"), shard_id(0))
        back = window.dissolve()

        assert sorted(
            b"".join(each.data) if isinstance(each, Chunk) else each.data for each in back
        ) == [b"a", b"k", b"l"]
        assert window.deadline == math.inf
        assert window.take(math.inf) == []
        assert window.dissolve() == []


class TestCost:
    """What one more user record costs."""

    @pytest.mark.parametrize("shared_key", [True, False])
    def test_p2_one_more_costs_the_same_however_many_are_open(self, *, shared_key: bool) -> None:
        """Counted in calls, not in time: 10 or 2,000 open user records."""
        # The first of two has filled the caches.
        few, many = (
            min(_calls_of_one_more(open_records, shared_key=shared_key) for _ in range(2))
            for open_records in (10, 2000)
        )

        # An index above 127 takes a byte more, and a step of a loop to write it.
        assert few <= many <= few + 1

    def test_p4_one_more_costs_the_same_however_many_shards(self) -> None:
        """An open aggregated record each for 1 or 10,000 shards."""
        calls = []
        for shards in (1, 10_000):
            window = aggregator()
            for number in range(shards):
                window.add_keyed(keyed(), shard_id(number))
            record = keyed()
            assert record.each_keys()[0].hash_key
            calls.append(_count_calls(window, record, shard_id(0)))

        assert calls[0] == calls[1]


def _calls_of_one_more(open_records: int, *, shared_key: bool) -> int:
    window = aggregator(max_bytes=10 * MIB, record_max_bytes=10 * MIB)
    for number in range(open_records):
        window.add_keyed(keyed(b"x", "k" if shared_key else f"k{number:06d}"), shard_id(0))
    return _count_calls(window, keyed(b"x", "k" if shared_key else "another"), shard_id(0))


def _count_calls(window: Aggregator, record: UserRecord, predicted: ShardId) -> int:
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    gc.disable()
    sys.setprofile(count)
    try:
        window.add_keyed(record, predicted)
    finally:
        sys.setprofile(None)
        gc.enable()
    return calls
