"""What travels, and the numbers of the service."""

from __future__ import annotations

import pytest

from kinesink.core import limits
from kinesink.core.records import Chunk, EntryResult, UserRecord


class TestContents:
    """Events, one by one or in runs."""

    def test_they_count_their_events(self) -> None:
        """A user record is one."""
        assert len(Chunk([b"a", b"b"], 0.0)) == 2
        assert len(UserRecord(b"abc", arrival=0.0)) == 1


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
