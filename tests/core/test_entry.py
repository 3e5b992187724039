"""Entries: what goes on the wire, and never more bytes than were counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinesink.core.aggregated_record import SubRecord, decode
from kinesink.core.entry import KEYLESS_PARTITION_KEYS, Entry, raw_entry
from kinesink.core.hash_key import hash_key_of
from kinesink.core.limits import MAX_HASH_KEY
from kinesink.core.records import UserRecord
from tests.core.entries import Results, aggregate_of, keyed, keyless, shard_id, user_records


class TestKeyed:
    """Entries that are routed by a key."""

    @pytest.mark.parametrize("explicit", [None, 0, MAX_HASH_KEY])
    def test_e2_a_single_user_record_travels_with_its_own_keys(self, explicit: int | None) -> None:
        """As it is: no magic, no protobuf, the explicit hash key only if it was given."""
        wire = raw_entry(keyed(b"data", "é", explicit_hash_key=explicit), shard_id(0)).encode(7)

        assert wire.data == b"data"
        assert wire.partition_key == "é"
        assert wire.explicit_hash_key == (None if explicit is None else str(explicit))

    def test_e3_empty_data_travels_as_empty(self) -> None:
        """Alone and in an aggregated record."""
        assert raw_entry(keyed(b""), None).encode(0).data == b""
        both = aggregate_of(keyed(b""), keyed(b"")).encode(0)
        assert decode(both.data) == [SubRecord("k", None, b""), SubRecord("k", None, b"")]

    def test_the_outer_keys_are_those_of_the_first_record(self) -> None:
        """Routed by its hash key, which is always named; spread by its partition key."""
        entry = aggregate_of(keyed(b"a", "one"), keyed(b"b", "two", explicit_hash_key=5))
        wire = entry.encode(0)

        assert wire.partition_key == "one"
        assert wire.explicit_hash_key == str(hash_key_of("one"))
        assert decode(wire.data) == [SubRecord("one", None, b"a"), SubRecord("two", 5, b"b")]

    def test_r3_the_span_covers_every_hash_key_inside(self) -> None:
        """What the placement check asks for; one hash key spans nothing."""
        records = [keyed(explicit_hash_key=7), keyed(explicit_hash_key=3), keyed()]
        entry = aggregate_of(*records)
        assert (entry.low, entry.high) == (3, hash_key_of("k"))
        assert entry.outer_hash_key == 7
        alone = raw_entry(records[0], None)
        assert alone.low == alone.high == alone.outer_hash_key == 7

    def test_it_counts_for_its_data_and_its_partition_key(self) -> None:
        """In bytes of UTF-8; the explicit hash key is free."""
        entry = raw_entry(keyed(b"data", "é", explicit_hash_key=1), shard_id(3))

        assert entry.size == 6
        assert entry.events == 1
        assert entry.predicted == shard_id(3)
        assert not entry.keyless
        assert not entry.aggregated


class TestKeyless:
    """Entries for whichever shard has room."""

    def test_one_event_travels_as_it_is(self) -> None:
        """By the hash key it was bound to, with a partition key of one character."""
        entry = Entry([keyless(b"data")], size=5)
        entry.bind(shard_id(1), 99)
        wire = entry.encode(0)

        assert (wire.data, wire.partition_key, wire.explicit_hash_key) == (b"data", "0", "99")
        assert entry.keyless
        assert (entry.low, entry.high, entry.predicted) == (99, 99, shard_id(1))

    def test_r14_every_event_maps_to_the_hash_key_it_was_bound_to(self) -> None:
        """So that a KCL consumer of that shard keeps the whole aggregated record."""
        entry = Entry([keyless(b"a", b"", b"c")], size=0)
        entry.bind(shard_id(1), MAX_HASH_KEY)
        wire = entry.encode(3)

        assert wire.explicit_hash_key == str(MAX_HASH_KEY)
        assert decode(wire.data) == [
            SubRecord("3", MAX_HASH_KEY, data) for data in (b"a", b"", b"c")
        ]

    def test_it_can_be_bound_again(self) -> None:
        """A retry goes to another shard without being taken apart."""
        entry = Entry([keyless(b"a", b"b")], size=0)
        entry.bind(shard_id(1), 5)
        entry.encode(0)
        entry.bind(shard_id(2), 6)

        assert decode(entry.encode(1).data) == [SubRecord("1", 6, b"a"), SubRecord("1", 6, b"b")]

    def test_partition_keys_take_turns(self) -> None:
        """Lambda spreads over at most ten workers by partition key."""
        entry = Entry([keyless(b"a")], size=2)
        keys = {entry.encode(turn).partition_key for turn in range(100)}

        assert keys == set(KEYLESS_PARTITION_KEYS)

    @given(st.lists(st.binary(max_size=300), min_size=1, max_size=30), st.integers(0, 15))
    def test_contents_keep_their_order(self, data: list[bytes], split: int) -> None:
        """Chunks and keyless user records alike."""
        record = UserRecord(b"last", arrival=0.0)
        contents = [keyless(*part) for part in (data[:split], data[split:]) if part]
        entry = Entry([*contents, record], size=0)

        assert entry.data() == [*data, b"last"]
        assert entry.events == len(data) + 1
        assert [each.data for each in user_records(entry)] == [b"last"]


class TestBookkeeping:
    """What the entry knows of its contents."""

    def test_it_is_as_old_as_its_oldest_event(self) -> None:
        """The time to live counts from there."""
        assert aggregate_of(keyed(arrival=3.0), keyed(arrival=1.0)).oldest == 1.0

    def test_it_knows_whether_somebody_waits(self) -> None:
        """One ticket among many is enough."""
        assert not aggregate_of(keyed(), keyed()).ticketed
        assert aggregate_of(keyed(), keyed(ticket=Results())).ticketed
        assert not Entry([keyless(b"a")], size=2).ticketed
