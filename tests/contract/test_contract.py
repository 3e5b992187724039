"""What a producer and a consumer rely on, asked of the fake and of kinesis-mock alike."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from botocore.exceptions import ClientError

from kinesink.core import cbor
from kinesink.core.hash_key import hash_key_of

if TYPE_CHECKING:
    from tests.contract.conftest import Service

TOP = 2**128 - 1
CBOR = "application/x-amz-cbor-1.1"
REFUSED_REQUEST = {"InvalidArgumentException", "ValidationException"}


def owned(shard: dict[str, Any]) -> range:
    """Return the hash keys of a shard."""
    keys = shard["HashKeyRange"]
    return range(int(keys["StartingHashKey"]), int(keys["EndingHashKey"]) + 1)


def is_open(shard: dict[str, Any]) -> bool:
    """Tell whether a shard takes records: the number is absent, or null, which boto3 leaves out."""
    return not shard["SequenceNumberRange"].get("EndingSequenceNumber")


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    """Return the error code, of a refusal with status 400."""
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return str(error.value.response["Error"]["Code"])


class TestStreams:
    """Streams come, are described, and go."""

    def test_a_new_stream_is_described(self, service: Service) -> None:
        """ACTIVE, provisioned, with the shards it was created with."""
        stream = service.new_stream(shards=3)

        summary = service.kinesis.describe_stream_summary(StreamName=stream)[
            "StreamDescriptionSummary"
        ]

        assert summary["StreamName"] == stream
        assert summary["StreamARN"].endswith(f":stream/{stream}")
        assert summary["StreamStatus"] == "ACTIVE"
        assert summary["StreamModeDetails"] == {"StreamMode": "PROVISIONED"}
        assert summary["OpenShardCount"] == 3
        assert stream in service.kinesis.list_streams(Limit=1000)["StreamNames"]

    def test_the_arn_names_a_stream_as_well(self, service: Service) -> None:
        """In place of the name."""
        stream = service.new_stream()
        summary = service.kinesis.describe_stream_summary(StreamName=stream)
        arn = summary["StreamDescriptionSummary"]["StreamARN"]

        put = service.kinesis.put_record(StreamARN=arn, Data=b"x", PartitionKey="p")

        assert service.read(stream, put["ShardId"])[0]["Data"] == b"x"
        assert service.kinesis.list_shards(StreamARN=arn)["Shards"]
        assert (
            service.kinesis.describe_stream_summary(StreamARN=arn)["StreamDescriptionSummary"]
            == (summary["StreamDescriptionSummary"])
        )

    def test_records_are_put_by_the_arn(self, service: Service) -> None:
        """As a producer of another account has to."""
        stream = service.new_stream()
        summary = service.kinesis.describe_stream_summary(StreamName=stream)
        arn = summary["StreamDescriptionSummary"]["StreamARN"]

        put = service.kinesis.put_records(
            StreamARN=arn, Records=[{"Data": b"x", "PartitionKey": "p"}]
        )

        assert put["FailedRecordCount"] == 0
        assert service.read(stream, put["Records"][0]["ShardId"])[0]["Data"] == b"x"

    def test_pages_of_a_listing_by_the_arn_go_on_by_their_token(self, service: Service) -> None:
        """Which stands for the stream, however that was named."""
        stream = service.new_stream(shards=3)
        summary = service.kinesis.describe_stream_summary(StreamName=stream)
        arn = summary["StreamDescriptionSummary"]["StreamARN"]

        first = service.kinesis.list_shards(StreamARN=arn, MaxResults=2)
        second = service.kinesis.list_shards(NextToken=first["NextToken"])

        assert len(first["Shards"]) == 2
        assert len(second["Shards"]) == 1
        assert not second.get("NextToken")

    def test_a_name_is_taken_once(self, service: Service) -> None:
        """Until the stream is deleted."""
        stream = service.new_stream()

        with pytest.raises(ClientError) as error:
            service.kinesis.create_stream(StreamName=stream, ShardCount=1)

        assert code_of(error) == "ResourceInUseException"

    def test_a_deleted_stream_is_gone(self, service: Service) -> None:
        """Sooner or later."""
        stream = service.new_stream()

        service.kinesis.delete_stream(StreamName=stream)
        service.kinesis.get_waiter("stream_not_exists").wait(
            StreamName=stream, WaiterConfig={"Delay": 0.05, "MaxAttempts": 200}
        )

        with pytest.raises(ClientError) as error:
            service.kinesis.describe_stream_summary(StreamName=stream)
        assert code_of(error) == "ResourceNotFoundException"

    @pytest.mark.parametrize(
        ("operation", "members"),
        [
            ("put_record", {"Data": b"x", "PartitionKey": "p"}),
            ("put_records", {"Records": [{"Data": b"x", "PartitionKey": "p"}]}),
            ("list_shards", {}),
            ("describe_stream_summary", {}),
            ("get_shard_iterator", {"ShardId": "shardId-0", "ShardIteratorType": "LATEST"}),
        ],
    )
    def test_a_stream_that_is_not_there_is_not_found(
        self, service: Service, operation: str, members: dict[str, Any]
    ) -> None:
        """Whatever is asked of it."""
        with pytest.raises(ClientError) as error:
            getattr(service.kinesis, operation)(StreamName="contract-missing", **members)

        assert code_of(error) == "ResourceNotFoundException"


class TestRouting:
    """Hash keys decide, and every one of them has an owner."""

    @pytest.mark.parametrize("shards", [1, 2, 4, 7])
    def test_ranges_cover_all_hash_keys(self, service: Service, shards: int) -> None:
        """From 0 to 2**128 - 1, without gap and without overlap."""
        ranges = sorted(
            (owned(shard) for shard in service.shards(service.new_stream(shards))),
            key=lambda keys: keys.start,
        )

        assert len(ranges) == shards
        assert (ranges[0].start, ranges[-1].stop) == (0, TOP + 1)
        assert all(low.stop == high.start for low, high in pairwise(ranges))

    def test_a_partition_key_is_routed_by_its_md5(self, service: Service) -> None:
        """Of its UTF-8 form, read big-endian."""
        stream = service.new_stream(shards=4)
        keys = [*(f"key-{number}" for number in range(20)), "é", "😀", "a", "k1"]

        results = service.kinesis.put_records(
            StreamName=stream, Records=[{"Data": b"x", "PartitionKey": key} for key in keys]
        )["Records"]

        ranges = {shard["ShardId"]: owned(shard) for shard in service.shards(stream)}
        for key, result in zip(keys, results, strict=True):
            assert hash_key_of(key) in ranges[result["ShardId"]]

    def test_an_explicit_hash_key_wins_and_both_ends_belong(self, service: Service) -> None:
        """The first and last hash key of each shard land in it."""
        stream = service.new_stream(shards=3)
        shards = service.shards(stream)
        ends = [key for shard in shards for key in (owned(shard)[0], owned(shard)[-1])]

        results = service.kinesis.put_records(
            StreamName=stream,
            Records=[
                {"Data": b"x", "PartitionKey": "p", "ExplicitHashKey": str(key)} for key in ends
            ],
        )["Records"]

        expected = [shard["ShardId"] for shard in shards for _ in range(2)]
        assert [result["ShardId"] for result in results] == expected


class TestWriting:
    """Results are told per entry, refusals per request."""

    def test_results_are_aligned_and_numbered(self, service: Service) -> None:
        """A shard id and an increasing number for each entry, and no error code."""
        stream = service.new_stream()

        answer = service.kinesis.put_records(
            StreamName=stream,
            Records=[{"Data": b"%d" % number, "PartitionKey": "p"} for number in range(5)],
        )

        assert answer["FailedRecordCount"] == 0
        numbers = [int(result["SequenceNumber"]) for result in answer["Records"]]
        assert numbers == sorted(set(numbers))
        assert all(len(str(number)) == 56 for number in numbers)
        assert not any(result.get("ErrorCode") for result in answer["Records"])

    def test_what_was_written_is_read(self, service: Service) -> None:
        """Data, key and number, in the order of writing; empty data is data."""
        stream = service.new_stream()
        sent = [(b"first", "k1"), (b"", "k2"), (b"\x00\xff", "é😀")]

        numbers = [
            service.kinesis.put_record(StreamName=stream, Data=data, PartitionKey=key)[
                "SequenceNumber"
            ]
            for data, key in sent
        ]

        records = service.read(stream, service.shards(stream)[0]["ShardId"])
        assert [(record["Data"], record["PartitionKey"]) for record in records] == sent
        assert [record["SequenceNumber"] for record in records] == numbers
        assert all(record["ApproximateArrivalTimestamp"] for record in records)

    @pytest.mark.parametrize(
        "bad",
        [
            {"Data": b"x", "PartitionKey": "k" * 257},
            {"Data": b"x", "PartitionKey": "p", "ExplicitHashKey": str(TOP + 1)},
            {"Data": b"x", "PartitionKey": "p", "ExplicitHashKey": "-1"},
            {"Data": bytes(1024 * 1024 + 1), "PartitionKey": "p"},
        ],
        ids=["long key", "large hash key", "negative hash key", "large data"],
    )
    def test_one_bad_entry_refuses_the_request(self, service: Service, bad: dict[str, Any]) -> None:
        """And nothing of it is written."""
        stream = service.new_stream()

        with pytest.raises(ClientError) as error:
            service.kinesis.put_records(
                StreamName=stream, Records=[{"Data": b"good", "PartitionKey": "p"}, bad]
            )

        assert code_of(error) in REFUSED_REQUEST
        assert service.read(stream, service.shards(stream)[0]["ShardId"]) == []


class TestReading:
    """Iterators."""

    def test_positions(self, service: Service) -> None:
        """At a number, after it, and after everything."""
        stream = service.new_stream()
        shard = service.shards(stream)[0]["ShardId"]

        def put(data: bytes) -> str:
            answer = service.kinesis.put_record(StreamName=stream, Data=data, PartitionKey="p")
            return str(answer["SequenceNumber"])

        def iterator(kind: str, **members: str) -> str:
            answer = service.kinesis.get_shard_iterator(
                StreamName=stream, ShardId=shard, ShardIteratorType=kind, **members
            )
            return str(answer["ShardIterator"])

        numbers = [put(b"a"), put(b"b")]
        positions = {
            "at": iterator("AT_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[1]),
            "after": iterator("AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[0]),
            "latest": iterator("LATEST"),
        }
        put(b"c")

        found = {
            name: [r["Data"] for r in service.kinesis.get_records(ShardIterator=each)["Records"]]
            for name, each in positions.items()
        }
        assert found == {"at": [b"b", b"c"], "after": [b"b", b"c"], "latest": [b"c"]}

    def test_pages_of_records_follow_each_other(self, service: Service) -> None:
        """``Limit`` bounds a page; an open shard has always a next iterator."""
        stream = service.new_stream()
        shard = service.shards(stream)[0]["ShardId"]
        service.kinesis.put_records(
            StreamName=stream,
            Records=[{"Data": b"%d" % number, "PartitionKey": "p"} for number in range(3)],
        )
        iterator = service.kinesis.get_shard_iterator(
            StreamName=stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]

        first = service.kinesis.get_records(ShardIterator=iterator, Limit=2)
        second = service.kinesis.get_records(ShardIterator=first["NextShardIterator"], Limit=2)

        assert [record["Data"] for record in first["Records"]] == [b"0", b"1"]
        assert [record["Data"] for record in second["Records"]] == [b"2"]
        assert second["NextShardIterator"]
        assert second["MillisBehindLatest"] == 0


class TestResharding:
    """Parents close, children take over at once."""

    def test_a_split(self, service: Service) -> None:
        """Two children of the parent, and the parent's range between them."""
        stream = service.new_stream()
        (parent,) = service.shards(stream)
        service.kinesis.put_record(StreamName=stream, Data=b"before", PartitionKey="p")

        service.kinesis.split_shard(
            StreamName=stream, ShardToSplit=parent["ShardId"], NewStartingHashKey=str(2**127)
        )
        service.wait_until_active(stream)
        results = service.kinesis.put_records(
            StreamName=stream,
            Records=[
                {"Data": b"after", "PartitionKey": "p", "ExplicitHashKey": str(key)}
                for key in (0, 2**127 - 1, 2**127, TOP)
            ],
        )["Records"]

        low, high = sorted(service.shards(stream), key=lambda shard: owned(shard).start)
        assert (owned(low).stop, owned(high).start) == (2**127, 2**127)
        assert low["ParentShardId"] == high["ParentShardId"] == parent["ShardId"]
        assert parent["ShardId"] < min(low["ShardId"], high["ShardId"])
        assert [result["ShardId"] for result in results] == [
            *[low["ShardId"]] * 2,
            *[high["ShardId"]] * 2,
        ]
        assert [r["Data"] for r in service.read(stream, parent["ShardId"])] == [b"before"]

    def test_a_merge(self, service: Service) -> None:
        """One child of two parents, with the union of their ranges."""
        stream = service.new_stream(shards=2)
        low, high = sorted(service.shards(stream), key=lambda shard: owned(shard).start)

        service.kinesis.merge_shards(
            StreamName=stream,
            ShardToMerge=low["ShardId"],
            AdjacentShardToMerge=high["ShardId"],
        )
        service.wait_until_active(stream)

        (child,) = service.shards(stream)
        assert owned(child) == range(TOP + 1)
        assert child["ParentShardId"] == low["ShardId"]
        assert child["AdjacentParentShardId"] == high["ShardId"]

    def test_closed_shards_stay_listed_from_the_trim_horizon(self, service: Service) -> None:
        """With an ending number; the latest listing leaves them out."""
        stream = service.new_stream()
        (parent,) = service.shards(stream)
        service.kinesis.split_shard(
            StreamName=stream, ShardToSplit=parent["ShardId"], NewStartingHashKey=str(2**127)
        )
        service.wait_until_active(stream)

        everything = service.shards(stream, "FROM_TRIM_HORIZON")

        assert [is_open(shard) for shard in everything] == [False, True, True]
        assert all(is_open(shard) for shard in service.shards(stream))

    def test_a_closed_shard_comes_to_an_end(self, service: Service) -> None:
        """After its last record there is no next iterator."""
        stream = service.new_stream()
        (parent,) = service.shards(stream)
        service.kinesis.put_record(StreamName=stream, Data=b"x", PartitionKey="p")
        service.kinesis.split_shard(
            StreamName=stream, ShardToSplit=parent["ShardId"], NewStartingHashKey=str(2**127)
        )
        service.wait_until_active(stream)
        iterator = service.kinesis.get_shard_iterator(
            StreamName=stream, ShardId=parent["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]

        answers: list[dict[str, Any]] = []
        while iterator and len(answers) < 3:
            answers.append(service.kinesis.get_records(ShardIterator=iterator))
            iterator = answers[-1].get("NextShardIterator")

        assert not iterator
        assert [record["Data"] for answer in answers for record in answer["Records"]] == [b"x"]

    def test_a_new_shard_count(self, service: Service) -> None:
        """Twice as many open shards, which cover everything."""
        stream = service.new_stream(shards=2)

        answer = service.kinesis.update_shard_count(
            StreamName=stream, TargetShardCount=4, ScalingType="UNIFORM_SCALING"
        )
        service.wait_until_active(stream)

        assert (answer["CurrentShardCount"], answer["TargetShardCount"]) == (2, 4)
        ranges = sorted(map(owned, service.shards(stream)), key=lambda keys: keys.start)
        assert len(ranges) == 4
        assert all(low.stop == high.start for low, high in pairwise(ranges))

    def test_shards_that_are_not_neighbours_do_not_merge(self, service: Service) -> None:
        """Refused as a wrong argument."""
        stream = service.new_stream(shards=3)
        low, _, high = sorted(service.shards(stream), key=lambda shard: owned(shard).start)

        with pytest.raises(ClientError) as error:
            service.kinesis.merge_shards(
                StreamName=stream,
                ShardToMerge=low["ShardId"],
                AdjacentShardToMerge=high["ShardId"],
            )

        assert code_of(error) == "InvalidArgumentException"


class TestListingPages:
    """ListShards, a page at a time."""

    def test_later_pages_are_asked_for_by_token_alone(self, service: Service) -> None:
        """All shards, each once, and no token at the end."""
        stream = service.new_stream(shards=5)
        answer = service.kinesis.list_shards(
            StreamName=stream, ShardFilter={"Type": "AT_LATEST"}, MaxResults=2
        )
        pages = [answer["Shards"]]
        while answer.get("NextToken"):
            answer = service.kinesis.list_shards(NextToken=answer["NextToken"], MaxResults=2)
            pages.append(answer["Shards"])

        assert [len(page) for page in pages] == [2, 2, 1]
        assert len({shard["ShardId"] for page in pages for shard in page}) == 5

    def test_a_name_beside_a_token_is_refused(self, service: Service) -> None:
        """The token knows its stream."""
        stream = service.new_stream(shards=3)
        token = service.kinesis.list_shards(StreamName=stream, MaxResults=1)["NextToken"]

        with pytest.raises(ClientError) as error:
            service.kinesis.list_shards(StreamName=stream, NextToken=token)

        assert code_of(error) == "InvalidArgumentException"


class TestWire:
    """Bytes that boto3 would not send."""

    def test_the_golden_json_body(self, service: Service) -> None:
        """Without spaces, with base64 data."""
        stream = service.new_stream()
        body = b'{"StreamName":"%s","Records":[{"Data":"aGVsbG8=","PartitionKey":"p"}]}'

        response = service.post("PutRecords", body % stream.encode())

        assert response.status_code == 200
        assert response.headers["content-type"] == "application/x-amz-json-1.1"
        shard_id = response.json()["Records"][0]["ShardId"]
        assert service.read(stream, shard_id)[0]["Data"] == b"hello"

    def test_cbor(self, service: Service) -> None:
        """Data as bytes; answered in CBOR."""
        stream = service.new_stream()
        members = {"StreamName": stream, "Records": [{"Data": b"hello", "PartitionKey": "p"}]}

        response = service.post("PutRecords", cbor.dumps(members), CBOR)

        answer: Any = cbor.loads(response.content)
        assert (response.status_code, response.headers["content-type"]) == (200, CBOR)
        assert service.read(stream, answer["Records"][0]["ShardId"])[0]["Data"] == b"hello"

    def test_cbor_with_maps_of_indefinite_length(self, service: Service) -> None:
        """The form that Java's SDK sends."""
        stream = service.new_stream()
        members = {"StreamName": stream, "Records": [{"Data": b"hello", "PartitionKey": "p"}]}
        body = cbor.dumps(members, indefinite_maps=True)

        assert service.post("PutRecords", body, CBOR).status_code == 200

    def test_errors_come_in_the_format_of_the_request(self, service: Service) -> None:
        """With a type, and status 400."""
        members = {"StreamName": "contract-missing"}

        in_json = service.post("DescribeStreamSummary", orjson.dumps(members))
        in_cbor = service.post("DescribeStreamSummary", cbor.dumps(members), CBOR)

        assert in_json.status_code == in_cbor.status_code == 400
        decoded: Any = cbor.loads(in_cbor.content)
        assert in_json.json()["__type"] == decoded["__type"] == "ResourceNotFoundException"

    def test_timestamps_have_the_formats_unit(self, service: Service) -> None:
        """Seconds in JSON, whole milliseconds in CBOR: the same moment."""
        members = {"StreamName": service.new_stream()}

        in_json = service.post("DescribeStreamSummary", orjson.dumps(members)).json()
        in_cbor: Any = cbor.loads(
            service.post("DescribeStreamSummary", cbor.dumps(members), CBOR).content
        )

        seconds, milliseconds = (
            answer["StreamDescriptionSummary"]["StreamCreationTimestamp"]
            for answer in (in_json, in_cbor)
        )
        assert isinstance(milliseconds, int)
        assert milliseconds == pytest.approx(seconds * 1000, abs=1)

    @pytest.mark.parametrize(
        ("operation", "body"),
        [("Nonsense", b"{}"), ("PutRecords", b"{"), ("PutRecords", b'{"StreamName":7}')],
    )
    def test_nonsense_is_refused(self, service: Service, operation: str, body: bytes) -> None:
        """An unknown operation, a malformed body and a wrong type are the client's fault."""
        assert service.post(operation, body).status_code == 400

    def test_control_operations_answer_nothing(self, service: Service) -> None:
        """Success is zero bytes."""
        stream = service.new_stream()

        response = service.post("DeleteStream", orjson.dumps({"StreamName": stream}))

        assert (response.status_code, response.content) == (200, b"")

    def test_answers_can_be_quoted(self, service: Service) -> None:
        """A request id on each, success or not."""
        responses = [service.post("ListStreams", b"{}"), service.post("PutRecords", b"{}")]

        assert [response.status_code for response in responses] == [200, 400]
        assert len({response.headers["x-amzn-requestid"] for response in responses}) == 2
