"""What Kinesis can never take is refused where it enters."""

from __future__ import annotations

import array

import pytest

from kinesink.core.limits import MAX_HASH_KEY
from kinesink.errors import InvalidRecordError
from kinesink.shell.admission import check_record, check_stream_name

MIB = 2**20


class TestAdmission:
    """One check for every way in."""

    @pytest.mark.parametrize(
        ("data", "partition_key", "explicit", "hash_key"),
        [
            pytest.param(b"", None, None, None, id="empty data"),
            pytest.param(b"", "😀" * 256, "0", 0, id="256 characters of four bytes"),
            pytest.param(b"", "k", str(MAX_HASH_KEY), MAX_HASH_KEY, id="the last hash key"),
            pytest.param(bytearray(b"x"), None, 5, 5, id="a bytearray"),
            pytest.param(memoryview(b"x"), None, None, None, id="a memoryview"),
            pytest.param(bytes(MIB - 1), None, None, None, id="the limit, keyless"),
            pytest.param(bytes(MIB - 2), "é", None, None, id="the limit, keyed"),
        ],
    )
    def test_a3_what_kinesis_takes_is_taken(
        self, data: object, partition_key: object, explicit: object, hash_key: int | None
    ) -> None:
        """The explicit hash key comes back as a number."""
        assert check_record(data, partition_key, explicit, MIB) == hash_key

    @pytest.mark.parametrize(
        ("data", "partition_key", "explicit", "told"),
        [
            pytest.param(bytes(MIB), None, None, "1048577 bytes", id="too large, keyless"),
            pytest.param(bytes(MIB - 1), "é", None, "1048577 bytes", id="too large, keyed"),
            pytest.param(
                memoryview(array.array("q", [0] * (MIB // 8))), None, None, "1048577 bytes",
                id="too large in bytes, not in items",
            ),
            pytest.param(b"", "", None, "0 characters", id="an empty key"),
            pytest.param(b"", "k" * 257, None, "257 characters", id="a long key"),
            pytest.param(b"", "\ud800", None, "lone surrogate", id="a lone surrogate"),
            pytest.param(b"", "k", "-1", "not a decimal", id="a negative hash key"),
            pytest.param(b"", "k", "٣", "not a decimal", id="digits of another script"),
            pytest.param(b"", "k", 2**128, "not a decimal", id="a hash key too high"),
        ],
    )  # fmt: skip
    def test_a1_what_it_never_takes_is_refused(
        self, data: object, partition_key: object, explicit: object, told: str
    ) -> None:
        """With an error that says why."""
        with pytest.raises(InvalidRecordError, match=told):
            check_record(data, partition_key, explicit, MIB)

    @pytest.mark.parametrize(
        ("data", "partition_key", "explicit", "told"),
        [
            ("text", None, None, "data must be bytes, not str"),
            (None, None, None, "data must be bytes, not NoneType"),
            (b"", 7, None, "partition_key must be str, not int"),
            (b"", "k", 1.0, "explicit_hash_key must be int or str, not float"),
        ],
    )
    def test_a1_what_is_of_another_type_is_a_type_error(
        self, data: object, partition_key: object, explicit: object, told: str
    ) -> None:
        """A mistake in the caller's code, not in its data."""
        with pytest.raises(TypeError, match=told):
            check_record(data, partition_key, explicit, MIB)

    @pytest.mark.parametrize(
        "data", [b"two\nlines", b"\n\n", bytearray(b"\nx"), memoryview(b"a\nb")]
    )
    def test_where_an_event_is_a_line_it_cannot_be_two(self, data: object) -> None:
        """A consumer would read two events; other framings carry any bytes."""
        with pytest.raises(InvalidRecordError, match="line feed before its end"):
            check_record(data, None, None, MIB, "lines")
        assert check_record(data, None, None, MIB, "none") is None
        assert check_record(data, None, None, MIB, "kpl") is None

    @pytest.mark.parametrize("data", [b"", b"\n", b"one line", b"one line\n", b"carriage\r"])
    def test_a_line_with_or_without_its_end_is_one(self, data: bytes) -> None:
        """It gets no second line feed."""
        assert check_record(data, None, None, MIB, "lines") is None

    def test_a1_the_line_feed_that_a_line_gets_counts(self) -> None:
        """Otherwise it would be accepted, and dropped for its size later."""
        assert check_record(bytes(98) + b"\n", None, None, 100, "lines") is None
        assert check_record(bytes(98), "k", None, 100, "lines") is None
        with pytest.raises(InvalidRecordError, match="101 bytes"):
            check_record(bytes(99), None, None, 100, "lines")
        assert check_record(bytes(99), None, None, 100, "kpl") is None


class TestStreamNames:
    """The name of another stream."""

    @pytest.mark.parametrize("name", ["a", "app-logs_1.x", "n" * 128])
    def test_a_possible_name_is_taken(self, name: str) -> None:
        """Whether there is such a stream, Kinesis says."""
        check_stream_name(name)

    @pytest.mark.parametrize("name", ["", "a b", "ä", "n" * 129, "app\n", "a/b"])
    def test_a1_an_impossible_name_is_refused(self, name: str) -> None:
        """With what is allowed."""
        with pytest.raises(InvalidRecordError, match="1 to 128 characters"):
            check_stream_name(name)

    def test_a1_a_name_of_another_type_is_a_type_error(self) -> None:
        """A mistake in the caller's code."""
        with pytest.raises(TypeError, match="must be str, not bytes"):
            check_stream_name(b"app")
