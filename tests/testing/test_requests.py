"""Requests to the fake: formats, constraints, signatures, and errors as the service words them."""

import base64
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import orjson
import pytest

from kinesink.core import cbor
from kinesink.testing import AUTO, FakeKinesis, Reply, Request
from tests.testing.calls import (
    CBOR,
    JSON,
    Answer,
    Clock,
    call,
    entry,
    fake_with,
    headers_of,
    read,
    request_of,
    send,
)

MIB = 1024 * 1024
MUST = "failed to satisfy constraint: Member must"
ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/s"


def raw(fake: FakeKinesis, body: bytes, content_type: str = JSON, **headers: str) -> Answer:
    """Send a body as it is to PutRecords, with headers changed (``_`` stands for ``-``)."""
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    merged = {**headers_of("PutRecords", content_type), **changed}
    reply = fake.answer(Request("POST", merged, body))
    assert isinstance(reply, Reply)
    return read(reply)


class TestFormats:
    """JSON and CBOR, by the request's content type."""

    def test_the_golden_json_body_is_understood(self) -> None:
        """Data travels as base64 and lands as bytes."""
        fake = fake_with()

        answer = raw(fake, b'{"StreamName":"s","Records":[{"Data":"aGVsbG8=","PartitionKey":"p"}]}')

        assert answer.status == 200
        assert answer.headers["Content-Type"] == JSON
        assert answer.members["FailedRecordCount"] == 0
        assert fake.records("s")[0].data == b"hello"

    def test_cbor_is_answered_in_cbor(self) -> None:
        """Data travels as a byte string, and maps in the answer have no length."""
        fake = fake_with()

        answer = send(
            fake, request_of("PutRecords", {"StreamName": "s", "Records": [entry(b"hello")]}, CBOR)
        )

        assert answer.status == 200
        assert answer.reply.body.startswith(b"\xbf")
        assert answer.members["Records"][0]["ShardId"] == "shardId-000000000000"
        assert fake.records("s")[0].data == b"hello"

    def test_errors_keep_the_format(self) -> None:
        """The golden error body: an unknown operation, in CBOR."""
        answer = send(fake_with(), request_of("Nonsense", {}, CBOR))

        assert answer.status == 400
        assert answer.reply.body == bytes.fromhex(
            "bf 665f5f74797065 7819 556e6b6e6f776e4f7065726174696f6e457863657074696f6e ff"
        )

    @pytest.mark.parametrize("content_type", [JSON, CBOR])
    def test_timestamps_have_the_formats_unit(self, content_type: str) -> None:
        """JSON: seconds with a fraction. CBOR: whole milliseconds."""
        fake = fake_with(clock=Clock(1000.1234))

        answer = send(fake, request_of("DescribeStreamSummary", {"StreamName": "s"}, content_type))

        created = answer.members["StreamDescriptionSummary"]["StreamCreationTimestamp"]
        assert created == (1000.1234 if content_type == JSON else 1_000_123)

    @pytest.mark.parametrize("content_type", [JSON, CBOR])
    def test_data_comes_back_as_it_went_in(self, content_type: str) -> None:
        """GetRecords writes blobs in the form of the format."""
        fake = fake_with()
        fake.put("s", b"\x00\xff")
        members = {
            "StreamName": "s",
            "ShardId": "shardId-000000000000",
            "ShardIteratorType": "TRIM_HORIZON",
        }
        iterator = send(fake, request_of("GetShardIterator", members, content_type)).members

        answer = send(fake, request_of("GetRecords", iterator, content_type))

        data = answer.members["Records"][0]["Data"]
        assert (base64.b64decode(data) if content_type == JSON else data) == b"\x00\xff"

    @pytest.mark.parametrize("content_type", [JSON, CBOR])
    def test_control_operations_answer_nothing(self, content_type: str) -> None:
        """Zero bytes, not an empty map; and an empty request body has no members."""
        fake = fake_with()

        answer = send(
            fake, request_of("CreateStream", {"StreamName": "t", "ShardCount": 1}, content_type)
        )
        listing = fake.answer(Request("POST", headers_of("ListStreams", content_type), b""))

        assert (answer.status, answer.reply.body) == (200, b"")
        assert isinstance(listing, Reply)
        assert read(listing).members["StreamNames"] == ["s", "t"]

    def test_a_charset_does_not_matter(self) -> None:
        """Parameters and case of the content type are ignored."""
        answer = raw(fake_with(), b"{}", content_type="Application/X-AMZ-json-1.1; charset=utf-8")

        assert answer.code == "ValidationException"

    @pytest.mark.parametrize(
        ("method", "content_type"), [("POST", "text/plain"), ("POST", ""), ("GET", JSON)]
    )
    def test_what_is_no_request_is_refused_in_xml(self, method: str, content_type: str) -> None:
        """Without a format there is no error code either."""
        headers = {**headers_of("ListStreams"), "content-type": content_type}

        reply = fake_with().answer(Request(method, headers, b"{}"))

        assert isinstance(reply, Reply)
        assert reply.status == 403
        assert reply.body.startswith(b"<AccessDeniedException>")

    def test_every_answer_carries_ids_and_the_date(self) -> None:
        """Two request ids to quote, never the same, and the time of the service's clock."""
        fake = fake_with(clock=Clock(1_767_322_800.0))

        first, second = (call(fake, "ListStreams").headers for _ in range(2))

        assert first["x-amzn-RequestId"] != second["x-amzn-RequestId"]
        assert first["x-amz-id-2"]
        assert parsedate_to_datetime(first["Date"]) == datetime(2026, 1, 2, 3, tzinfo=timezone.utc)


class TestUnreadableRequests:
    """SerializationException: the body, or a member, is not what its type says."""

    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b"[]",
            b"7",
            b'{"StreamName":"s","Records":{}}',
            b'{"StreamName":"s","Records":["x"]}',
            b'{"StreamName":7,"Records":[]}',
            b'{"StreamName":"s","Records":[{"Data":"###","PartitionKey":"p"}]}',
            b'{"StreamName":"s","Records":[{"Data":"YQ","PartitionKey":"p"}]}',
            b'{"StreamName":"s","Records":[{"Data":7,"PartitionKey":"p"}]}',
            b'{"StreamName":"s","Records":[{"Data":"YQ==","PartitionKey":7}]}',
            b'{"StreamName":"s","DryRun":"yes","Records":[]}',
        ],
    )
    def test_json(self, body: bytes) -> None:
        """Malformed JSON, a wrong type, and anything but padded base64."""
        fake = fake_with()

        answer = raw(fake, body)

        assert (answer.status, answer.code) == (400, "SerializationException")
        assert fake.records("s") == []

    @pytest.mark.parametrize(
        "body",
        [
            b"\xa1",
            cbor.dumps([]),
            cbor.dumps({"StreamName": "s", "Records": [{"Data": "YQ==", "PartitionKey": "p"}]}),
        ],
        ids=["truncated", "list", "text as data"],
    )
    def test_cbor(self, body: bytes) -> None:
        """Malformed CBOR, and base64 text where bytes belong."""
        assert raw(fake_with(), body, CBOR).code == "SerializationException"

    @pytest.mark.parametrize(
        ("operation", "member", "value"),
        [
            ("ListShards", "MaxResults", "7"),
            ("ListShards", "MaxResults", True),
            ("GetShardIterator", "Timestamp", "now"),
            ("GetShardIterator", "Timestamp", False),
        ],
    )
    def test_numbers_and_timestamps(self, operation: str, member: str, value: object) -> None:
        """Neither text nor booleans pass for numbers."""
        assert call(fake_with(), operation, **{member: value}).code == "SerializationException"

    def test_null_is_absence(self) -> None:
        """A member that is null counts as left out."""
        assert call(fake_with(), "ListShards", StreamName="s", MaxResults=None).status == 200


class TestConstraints:
    """ValidationException: a member breaks a constraint of the service model."""

    @pytest.mark.parametrize(
        ("operation", "members", "sentence"),
        [
            (
                "PutRecords",
                {"StreamName": "s"},
                "Value null at 'records' failed to satisfy constraint: Member must not be null",
            ),
            (
                "PutRecords",
                {"StreamName": "s", "Records": []},
                f"at 'records' {MUST} have length greater than or equal to 1",
            ),
            (
                "PutRecords",
                {"StreamName": "s", "Records": [entry()] * 501},
                f"at 'records' {MUST} have length less than or equal to 500",
            ),
            (
                "PutRecords",
                {"StreamName": "s", "Records": [entry(), entry(key="")]},
                f"Value '' at 'records.2.member.partitionKey' {MUST} have length greater than",
            ),
            (
                "PutRecords",
                {"StreamName": "s", "Records": [entry(key="é" * 257)]},
                f"at 'records.1.member.partitionKey' {MUST} have length less than or equal to 256",
            ),
            (
                "PutRecords",
                {"StreamName": "s", "Records": [{**entry(), "ExplicitHashKey": "007"}]},
                "satisfy regular expression pattern: 0|([1-9]\\d{0,38})",
            ),
            (
                "PutRecords",
                {"StreamName": "s", "Records": [entry(bytes(10 * MIB + 1))]},
                f"at 'records.1.member.data' {MUST} have length less than or equal to 10485760",
            ),
            (
                "PutRecord",
                {"StreamName": "s", "PartitionKey": "p"},
                "Value null at 'data'",
            ),
            (
                "ListShards",
                {"StreamName": "s", "MaxResults": 0},
                f"Value '0' at 'maxResults' {MUST} have value greater than or equal to 1",
            ),
            (
                "ListShards",
                {"StreamName": "s", "MaxResults": 10_001},
                "Member must have value less than or equal to 10000",
            ),
            (
                "ListShards",
                {"StreamName": "s", "ShardFilter": {"Type": "LATEST"}},
                f"'LATEST' at 'shardFilter.type' {MUST} satisfy enum value set: [AFTER_SHARD_ID, ",
            ),
            (
                "DescribeStreamSummary",
                {"StreamName": "a b"},
                "Value 'a b' at 'streamName'",
            ),
            (
                "UpdateMaxRecordSize",
                {"StreamARN": ARN, "MaxRecordSizeInKiB": 512},
                "greater than or equal to 1024",
            ),
            ("CreateStream", {"StreamName": "t"}, "ShardCount is required"),
        ],
    )
    def test_it_is_named_in_the_services_words(
        self, operation: str, members: dict[str, Any], sentence: str
    ) -> None:
        """The sentence names value, place and constraint, and nothing is done."""
        fake = fake_with()

        answer = call(fake, operation, **members)

        assert (answer.status, answer.code) == (400, "ValidationException")
        assert sentence in answer.message
        assert fake.records("s") == []

    def test_all_violations_are_counted(self) -> None:
        """A bad member may break two constraints at once."""
        answer = call(fake_with(), "ListShards", StreamName="", MaxResults=0)

        assert answer.message.startswith("3 validation errors detected: ")
        assert answer.message.count("failed to satisfy constraint") == 3

    def test_limits_are_inclusive(self) -> None:
        """256 characters of four bytes each, empty data and the largest hash key are fine."""
        fake = fake_with()

        answer = call(
            fake,
            "PutRecords",
            StreamName="s",
            Records=[entry(b"", "😀" * 256, 2**128 - 1)] * 500,
        )

        assert answer.members["FailedRecordCount"] == 0


class TestRecordsThatDoNotFit:
    """InvalidArgumentException: what only arithmetic or the stream can refuse."""

    def test_a_hash_key_beyond_128_bits(self) -> None:
        """39 digits can say more than there are hash keys."""
        answer = call(fake_with(), "PutRecords", StreamName="s", Records=[entry(hash_key=2**128)])

        assert answer.code == "InvalidArgumentException"
        assert "must be in the range: [0, 2^128-1]" in answer.message

    def test_a_missing_key_without_auto(self) -> None:
        """The model lets the key out, only streams on AUTO do without."""
        answer = call(fake_with(), "PutRecord", StreamName="s", Data=b"x")

        assert answer.code == "InvalidArgumentException"
        assert "PartitionKey" in answer.message

    def test_a_record_over_the_streams_limit_rejects_the_request(self) -> None:
        """Data and key together may have as many KiB as the stream says, not one byte more."""
        fake = fake_with()
        fits, too_large = entry(bytes(MIB - 1)), entry(bytes(MIB))

        assert call(fake, "PutRecords", StreamName="s", Records=[fits]).status == 200
        answer = call(fake, "PutRecords", StreamName="s", Records=[entry(), too_large])

        assert answer.code == "InvalidArgumentException"
        assert "1024 KiB" in answer.message
        assert len(fake.records("s")) == 1

    def test_or_only_the_entry_if_told_so(self) -> None:
        """The other behaviour the service may have: the neighbour is written."""
        fake = fake_with(oversize_fails_entry=True)

        answer = call(fake, "PutRecords", StreamName="s", Records=[entry(bytes(MIB)), entry()])

        first, second = answer.members["Records"]
        assert first["ErrorCode"] == "InvalidArgumentException"
        assert second["SequenceNumber"]
        assert answer.members["FailedRecordCount"] == 1

    def test_put_record_has_the_same_limit(self) -> None:
        """Told to the request, since there is no entry."""
        fake = fake_with(oversize_fails_entry=True)

        answer = call(fake, "PutRecord", StreamName="s", Data=bytes(MIB), PartitionKey="p")

        assert answer.code == "InvalidArgumentException"

    def test_a_request_over_ten_mebibytes(self) -> None:
        """Keys count, explicit hash keys do not."""
        fake = fake_with()
        full = [entry(bytes(MIB - 1), hash_key=0)] * 10

        assert call(fake, "PutRecords", StreamName="s", Records=full).status == 200
        answer = call(fake, "PutRecords", StreamName="s", Records=[*full, entry(b"")])

        assert answer.code == "InvalidArgumentException"
        assert answer.message == "Records size exceeds 10 MB limit"


class TestNamingAStream:
    """By name, by ARN, or by both."""

    @pytest.mark.parametrize(
        "members", [{"StreamName": "s"}, {"StreamARN": ARN}, {"StreamName": "s", "StreamARN": ARN}]
    )
    def test_each_way_finds_it(self, members: dict[str, str]) -> None:
        """The answer tells name and ARN."""
        answer = call(fake_with(), "DescribeStreamSummary", **members)

        assert answer.members["StreamDescriptionSummary"]["StreamARN"] == ARN

    @pytest.mark.parametrize(
        ("members", "code"),
        [
            ({}, "InvalidArgumentException"),
            ({"StreamName": "t"}, "ResourceNotFoundException"),
            ({"StreamName": "t", "StreamARN": ARN}, "InvalidArgumentException"),
            ({"StreamARN": ARN.replace("us-east-1", "eu-west-1")}, "ResourceNotFoundException"),
            ({"StreamARN": ARN.replace("stream/s", "stream/t")}, "ResourceNotFoundException"),
            ({"StreamARN": "s"}, "ValidationException"),
        ],
    )
    def test_others_are_refused(self, members: dict[str, str], code: str) -> None:
        """Nothing named, nothing found, or two different things named."""
        assert call(fake_with(), "DescribeStreamSummary", **members).code == code


class TestUnknownOperations:
    """UnknownOperationException, without a sentence."""

    @pytest.mark.parametrize("target", ["Kinesis_20131202.Put", "PutRecords", "X.PutRecords", ""])
    def test_any_other_target(self, target: str) -> None:
        """Version and operation have to be right."""
        answer = raw(fake_with(), b"{}", x_amz_target=target)

        assert (answer.status, answer.members) == (400, {"__type": "UnknownOperationException"})


class TestSignatures:
    """The signature's surroundings are checked, the signature is not."""

    @pytest.mark.parametrize(
        ("authorization", "code"),
        [
            ("", "MissingAuthenticationTokenException"),
            ("Basic YTpi", "IncompleteSignatureException"),
            ("AWS4-HMAC-SHA256 Credential=A/20260102", "IncompleteSignatureException"),
            (
                "AWS4-HMAC-SHA256 Credential=A/20260102/us-east-1/s3/aws4_request, Signature=0",
                "InvalidSignatureException",
            ),
        ],
    )
    def test_who_is_not_signed_for_kinesis_is_refused(self, authorization: str, code: str) -> None:
        """Before anyone looks at the body."""
        answer = raw(fake_with(), b"{", authorization=authorization)

        assert (answer.status, answer.code) == (400, code)

    def test_a_token_expires_when_told(self) -> None:
        """Only requests that carry it are refused, in the service's words."""
        fake = fake_with()
        fake.expired_tokens.add("OLD")
        body = b'{"StreamName":"s","Records":[{"Data":"YQ==","PartitionKey":"p"}]}'

        refused = raw(fake, body, x_amz_security_token="OLD")
        accepted = raw(fake, body, x_amz_security_token="NEW")

        assert refused.members == {
            "__type": "ExpiredTokenException",
            "message": "The security token included in the request is expired",
        }
        assert accepted.status == 200

    @pytest.mark.parametrize(
        ("now", "sentence"),
        [
            (
                "20180920T175004Z",
                (
                    "Signature expired: 20180920T174101Z is now earlier than 20180920T174504Z "
                    "(20180920T175004Z - 5 min.)"
                ),
            ),
            (
                "20180920T173504Z",
                (
                    "Signature not yet current: 20180920T174101Z is still later than "
                    "20180920T174004Z (20180920T173504Z + 5 min.)"
                ),
            ),
        ],
    )
    def test_a_clock_off_by_more_than_five_minutes_is_told(self, now: str, sentence: str) -> None:
        """The text holds the client's time, the limit and the service's time."""
        moment = datetime.strptime(now, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
        fake = fake_with(check_clock=True, clock=Clock(moment.timestamp()))

        answer = raw(fake, b"{}", x_amz_date="20180920T174101Z")

        assert (answer.code, answer.message) == ("InvalidSignatureException", sentence)

    @pytest.mark.parametrize("seconds", [-300, 0, 300])
    def test_five_minutes_are_tolerated(self, seconds: int) -> None:
        """In both directions, the limit included."""
        moment = datetime(2026, 1, 2, 3, tzinfo=timezone.utc).timestamp()
        fake = fake_with(check_clock=True, clock=Clock(moment + seconds))

        assert raw(fake, b"{}", x_amz_date="20260102T030000Z").code == "ValidationException"

    def test_a_checked_date_has_to_be_there(self) -> None:
        """Absent or unreadable, it is an incomplete signature; unchecked, nobody asks."""
        checked = fake_with(check_clock=True)

        assert raw(checked, b"{}").code == "IncompleteSignatureException"
        assert raw(checked, b"{}", x_amz_date="today").code == "IncompleteSignatureException"
        assert raw(fake_with(), b"{}", x_amz_date="today").code == "ValidationException"


class TestCalls:
    """What a test can ask about the requests that came in."""

    def test_a_call_tells_everything_about_its_request(self) -> None:
        """Operation, stream, time, members as Python values, headers and entries."""
        fake = fake_with()

        call(fake, "PutRecords", StreamName="s", Records=[entry(b"a"), entry(b"b")], Other=1)

        (made,) = fake.calls
        assert (made.operation, made.stream, made.entries) == ("PutRecords", "s", 2)
        assert made.time == 1_767_322_800.0
        assert made.body == {"StreamName": "s", "Records": [entry(b"a"), entry(b"b")]}
        assert made.headers["content-type"] == JSON

    def test_refused_calls_are_counted_too(self) -> None:
        """A call that was not believed or not understood came in all the same."""
        fake = fake_with()

        raw(fake, b"{}", authorization="")
        raw(fake, b"{")
        call(fake, "PutRecord", StreamARN=ARN, Data=b"x", PartitionKey="p")

        assert fake.count("PutRecords") == 2
        assert fake.count("ListShards") == 0
        assert [made.body for made in fake.calls[:2]] == [{}, {}]
        assert (fake.calls[2].stream, fake.calls[2].entries) == ("s", 1)

    def test_only_the_last_calls_are_kept(self) -> None:
        """``keep_calls`` bounds the list, not the count; 0 keeps none."""
        bounded, off = fake_with(keep_calls=2), fake_with(keep_calls=0)
        for number in range(3):
            call(bounded, "ListStreams", Limit=number + 1)
            call(off, "ListStreams")

        assert [made.body["Limit"] for made in bounded.calls] == [2, 3]
        assert off.calls == []
        assert bounded.count("ListStreams") == off.count("ListStreams") == 3

    def test_tokens_tell_their_stream(self) -> None:
        """Later pages and GetRecords name no stream; the call does."""
        fake = fake_with(shards=2)
        page = call(fake, "ListShards", StreamName="s", MaxResults=1).members
        iterator = call(
            fake,
            "GetShardIterator",
            StreamName="s",
            ShardId="shardId-000000000000",
            ShardIteratorType="LATEST",
        ).members

        call(fake, "ListShards", NextToken=page["NextToken"])
        call(fake, "GetRecords", **iterator)
        call(fake, "ListStreams")

        assert [made.stream for made in fake.calls[2:]] == ["s", "s", None]


class TestDryRun:
    """DryRun asks for the permission and nothing else."""

    @pytest.mark.parametrize(
        ("operation", "members"),
        [
            ("PutRecords", {"StreamName": "s", "Records": [entry()]}),
            ("PutRecord", {"StreamName": "s", **entry()}),
            (
                "GetShardIterator",
                {
                    "StreamName": "s",
                    "ShardId": "shardId-000000000000",
                    "ShardIteratorType": "LATEST",
                },
            ),
        ],
    )
    def test_success_is_an_error_of_its_own(self, operation: str, members: dict[str, Any]) -> None:
        """Nothing is written, and a missing stream is still missing."""
        fake = fake_with()

        permitted = call(fake, operation, **members, DryRun=True)
        missing = call(fake, operation, **{**members, "StreamName": "t"}, DryRun=True)

        assert permitted.code == "DryRunOperationException"
        assert missing.code == "ResourceNotFoundException"
        assert fake.records("s") == []

    def test_false_is_as_if_it_were_not_there(self) -> None:
        """The record is written."""
        fake = fake_with()

        call(fake, "PutRecord", StreamName="s", **entry(), DryRun=False)

        assert len(fake.records("s")) == 1


class TestControlOperations:
    """Creating, deleting and changing streams over the API."""

    def test_a_stream_is_what_it_was_created_as(self) -> None:
        """Mode, strategy, record size and shards."""
        fake = FakeKinesis()

        call(
            fake,
            "CreateStream",
            StreamName="t",
            StreamModeDetails={"StreamMode": "ON_DEMAND"},
            MaxRecordSizeInKiB=2048,
            RecordDistributionStrategy=AUTO,
        )

        summary = call(fake, "DescribeStreamSummary", StreamName="t").members[
            "StreamDescriptionSummary"
        ]
        assert summary["StreamModeDetails"] == {"StreamMode": "ON_DEMAND"}
        assert summary["RecordDistributionStrategy"] == AUTO
        assert summary["MaxRecordSizeInKiB"] == 2048
        assert summary["OpenShardCount"] == 4

    def test_a_stream_takes_its_time_to_come_and_to_go(self) -> None:
        """CREATING refuses writes and changes, DELETING too, and then it is gone."""
        clock = Clock()
        fake = FakeKinesis(clock=clock, transition=10.0)

        def status() -> str:
            answer = call(fake, "DescribeStreamSummary", StreamName="t")
            return answer.code or answer.members["StreamDescriptionSummary"]["StreamStatus"]

        call(fake, "CreateStream", StreamName="t", ShardCount=1)
        assert status() == "CREATING"
        write = call(fake, "PutRecord", StreamName="t", **entry())
        assert write.code == "ResourceInUseException"
        assert "instead in state CREATING" in write.message
        clock.now += 10.0
        assert status() == "ACTIVE"
        call(fake, "DeleteStream", StreamName="t")
        assert status() == "DELETING"
        assert call(fake, "PutRecord", StreamName="t", **entry()).status == 400
        clock.now += 10.0
        assert status() == "ResourceNotFoundException"

    def test_a_stream_that_changes_takes_writes_and_no_other_change(self) -> None:
        """UPDATING after each change, as long as told."""
        clock = Clock()
        fake = fake_with(clock=clock, transition=10.0)
        split = {"StreamName": "s", "ShardToSplit": "shardId-000000000000"}

        assert call(fake, "SplitShard", **split, NewStartingHashKey="7").status == 200
        merge = {
            "StreamName": "s",
            "ShardToMerge": "shardId-000000000001",
            "AdjacentShardToMerge": "shardId-000000000002",
        }

        assert call(fake, "PutRecord", StreamName="s", **entry()).status == 200
        assert call(fake, "MergeShards", **merge).code == "ResourceInUseException"
        clock.now += 10.0
        assert call(fake, "MergeShards", **merge).status == 200
        assert [shard.shard_id[-1] for shard in fake.open_shards("s")] == ["3"]

    def test_the_shard_count_at_most_doubles_and_at_least_halves(self) -> None:
        """Other numbers are over a limit; on-demand streams refuse any."""
        fake = fake_with(shards=4)
        update = {"StreamName": "s", "ScalingType": "UNIFORM_SCALING"}

        for target, code in [(9, "LimitExceededException"), (1, "LimitExceededException")]:
            assert call(fake, "UpdateShardCount", **update, TargetShardCount=target).code == code
        answer = call(fake, "UpdateShardCount", **update, TargetShardCount=8)
        fake.set_distribution("s", AUTO)
        on_demand = call(fake, "UpdateShardCount", **update, TargetShardCount=8)

        assert answer.members["CurrentShardCount"] == 4
        assert answer.members["TargetShardCount"] == 8
        assert len(fake.open_shards("s")) == 8
        assert on_demand.code == "ValidationException"

    def test_mode_strategy_and_record_size_change(self) -> None:
        """Only on-demand streams have a strategy; a change of mode begins with the default."""
        fake = fake_with()

        def summary() -> dict[str, Any]:
            answer = call(fake, "DescribeStreamSummary", StreamName="s")
            members: dict[str, Any] = answer.members["StreamDescriptionSummary"]
            return members

        strategy = {"StreamARN": ARN, "RecordDistributionStrategy": AUTO}
        refused = call(fake, "UpdateStreamRecordDistributionStrategy", **strategy)
        mode = {"StreamARN": ARN, "StreamModeDetails": {"StreamMode": "ON_DEMAND"}}
        call(fake, "UpdateStreamMode", **mode)

        assert refused.code == "ValidationException"
        assert summary()["RecordDistributionStrategy"] == "USER_PARTITION_KEY"
        call(fake, "UpdateStreamRecordDistributionStrategy", **strategy)
        call(fake, "UpdateMaxRecordSize", StreamARN=ARN, MaxRecordSizeInKiB=10240)
        assert summary()["RecordDistributionStrategy"] == AUTO
        assert summary()["MaxRecordSizeInKiB"] == 10240

    def test_answers_are_plain_json(self) -> None:
        """Nothing in an answer needs anything but a JSON parser."""
        reply = call(fake_with(), "DescribeStream", StreamName="s").reply

        assert orjson.loads(reply.body)["StreamDescription"]["StreamName"] == "s"
