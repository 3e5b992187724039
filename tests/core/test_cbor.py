"""CBOR: golden bodies, a round trip for every value, and an error for every other byte string."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinesink.core import cbor

PUT_RECORDS = bytes.fromhex(
    "a2 6a53747265616d4e616d65 6173 675265636f726473 81 a2 6444617461 4568656c6c6f"
    "6c506172746974696f6e4b6579 6170"
)
PUT_RECORDS_WITH_HASH_KEY = bytes.fromhex(
    "a2 6a53747265616d4e616d65 6173 675265636f726473 81 a3 6444617461 4568656c6c6f"
    "6f4578706c69636974486173684b6579 6130 6c506172746974696f6e4b6579 6170"
)
ERROR = bytes.fromhex(
    "bf 665f5f74797065 7819 556e6b6e6f776e4f7065726174696f6e457863657074696f6e ff"
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


class TestGoldenBodies:
    """Bytes that the service and its clients are known to exchange."""

    def test_a_put_records_request_is_fifty_known_bytes(self) -> None:
        """Members in the order given, definite lengths, data as a byte string."""
        body = {"StreamName": "s", "Records": [{"Data": b"hello", "PartitionKey": "p"}]}

        assert cbor.dumps(body) == PUT_RECORDS
        assert len(PUT_RECORDS) == 50
        assert cbor.loads(PUT_RECORDS) == body

    def test_an_explicit_hash_key_adds_its_member(self) -> None:
        """The inner map grows to three members and the body to 68 bytes."""
        entry = {"Data": b"hello", "ExplicitHashKey": "0", "PartitionKey": "p"}

        assert cbor.dumps({"StreamName": "s", "Records": [entry]}) == PUT_RECORDS_WITH_HASH_KEY
        assert len(PUT_RECORDS_WITH_HASH_KEY) == 68

    def test_an_error_of_the_service_is_read(self) -> None:
        """The service answers maps of indefinite length."""
        assert cbor.loads(ERROR) == {"__type": "UnknownOperationException"}

    def test_maps_can_be_written_as_the_service_writes_them(self) -> None:
        """With ``indefinite_maps`` a map is closed by a break instead of counted."""
        error = {"__type": "UnknownOperationException"}

        assert cbor.dumps(error, indefinite_maps=True) == ERROR


class TestRoundTrip:
    """What is encoded decodes to the same value."""

    @given(values)
    def test_every_value_survives(self, value: object) -> None:
        """Scalars and containers alike come back equal."""
        assert cbor.loads(cbor.dumps(value)) == value

    @given(values)
    def test_maps_without_length_mean_the_same(self, value: object) -> None:
        """The form of a map's length does not change its meaning."""
        assert cbor.loads(cbor.dumps(value, indefinite_maps=True)) == value

    @pytest.mark.parametrize("edge", [23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32])
    def test_the_shortest_head_is_chosen(self, edge: int) -> None:
        """An integer takes 0, 1, 2, 4 or 8 bytes of argument, the fewest that hold it."""
        sizes = {23: 1, 24: 2, 255: 2, 256: 3, 65535: 3, 65536: 5, 2**32 - 1: 5, 2**32: 9}

        assert len(cbor.dumps(edge)) == sizes[edge]
        assert len(cbor.dumps(-1 - edge)) == sizes[edge]

    def test_tuples_and_byte_likes_are_written_as_lists_and_bytes(self) -> None:
        """Anything that holds bytes is a byte string."""
        assert cbor.loads(cbor.dumps((bytearray(b"a"), memoryview(b"b")))) == [b"a", b"b"]

    def test_a_default_translates_foreign_types(self) -> None:
        """``default`` is asked for what CBOR does not know, and its answer is written."""
        assert cbor.loads(cbor.dumps({"at": {1}}, default=lambda _: 7)) == {"at": 7}


class TestOtherEncoders:
    """Forms that this encoder does not write, and others do."""

    @pytest.mark.parametrize(
        ("hexadecimal", "value"),
        [
            ("5f 42 0102 41 03 ff", b"\x01\x02\x03"),
            ("7f 61 61 61 62 ff", "ab"),
            ("5f ff", b""),
            ("9f 01 82 02 03 ff", [1, [2, 3]]),
            ("bf 61 61 01 61 62 9f ff ff", {"a": 1, "b": []}),
            ("c1 1a 514b67b0", 1363896240),
            ("d8 20 c0 61 61", "a"),
            ("f7", None),
            ("f9 3c00", 1.0),
            ("fa 47c35000", 100000.0),
            ("a2 61 61 01 61 61 02", {"a": 2}),
            ("18 00", 0),
        ],
    )
    def test_it_is_understood(self, hexadecimal: str, value: object) -> None:
        """Indefinite lengths, tags, short floats and long heads decode to the plain value."""
        assert cbor.loads(bytes.fromhex(hexadecimal)) == value

    def test_not_a_number_is_read(self) -> None:
        """The half-precision NaN is a float like another."""
        value = cbor.loads(bytes.fromhex("f97e00"))

        assert isinstance(value, float)
        assert math.isnan(value)


class TestHostileBytes:
    """Nothing but a value or a ValueError comes out."""

    @pytest.mark.parametrize(
        ("hexadecimal", "reason"),
        [
            ("", "announced"),
            ("18", "announced"),
            ("42 01", "announced"),
            ("5b 7fffffffffffffff", "announced"),
            ("9b 7fffffffffffffff", "elements"),
            ("bb 7fffffffffffffff", "elements"),
            ("a1 61 61", "announced"),
            ("a1 61", "elements"),
            ("01 01", "left over"),
            ("1c", "not allowed"),
            ("1f", "not allowed"),
            ("df 01", "not allowed"),
            ("ff", "simple value"),
            ("e0", "simple value"),
            ("f8 ff", "simple value"),
            ("a1 01 01", "not text"),
            ("5f 61 61 ff", "chunk"),
            ("5f 42 01", "announced"),
            ("7f 5f ff ff", "chunk"),
            ("9f 01", "announced"),
            ("61 ff", "utf-8"),
            ("7f 61 ff ff", "utf-8"),
        ],
    )
    def test_it_is_refused_with_a_reason(self, hexadecimal: str, reason: str) -> None:
        """Truncated, absurd or senseless input is an error that says what was wrong."""
        with pytest.raises(ValueError, match=reason):
            cbor.loads(bytes.fromhex(hexadecimal))

    @pytest.mark.parametrize("opening", [b"\x81", b"\x9f", b"\xa1\x61a", b"\xbf\x61a"])
    def test_deep_nesting_is_refused(self, opening: bytes) -> None:
        """A thousand containers in each other do not reach the interpreter's stack limit."""
        with pytest.raises(ValueError, match="nested"):
            cbor.loads(opening * 1000 + b"\x00")

    def test_a_long_chain_of_tags_is_no_nesting(self) -> None:
        """Tags are skipped in a loop, however many there are."""
        assert cbor.loads(b"\xc1" * 100_000 + b"\x05") == 5

    @given(st.binary(max_size=200))
    def test_noise_is_a_value_or_a_value_error(self, noise: bytes) -> None:
        """Random bytes crash nothing, and what they decode to can be encoded again."""
        try:
            value = cbor.loads(noise)
        except ValueError:
            return
        assert repr(cbor.loads(cbor.dumps(value))) == repr(value)

    @given(values, st.data())
    def test_every_truncation_is_an_error(self, value: object, data: st.DataObject) -> None:
        """No proper prefix of an encoding is an encoding."""
        encoded = cbor.dumps(value)
        end = data.draw(st.integers(0, len(encoded) - 1))

        with pytest.raises(ValueError, match="not CBOR"):
            cbor.loads(encoded[:end])


class TestUnencodableValues:
    """What CBOR here cannot express is refused, never guessed."""

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            (2**64, "64 bits"),
            (-(2**64) - 1, "64 bits"),
            ({1: "a"}, "int as a map key"),
            ({1}, "set"),
            ("\ud800", "surrogates"),
        ],
    )
    def test_it_is_refused_with_a_reason(self, value: object, reason: str) -> None:
        """The error names the type or the limit."""
        with pytest.raises(ValueError, match=reason):
            cbor.dumps(value)

    @pytest.mark.parametrize(
        "wrap", [lambda inner: [inner], lambda inner: {"a": inner}], ids=["list", "map"]
    )
    def test_deep_nesting_is_refused(self, wrap: Callable[[object], object]) -> None:
        """What could not be read back is not written."""
        value: object = 1
        for _ in range(cbor.MAX_DEPTH + 1):
            value = wrap(value)

        with pytest.raises(ValueError, match="nested"):
            cbor.dumps(value)

    def test_a_default_that_never_answers_ends(self) -> None:
        """A ``default`` returning foreign types forever stops at the depth limit."""
        with pytest.raises(ValueError, match="nested"):
            cbor.dumps({1}, default=lambda value: value)
