"""Request bodies to the byte, and what answers of success say."""

from __future__ import annotations

import json
import math
from binascii import a2b_base64
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinesink.core import cbor
from kinesink.core.records import (
    EntryResult,
    PutRecordsEntry,
    ShardDescription,
    ShardId,
    StreamSummary,
)
from kinesink.shell import wire

if TYPE_CHECKING:
    from collections.abc import Callable

JSON = "application/x-amz-json-1.1"
CBOR = "application/x-amz-cbor-1.1"

HELLO = PutRecordsEntry(b"hello", "p")
HELLO_WITH_HASH_KEY = PutRecordsEntry(b"hello", "p", "0")

ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/s"

#: Accepted by the service's emulators byte for byte.
HELLO_IN_JSON = b'{"StreamName":"s","Records":[{"Data":"aGVsbG8=","PartitionKey":"p"}]}'
HELLO_IN_CBOR = bytes.fromhex(
    "a2 6a53747265616d4e616d65 6173 675265636f726473 81 a2 6444617461 4568656c6c6f"
    "6c506172746974696f6e4b6579 6170"
)
HELLO_WITH_HASH_KEY_IN_CBOR = bytes.fromhex(
    "a2 6a53747265616d4e616d65 6173 675265636f726473 81 a3 6444617461 4568656c6c6f"
    "6f4578706c69636974486173684b6579 6130 6c506172746974696f6e4b6579 6170"
)

entries = st.builds(
    PutRecordsEntry,
    data=st.binary(max_size=300),
    partition_key=st.text(min_size=1, max_size=20),
    explicit_hash_key=st.none() | st.integers(0, 2**128 - 1).map(str),
)


def in_json(members: object) -> tuple[str, bytes]:
    """Return an answer as the service sends it in JSON."""
    return JSON, json.dumps(members).encode()


def in_cbor(members: object) -> tuple[str, bytes]:
    """Return an answer as the service sends it in CBOR: maps without length."""
    return CBOR, cbor.dumps(members, indefinite_maps=True)


both_formats = pytest.mark.parametrize("answer", [in_json, in_cbor])


class TestPutRecordsRequest:
    """The body that carries every event."""

    def test_golden_body_in_json(self) -> None:
        """The bytes are those of the reference."""
        assert wire.encode_put_records("s", [HELLO], "json") == HELLO_IN_JSON

    def test_golden_body_in_cbor(self) -> None:
        """The bytes are those of the reference."""
        body = wire.encode_put_records("s", [HELLO], "cbor")
        assert body == HELLO_IN_CBOR
        assert len(body) == 50

    def test_golden_body_in_cbor_with_explicit_hash_key(self) -> None:
        """The explicit hash key stands between data and partition key."""
        body = wire.encode_put_records("s", [HELLO_WITH_HASH_KEY], "cbor")
        assert body == HELLO_WITH_HASH_KEY_IN_CBOR
        assert len(body) == 68

    @pytest.mark.parametrize("protocol", ["json", "cbor"])
    def test_a_stream_is_named_by_its_arn_alone(self, protocol: wire.Protocol) -> None:
        """Which is known by its colons: no name has one."""
        body = wire.encode_put_records(ARN, [HELLO], protocol)
        named = body.replace(b"StreamARN", b"StreamName").replace(ARN.encode(), b"s")
        if protocol == "json":
            assert named == HELLO_IN_JSON
        members = wire.decode(wire.CONTENT_TYPES[protocol], body)
        assert set(members) == {"StreamARN", "Records"}
        assert members["StreamARN"] == ARN

    def test_explicit_hash_key_is_a_decimal_string_in_json(self) -> None:
        """128 bits fit into no JSON number that everybody reads."""
        body = wire.encode_put_records("s", [HELLO_WITH_HASH_KEY], "json")
        assert json.loads(body)["Records"][0]["ExplicitHashKey"] == "0"

    @pytest.mark.parametrize("protocol", ["json", "cbor"])
    def test_no_entries_are_a_valid_body_too(self, protocol: wire.Protocol) -> None:
        """The service refuses it, but as what it is."""
        body = wire.encode_put_records("s", [], protocol)
        content_type = wire.CONTENT_TYPES[protocol]
        assert wire.decode(content_type, body) == {"StreamName": "s", "Records": []}

    @given(st.lists(entries, max_size=5))
    def test_json_says_what_was_given(self, given_entries: list[PutRecordsEntry]) -> None:
        """Quotes, control characters and every plane of Unicode survive in keys."""
        body = json.loads(wire.encode_put_records("s", given_entries, "json"))
        decoded = [
            PutRecordsEntry(
                a2b_base64(record["Data"]), record["PartitionKey"], record.get("ExplicitHashKey")
            )
            for record in body["Records"]
        ]
        assert decoded == given_entries

    @given(st.lists(entries, max_size=5))
    def test_cbor_says_what_was_given(self, given_entries: list[PutRecordsEntry]) -> None:
        """Data travels as bytes, keys as text."""
        body = wire.decode(CBOR, wire.encode_put_records("s", given_entries, "cbor"))
        decoded = [
            PutRecordsEntry(record["Data"], record["PartitionKey"], record.get("ExplicitHashKey"))
            for record in body["Records"]
        ]
        assert decoded == given_entries


def test_headers_name_operation_and_encoding() -> None:
    """One URL serves all operations."""
    assert wire.request_headers("ListShards", "cbor") == {
        "Content-Type": CBOR,
        "X-Amz-Target": "Kinesis_20131202.ListShards",
    }


@pytest.mark.parametrize("protocol", ["json", "cbor"])
def test_small_requests_are_plain_maps(protocol: wire.Protocol) -> None:
    """What is no PutRecords is rare, so an encoder does it."""
    body = wire.encode({"StreamName": "s"}, protocol)
    assert wire.decode(wire.CONTENT_TYPES[protocol], body) == {"StreamName": "s"}


class TestDecoding:
    """The decoder follows the answer, not the request."""

    def test_an_empty_body_has_no_members(self) -> None:
        """Control operations answer with zero bytes."""
        assert wire.decode(JSON, b"") == {}
        assert wire.decode(CBOR, b"") == {}

    def test_json_is_read_whatever_it_is_called(self) -> None:
        """Some gateways label it as text, or not at all."""
        assert wire.decode("text/plain; charset=utf-8", b'{"a":1}') == {"a": 1}
        assert wire.decode("", b'{"a":1}') == {"a": 1}

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [(JSON, b"<html>"), (JSON, b"[]"), (CBOR, b"\x80"), (CBOR, b"{}"), (JSON, b'{"a":')],
    )
    def test_what_is_no_map_is_refused(self, content_type: str, body: bytes) -> None:
        """A proxy's page, a cut body, another format: one kind of error."""
        with pytest.raises(ValueError, match=r".+"):
            wire.decode(content_type, body)

    @given(st.binary(max_size=80), st.sampled_from([JSON, CBOR]))
    def test_any_bytes_are_decoded_or_refused(self, body: bytes, content_type: str) -> None:
        """Bytes from the network raise nothing else than ValueError."""
        decoders: list[Callable[[str, bytes], object]] = [
            wire.decode_put_records,
            wire.decode_list_shards,
            wire.decode_describe_stream_summary,
        ]
        for decode in decoders:
            with suppress(ValueError):
                decode(content_type, body)
        wire.decode_failure(400, {"content-type": content_type}, body, host="h", now=0.0)


class TestPutRecordsAnswer:
    """One result per entry."""

    @both_formats
    def test_results_keep_their_order(self, answer: Callable[[object], tuple[str, bytes]]) -> None:
        """Position is all that links a result to its entry."""
        written = {"ShardId": "shardId-000000000001", "SequenceNumber": "49"}
        refused = {
            "ErrorCode": "ProvisionedThroughputExceededException",
            "ErrorMessage": "Rate exceeded for shard shardId-000000000000",
        }
        results = wire.decode_put_records(
            *answer({"FailedRecordCount": 1, "Records": [written, refused]})
        )
        assert results == [
            EntryResult("shardId-000000000001", "49"),
            EntryResult(None, None, refused["ErrorCode"], refused["ErrorMessage"]),
        ]
        assert [result.success for result in results] == [True, False]

    @both_formats
    def test_null_members_count_as_absent(
        self, answer: Callable[[object], tuple[str, bytes]]
    ) -> None:
        """kinesis-mock sends ``"ErrorCode": null`` on success."""
        written = {"ShardId": "s", "SequenceNumber": "1", "ErrorCode": None, "ErrorMessage": None}
        (result,) = wire.decode_put_records(*answer({"Records": [written]}))
        assert result == EntryResult("s", "1")

    def test_no_results_are_no_error(self) -> None:
        """A wrong number of results is the core's to judge."""
        assert wire.decode_put_records(JSON, b"") == []

    @pytest.mark.parametrize(
        "members",
        [{"Records": {}}, {"Records": 7}, {"Records": [7]}, {"Records": [{"ShardId": 7}]}],
    )
    def test_results_of_another_shape_are_refused(self, members: object) -> None:
        """Better one failed call than a wrong verdict."""
        if members == {"Records": {}}:
            assert wire.decode_put_records(*in_json(members)) == []
        else:
            with pytest.raises(ValueError, match=r"is no (list|text)"):
                wire.decode_put_records(*in_json(members))


def shard(shard_id: str, start: int, end: int, *, ending: str | None = "") -> dict[str, Any]:
    """Return a shard as ListShards shows it; open unless it has an ending."""
    sequence_numbers: dict[str, str | None] = {"StartingSequenceNumber": "49"}
    if ending != "":
        sequence_numbers["EndingSequenceNumber"] = ending
    return {
        "ShardId": shard_id,
        "HashKeyRange": {"StartingHashKey": str(start), "EndingHashKey": str(end)},
        "SequenceNumberRange": sequence_numbers,
    }


class TestListShards:
    """Pages of open shards."""

    def test_the_first_page_asks_for_open_shards_by_name(self) -> None:
        """The default filter would list closed shards for days."""
        assert wire.list_shards_members("s", None) == {
            "StreamName": "s",
            "ShardFilter": {"Type": "AT_LATEST"},
            "MaxResults": 1000,
        }

    def test_later_pages_carry_the_token_alone(self) -> None:
        """The service refuses the name or the filter next to a token."""
        assert wire.list_shards_members("s", "t") == {"NextToken": "t"}

    @both_formats
    def test_only_open_shards_are_kept(self, answer: Callable[[object], tuple[str, bytes]]) -> None:
        """An ending of null means open; moto sends closed shards despite the filter."""
        members = {
            "Shards": [
                shard("a", 0, 9),
                shard("b", 10, 19, ending=None),
                shard("c", 20, 2**128 - 1, ending="50"),
            ],
            "NextToken": "more",
        }
        assert wire.decode_list_shards(*answer(members)) == (
            [ShardDescription(ShardId("a"), 0, 9), ShardDescription(ShardId("b"), 10, 19)],
            "more",
        )

    def test_a_null_token_ends_the_listing(self) -> None:
        """kinesis-mock sends ``"NextToken": null`` on the last page."""
        assert wire.decode_list_shards(*in_json({"Shards": [], "NextToken": None})) == ([], None)

    @pytest.mark.parametrize(
        "broken",
        [
            {"HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "1"}},
            {"ShardId": "a"},
            {"ShardId": "a", "HashKeyRange": []},
            {"ShardId": "a", "HashKeyRange": "x"},
            {"ShardId": "a", "HashKeyRange": {"StartingHashKey": "x", "EndingHashKey": "1"}},
            {"ShardId": "a", "SequenceNumberRange": 1},
        ],
    )
    def test_a_shard_without_id_or_range_is_refused(self, broken: object) -> None:
        """A map with a hole would be believed."""
        with pytest.raises(ValueError, match=r".+"):
            wire.decode_list_shards(*in_json({"Shards": [broken]}))


class TestDescribeStreamSummary:
    """What the pipeline wants to know of the stream."""

    def test_json_timestamps_are_seconds(self) -> None:
        """And the record limit comes in KiB."""
        summary = {
            "MaxRecordSizeInKiB": 10240,
            "RecordDistributionStrategy": "AUTO",
            "StreamModeDetails": {"StreamMode": "ON_DEMAND"},
            "StreamStatus": "ACTIVE",
            "StreamCreationTimestamp": 1767323045.25,
        }
        assert wire.decode_describe_stream_summary(
            *in_json({"StreamDescriptionSummary": summary})
        ) == StreamSummary(10_485_760, "AUTO", "ON_DEMAND", "ACTIVE", 1767323045.25)

    def test_cbor_timestamps_are_milliseconds(self) -> None:
        """The unit depends on the format of the answer."""
        summary = {"StreamCreationTimestamp": 1767323045250, "StreamStatus": "ACTIVE"}
        found = wire.decode_describe_stream_summary(*in_cbor({"StreamDescriptionSummary": summary}))
        assert found == StreamSummary(status="ACTIVE", created=1767323045.25)

    @pytest.mark.parametrize(
        "members",
        [
            {},
            {"StreamDescriptionSummary": {}},
            {"StreamDescriptionSummary": {"MaxRecordSizeInKiB": "many"}},
            {"StreamDescriptionSummary": {"StreamStatus": "ACTIVE", "StreamModeDetails": "x"}},
        ],
    )
    def test_an_answer_without_a_summary_is_refused(self, members: object) -> None:
        """Not knowing is another thing than knowing that nothing is special."""
        with pytest.raises(ValueError, match=r"StreamDescription|is no"):
            wire.decode_describe_stream_summary(*in_json(members))

    def test_a_number_without_end_is_refused(self) -> None:
        """CBOR can say infinity."""
        with pytest.raises(ValueError, match="MaxRecordSizeInKiB is no number"):
            wire.decode_describe_stream_summary(
                *in_cbor({"StreamDescriptionSummary": {"MaxRecordSizeInKiB": math.inf}})
            )
