"""What Kinesis can never take is refused where it enters."""

from __future__ import annotations

import array

import pytest

from kinesink.core.limits import MAX_HASH_KEY
from kinesink.errors import InvalidRecordError
from kinesink.shell.admission import check_record

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
