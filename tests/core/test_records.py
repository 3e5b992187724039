"""What travels, and the numbers of the service."""

from __future__ import annotations

import pytest

from kinesink.core import limits
from kinesink.core.records import Chunk, EntryResult, UserRecord
from tests.core.entries import keyed, keyless, together


class TestContents:
    """Events, one by one or in runs."""

    def test_they_count_their_events(self) -> None:
        """A user record is one."""
        assert len(Chunk([b"a", b"b"], 0.0)) == 2
        assert len(UserRecord(b"abc", arrival=0.0)) == 1

    def test_a_part_has_the_keys_of_its_events(self) -> None:
        """Cut in two, or picked."""
        records = [keyed(b"%d" % number, f"k{number}") for number in range(5)]
        chunk = together(records, 3.0)
        chunk.epoch = 7
        assert chunk.part(0, 5) is chunk
        for part, numbers in (
            (chunk.part(1, 3), [1, 2]),
            (chunk.only([False, True, False, True, True]), [1, 3, 4]),
            (chunk.cut(2), [0, 1]),
            (chunk, [2, 3, 4]),
        ):
            assert not part.keyless
            assert part.each() == [b"%d" % number for number in numbers]
            assert [keys.partition_key for keys in part.each_keys()] == [f"k{n}" for n in numbers]
            assert (part.arrival, part.epoch) == (3.0, 7)

    def test_a_part_of_keyless_events_has_none(self) -> None:
        """As the whole."""
        chunk = keyless(b"a", b"b", b"c")
        for part in (chunk.part(0, 2), chunk.only([True, False, True]), chunk.cut(1), chunk):
            assert part.keyless
            assert part.each_keys() == []

    @pytest.mark.parametrize("partition_key", [None, "k"])
    def test_a_user_record_is_its_only_part(self, partition_key: str | None) -> None:
        """With its keys, if it has some."""
        record = UserRecord(b"a", arrival=0.0, partition_key=partition_key)
        assert record.part(0, 1) is record
        assert record.only([True]) is record
        assert [keys.partition_key for keys in record.each_keys()] == [
            key for key in (partition_key,) if key
        ]


class TestResults:
    """The answer to one entry."""

    @pytest.mark.parametrize(
        ("result", "success"),
        [
            (EntryResult("shard", "1"), True),
            (EntryResult("shard", "1", ""), True),
            (EntryResult("shard", "1", "InternalFailure"), False),
            (EntryResult("shard", ""), False),
            (EntryResult(), False),
        ],
    )
    def test_success_is_a_sequence_number_and_no_error(
        self, result: EntryResult, *, success: bool
    ) -> None:
        """By truth, not by presence: some servers send null for what is absent."""
        assert result.success is success


class TestLimits:
    """Numbers that follow from one another."""

    def test_digits_of_the_largest_hash_key(self) -> None:
        """Written down, because they are part of a size."""
        assert len(str(limits.MAX_HASH_KEY)) == limits.MAX_HASH_KEY_DIGITS
