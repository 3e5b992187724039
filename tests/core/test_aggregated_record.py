"""The aggregated record: golden bytes, exact sizes, and AWS's own library at the other end."""

from __future__ import annotations

from base64 import b64decode, b64encode

import pytest
from aws_kinesis_agg.aggregator import RecordAggregator
from aws_kinesis_agg.deaggregator import deaggregate_records, messages_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesink.core.aggregated_record import (
    _PARTITION_KEY_FIELDS,
    _VARINTS,
    MAGIC,
    AggregateTables,
    HeaderCache,
    MalformedAggregateError,
    SubRecord,
    decode,
    one_key_tables,
    record_header,
    seal,
    string_field_bytes,
    varint,
)
from kinesink.core.hash_key import Keys
from kinesink.core.limits import MAX_HASH_KEY
from tests.core.entries import tables_of

GOLDEN = bytes.fromhex(
    "f3899ac2 0a026b31 120135 1a0508001a0141 1a08080010001a024243 0bc0b8738415db6a9ce75794b6af9fea"
)
GOLDEN_RECORDS = [SubRecord("k1", None, b"A"), SubRecord("k1", 5, b"BC")]

EDGES = (0, 1, 127, 128, 129, 16_383, 16_384, 16_385)
keys = st.text(min_size=1, max_size=256)
hash_keys = st.none() | st.sampled_from((0, 5, MAX_HASH_KEY)) | st.integers(0, MAX_HASH_KEY)
data = (
    st.sampled_from(EDGES)
    .flatmap(lambda edge: st.integers(max(0, edge - 12), edge))
    .map(lambda length: b"\x1a" * length)
) | st.binary(max_size=40)
user_records = st.builds(SubRecord, keys, hash_keys, data)


def aggregate(records: list[SubRecord]) -> tuple[bytes, int]:
    """Return the aggregated record of `records`, and the size that was told beforehand."""
    tables, ahead = AggregateTables(), AggregateTables()
    data = [record.data for record in records]
    keys = [Keys(record.partition_key, record.explicit_hash_key) for record in records]
    for one in range(len(records)):
        assert ahead.fill(data, keys, one, one + 1) == one + 1
        assert tables.fill(data, keys, one, len(records), ahead.size - 1) == one
        assert tables.fill(data, keys, one, one + 1, ahead.size) == one + 1
        assert tables.size == ahead.size
    return tables.encode(data), tables.size


def sealed(body: bytes) -> bytes:
    """Return `body` in a right envelope."""
    return seal([body])


class TestEncoding:
    """User records to bytes."""

    def test_e5_two_user_records_are_forty_four_known_bytes(self) -> None:
        """Magic, both tables, both records and the digest of the protobuf alone."""
        encoded, told = aggregate(GOLDEN_RECORDS)

        assert encoded == GOLDEN
        assert told == len(GOLDEN) == 44

    def test_keys_are_held_once_in_order_of_first_use(self) -> None:
        """A repeated key takes an index, no table entry."""
        encoded, _ = aggregate([
            SubRecord("b", 7, b""), SubRecord("a", 7, b""), SubRecord("b", 0, b""),
        ])  # fmt: skip

        assert encoded[4:-16].startswith(b"\x0a\x01b\x0a\x01a\x12\x017\x12\x010")

    # Takes a minute where a busy machine measures it.
    @pytest.mark.timeout(300)
    @settings(max_examples=3000)
    @given(st.lists(user_records, min_size=1, max_size=8))
    def test_l2_the_size_is_exact_before_the_first_byte_is_made(
        self, records: list[SubRecord]
    ) -> None:
        """Whatever keys, hash keys and data, the sum equals the encoder's length."""
        encoded, told = aggregate(records)

        assert len(encoded) == told
        assert decode(encoded) == records

    @pytest.mark.parametrize("records", [126, 127, 128, 129, 16_383, 16_384, 16_386])
    def test_l2_the_size_stays_exact_where_indexes_take_another_byte(self, records: int) -> None:
        """Each record brings a key and a hash key of its own, past every varint edge."""
        encoded, told = aggregate([SubRecord(f"k{i}", i, b"x") for i in range(records)])

        assert len(encoded) == told

    @pytest.mark.parametrize("length", [2_097_152 - 8, 2_097_151, 2_097_152, 2_097_153])
    def test_l2_the_size_stays_exact_where_lengths_take_four_bytes(self, length: int) -> None:
        """Data of 2 MiB is legal on streams with large records."""
        encoded, told = aggregate([SubRecord("k", None, bytes(length))])

        assert len(encoded) == told

    def test_one_record_adds_at_most_its_data_its_key_and_62_bytes(self) -> None:
        """The bound that callers may rely on without looking at the tables."""
        for length in EDGES:
            tables = tables_of(("k" * 256, MAX_HASH_KEY, length))
            assert tables.size - AggregateTables().size <= length + 256 + 62

    @given(st.lists(user_records, max_size=30), st.integers(0, 3000))
    def test_many_events_are_added_as_each_by_itself(
        self, records: list[SubRecord], limit: int
    ) -> None:
        """Up to the first that does not fit; a second call goes on there."""
        data = [record.data for record in records]
        keys = [Keys(record.partition_key, record.explicit_hash_key) for record in records]
        tables, one_by_one = AggregateTables(), AggregateTables()
        end = tables.fill(data, keys, 0, len(data), limit)
        for one in range(end):
            assert one_by_one.fill(data, keys, one, one + 1, limit) == one + 1
        assert tables.size == one_by_one.size
        assert tables.encode(data[:end]) == one_by_one.encode(data[:end])
        if end < len(data):
            assert one_by_one.fill(data, keys, end, end + 1, limit) == end
        assert tables.fill(data, keys, end, len(data)) == len(data)
        assert len(tables.encode(data)) == tables.size

    def test_what_is_remembered_of_partition_keys_is_bounded(self) -> None:
        """A process that has a new key for each event pays for encoding it, never in memory."""
        for number in range(3 * _PARTITION_KEY_FIELDS._MOST):
            assert _PARTITION_KEY_FIELDS[f"k{number}"].endswith(b"k%d" % number)
            assert len(_PARTITION_KEY_FIELDS) <= _PARTITION_KEY_FIELDS._MOST

    @given(st.integers(0, 20_000))
    def test_shared_keys_and_cached_headers_give_the_same_bytes(self, length: int) -> None:
        """The short way of keyless events writes what the long way writes."""
        datum = bytes(length)
        quick = seal([*one_key_tables("7", 11), HeaderCache()[length], datum])

        assert quick == aggregate([SubRecord("7", 11, datum)])[0]

    def test_cached_lengths_are_bounded(self) -> None:
        """Lengths of lengths as well."""
        for value in range(3 * _VARINTS._MOST):
            assert _VARINTS[value] == varint(value)
            assert len(_VARINTS) <= _VARINTS._MOST

    def test_cached_headers_are_bounded(self) -> None:
        """A process that logs every length pays in time, never in memory."""
        headers = HeaderCache()
        for length in range(3 * HeaderCache._MAX_HEADERS):
            assert headers[length] == record_header(0, 0, length)
            assert len(headers) <= HeaderCache._MAX_HEADERS

    @pytest.mark.parametrize("length", [0, 1, 127, 128])
    def test_a_table_entry_takes_its_tag_its_length_and_its_text(self, length: int) -> None:
        """The size of the empty keyless aggregate is made of these."""
        assert string_field_bytes(length) == len(b"\x0a" + varint(length)) + length


class TestDecoding:
    """Bytes to user records, or to a clear answer that they are none."""

    def test_the_golden_vector_decodes(self) -> None:
        """The other way round, the same two user records."""
        assert decode(GOLDEN) == GOLDEN_RECORDS

    @pytest.mark.parametrize(
        "raw",
        [b"", b"plain text", MAGIC, MAGIC + b"x" * 16, GOLDEN[:-1], GOLDEN[1:], b" " + GOLDEN],
    )
    def test_e6_other_data_is_no_aggregate(self, raw: bytes) -> None:
        """Without magic, content or a matching digest it is some user's own data."""
        assert decode(raw) is None

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param("1a051000 1a0141", id="no partition key index"),
            pytest.param("0a016b 1a020800", id="no data"),
            pytest.param("0a016b 1a0508011a0141", id="key index past the table"),
            pytest.param("0a016b 1a08080010001a0141 00", id="hash key index past the table"),
            pytest.param("0a016b 1a060a016b1a0141", id="a key where an index belongs"),
            pytest.param("0a016b 1a0408001805", id="a number where data belongs"),
            pytest.param("0a01ff 1a0508001a0141", id="a key that is not UTF-8"),
            pytest.param("0805", id="a number where a key belongs"),
            pytest.param("12012d", id="a hash key that is no number"),
            pytest.param("1200", id="an empty hash key"),
            pytest.param("1228" + "31" * 40, id="a hash key of forty digits"),
            pytest.param("1227" + "39" * 39, id="a hash key above 2**128 - 1"),
            pytest.param("0a056b", id="a length past the end"),
            pytest.param("0900", id="a fixed-width value past the end"),
            pytest.param("0a", id="a tag without value"),
            pytest.param("80808080808080808080 01", id="a varint of eleven bytes"),
            pytest.param("0b", id="a group, which the format does not know"),
        ],
    )
    def test_e6_a_right_envelope_around_nonsense_is_a_clear_error(self, body: str) -> None:
        """The digest matches, so this is no user's own data but a broken writer."""
        with pytest.raises(MalformedAggregateError):
            decode(sealed(bytes.fromhex(body)))

    def test_fields_of_later_formats_are_skipped(self) -> None:
        """Tags and unknown fields of every wire type, at both levels."""
        unknown = b"\x78\x05\x79" + bytes(8) + b"\x7a\x01x\x7d" + bytes(4)
        tag = b"\x22\x03\x0a\x01t"
        inner = b"\x08\x00" + unknown + b"\x1a\x01A" + tag
        body = b"\x0a\x01k" + unknown + b"\x1a" + varint(len(inner)) + inner

        assert decode(sealed(body)) == [SubRecord("k", None, b"A")]

    @settings(max_examples=500)
    @given(st.lists(user_records, min_size=1, max_size=4), st.data())
    def test_e6_corruption_is_noticed_by_the_digest(
        self, records: list[SubRecord], choose: st.DataObject
    ) -> None:
        """A changed or missing byte makes it somebody's own data, never another record."""
        encoded = bytearray(aggregate(records)[0])
        position = choose.draw(st.integers(0, len(encoded) - 1))
        if choose.draw(st.booleans()):
            encoded[position] ^= choose.draw(st.integers(1, 255))
        else:
            del encoded[position:]

        assert decode(bytes(encoded)) is None

    @settings(max_examples=1000)
    @given(st.binary(max_size=60))
    def test_e6_any_bytes_decode_or_fail_clearly(self, body: bytes) -> None:
        """Whatever stands in the envelope, nothing but the one error comes out."""
        assert decode(body) is None or body.startswith(MAGIC)
        try:
            records = decode(sealed(body))
        except MalformedAggregateError:
            return
        assert all(isinstance(record, SubRecord) for record in records or ())


class TestWithTheLibraryOfAws:
    """aws-kinesis-agg writes and reads the same format."""

    @settings(max_examples=200)
    @given(st.lists(user_records, min_size=2, max_size=6))
    def test_e1_its_reader_takes_apart_what_is_written_here(self, records: list[SubRecord]) -> None:
        """Keys and data arrive, in order."""
        encoded, _ = aggregate(records)
        outer = {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": "outer",
            "sequenceNumber": "1",
            "approximateArrivalTimestamp": 0,
            "data": b64encode(encoded).decode(),
        }

        read = [each["kinesis"] for each in deaggregate_records([{"kinesis": outer}])]

        assert [(each["partitionKey"], b64decode(each["data"])) for each in read] == [
            (record.partition_key, record.data) for record in records
        ]

    @settings(max_examples=200)
    @given(st.lists(user_records, min_size=2, max_size=6))
    def test_e2_the_runtime_of_protobuf_parses_what_is_written_here(
        self, records: list[SubRecord]
    ) -> None:
        """Explicit hash keys included, which the reader mixes up where some records have none."""
        parsed = messages_pb2.AggregatedRecord.FromString(aggregate(records)[0][4:-16])

        keys_of, hash_keys_of = parsed.partition_key_table, parsed.explicit_hash_key_table
        assert [
            SubRecord(
                keys_of[each.partition_key_index],
                int(hash_keys_of[each.explicit_hash_key_index])
                if each.HasField("explicit_hash_key_index")
                else None,
                each.data,
            )
            for each in parsed.records
        ] == records

    @settings(max_examples=200)
    @given(st.lists(user_records, min_size=2, max_size=6))
    def test_e5_its_writer_makes_the_same_bytes(self, records: list[SubRecord]) -> None:
        """Two writers, one format: the same user records in the same order are one blob."""
        aggregator = RecordAggregator()
        for record in records:
            explicit = record.explicit_hash_key
            aggregator.add_user_record(
                record.partition_key, record.data, None if explicit is None else str(explicit)
            )
        _, _, blob = aggregator.clear_and_get().get_contents()

        assert blob == aggregate(records)[0]
        assert decode(blob) == records
