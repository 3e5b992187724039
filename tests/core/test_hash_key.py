"""Partition keys and hash keys: known digests, canonical numbers, clear refusals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinesink.core.hash_key import (
    HashKeyRange,
    check_partition_key,
    hash_key_of,
    keys_of,
    parse_explicit_hash_key,
)
from kinesink.core.limits import MAX_HASH_KEY


class TestPartitionKeys:
    """What Kinesis takes as a partition key, and what it makes of it."""

    @pytest.mark.parametrize(
        ("partition_key", "hash_key"),
        [
            ("a", 16955237001963240173058271559858726497),
            ("k1", 242208671286853988395785178707875403226),
            ("é", 136732923097551493579404309126273812335),
            ("😀", 55842721998748738903166261021950683062),
        ],
    )
    def test_e1_the_hash_key_is_the_md5_of_the_utf8_form(
        self, partition_key: str, hash_key: int
    ) -> None:
        """Big-endian, as the service computes it."""
        assert hash_key_of(partition_key) == hash_key

    @pytest.mark.parametrize("key", ["x", "\0", "😀" * 256])
    def test_a3_keys_are_counted_in_characters(self, key: str) -> None:
        """256 characters of four bytes each are fine."""
        assert check_partition_key(key) == key

    @pytest.mark.parametrize(
        ("key", "told"),
        [("", "has 0 characters"), ("x" * 257, "has 257 characters"), ("\ud800", "lone surrogate")],
    )
    def test_a1_other_text_is_refused_with_the_reason(self, key: str, told: str) -> None:
        """Empty, too long or not encodable."""
        with pytest.raises(ValueError, match=told):
            check_partition_key(key)

    @pytest.mark.parametrize("key", [b"bytes", 7, None])
    def test_a1_what_is_no_text_is_a_type_error(self, key: object) -> None:
        """The message names the type that was given."""
        with pytest.raises(TypeError, match=type(key).__name__):
            check_partition_key(key)


class TestKeys:
    """The two keys of an event."""

    def test_the_explicit_hash_key_counts_more(self) -> None:
        """Without one, the partition key's hash."""
        keys = keys_of("é", None)
        assert keys is not None
        assert (keys.partition_key, keys.explicit_hash_key, keys.size) == ("é", None, 2)
        assert keys.hash_key == hash_key_of("é")
        explicit = keys_of("é", "7")
        assert explicit is not None
        assert (explicit.explicit_hash_key, explicit.hash_key) == (7, 7)

    def test_a_hash_key_alone_gets_a_partition_key(self) -> None:
        """Kinesis wants one; and without either there are none."""
        keys = keys_of(None, 7)
        assert keys is not None
        assert (keys.partition_key, keys.hash_key) == ("0", 7)
        assert keys_of(None, None) is None

    def test_many_events_share_them(self) -> None:
        """Computed once for keys that come again, and the hash when it is asked for."""
        assert keys_of("again", None) is keys_of("again", None)

    @pytest.mark.parametrize("equal", [True, 1.0])
    def test_what_equals_a_hash_key_is_none(self, equal: int) -> None:
        """Also when the same number has been looked up before."""
        assert keys_of(None, 1) is not None
        with pytest.raises(TypeError):
            keys_of(None, equal)

    @pytest.mark.parametrize(
        ("partition_key", "hash_key", "error"),
        [("", None, ValueError), (None, "x", ValueError), (7, None, TypeError)],
    )
    def test_what_kinesis_does_not_take_gives_none(
        self, partition_key: str | None, hash_key: str, error: type[Exception]
    ) -> None:
        """Each time anew."""
        for _ in range(2):
            with pytest.raises(error):
                keys_of(partition_key, hash_key)


class TestExplicitHashKeys:
    """Numbers from 0 to 2**128 - 1 in canonical decimal."""

    @given(st.integers(0, MAX_HASH_KEY) | st.sampled_from((0, MAX_HASH_KEY)))
    def test_a3_each_number_is_taken_as_number_and_as_text(self, value: int) -> None:
        """Both ends included."""
        assert parse_explicit_hash_key(value) == value
        assert parse_explicit_hash_key(str(value)) == value

    @pytest.mark.parametrize(
        "value",
        [-1, 2**128, 2**600, "-1", "+1", "01", "00", "", " 1", "1_0", "٣", "1.0", "9" * 39,
         "9" * 500],
    )  # fmt: skip
    def test_a1_anything_else_is_refused(self, value: int | str) -> None:
        """The message says what is allowed, and is short however long the value."""
        with pytest.raises(ValueError, match="is not a decimal integer from 0") as refused:
            parse_explicit_hash_key(value)
        assert len(str(refused.value)) < 200

    def test_a1_a_number_too_long_to_be_written_is_refused_all_the_same(self) -> None:
        """Python itself refuses to write more than 4,300 digits."""
        with pytest.raises(ValueError, match="is not a decimal integer from 0"):
            parse_explicit_hash_key(10**5000)

    @pytest.mark.parametrize("value", [1.0, True, b"1"])
    def test_a1_other_types_are_a_type_error(self, value: object) -> None:
        """A bool is a number to Python, and surely a mistake here."""
        with pytest.raises(TypeError, match=type(value).__name__):
            parse_explicit_hash_key(value)


class TestRanges:
    """A shard's hash keys, both ends included."""

    def test_r11_both_ends_belong_to_the_range(self) -> None:
        """Neighbours do not."""
        hash_keys = HashKeyRange(10, 20)

        assert [hash_keys.contains(k) for k in (9, 10, 20, 21)] == [False, True, True, False]

    @pytest.mark.parametrize(
        ("low", "high", "inside"), [(10, 20, True), (9, 20, False), (10, 21, False), (15, 15, True)]
    )
    def test_a_span_is_enclosed_when_both_its_ends_are(
        self, low: int, high: int, *, inside: bool
    ) -> None:
        """This is the check a KCL consumer makes for each sub-record."""
        assert HashKeyRange(10, 20).encloses(low, high) is inside

    @pytest.mark.parametrize(("start", "end"), [(0, 0), (0, 1), (7, 8), (0, MAX_HASH_KEY)])
    def test_the_midpoint_lies_in_the_range(self, start: int, end: int) -> None:
        """However narrow it is."""
        hash_keys = HashKeyRange(start, end)

        assert hash_keys.contains(hash_keys.midpoint)
