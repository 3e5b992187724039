"""Listings, iterators and records of the fake, and a consumer like the KCL on top."""

from hashlib import md5
from typing import Any

import pytest

from kinesink.testing import ConsumedRecord, FakeKinesis, ShardLimits
from tests.testing.calls import CBOR, Clock, call, entry, fake_with, request_of, send

FIRST = "shardId-000000000000"
TOP = 2**128 - 1

AGGREGATED = bytes.fromhex(
    "f3899ac2 0a026b31 120135 1a0508001a0141 1a08080010001a024243 0bc0b8738415db6a9ce75794b6af9fea"
)
"""Two user records: ``k1`` with data ``A``, and ``k1`` with explicit hash key 5 and data ``BC``."""


def list_shards(fake: FakeKinesis, **members: object) -> dict[str, Any]:
    """List shards and return the answer's members."""
    return call(fake, "ListShards", **members).members


def ids(answer: dict[str, Any]) -> list[int]:
    """Return the numbers of the listed shards."""
    return [int(shard["ShardId"][-12:]) for shard in answer["Shards"]]


def iterator(fake: FakeKinesis, kind: str, shard_id: str = FIRST, **members: object) -> str:
    """Return a shard iterator."""
    answer = call(
        fake,
        "GetShardIterator",
        StreamName="s",
        ShardId=shard_id,
        ShardIteratorType=kind,
        **members,
    )
    return str(answer.members["ShardIterator"])


def get(fake: FakeKinesis, shard_iterator: str, **members: object) -> dict[str, Any]:
    """Get records in CBOR, where data are bytes."""
    request = request_of("GetRecords", {"ShardIterator": shard_iterator, **members}, CBOR)
    return send(fake, request).members


def data(answer: dict[str, Any]) -> list[bytes]:
    """Return the data of the records in an answer."""
    return [record["Data"] for record in answer["Records"]]


class TestListShards:
    """Open or all shards, a page at a time."""

    def test_a_shard_is_shown_with_range_and_parents(self) -> None:
        """Numbers are decimal text; open shards have no ending sequence number."""
        fake = fake_with(shards=2)
        fake.merge_shards("s", FIRST, "shardId-000000000001")

        first, _, merged = list_shards(fake, StreamName="s")["Shards"]

        assert first["HashKeyRange"] == {
            "StartingHashKey": "0",
            "EndingHashKey": str(2**127 - 1),
        }
        assert len(first["SequenceNumberRange"]["EndingSequenceNumber"]) == 56
        assert "ParentShardId" not in first
        assert merged["ParentShardId"] == FIRST
        assert merged["AdjacentParentShardId"] == "shardId-000000000001"
        assert "EndingSequenceNumber" not in merged["SequenceNumberRange"]

    @pytest.mark.parametrize(
        ("chosen", "expected"),
        [
            ({}, [0, 1, 2, 3]),
            ({"Type": "FROM_TRIM_HORIZON"}, [0, 1, 2, 3]),
            ({"Type": "AT_LATEST"}, [1, 2, 3]),
            ({"Type": "AT_TRIM_HORIZON"}, [0, 1]),
            ({"Type": "AFTER_SHARD_ID", "ShardId": "shardId-000000000001"}, [2, 3]),
            ({"Type": "AT_TIMESTAMP", "Timestamp": 1005}, [0, 1]),
            ({"Type": "AT_TIMESTAMP", "Timestamp": 1015}, [1, 2, 3]),
            ({"Type": "FROM_TIMESTAMP", "Timestamp": 1005}, [0, 1, 2, 3]),
            ({"Type": "FROM_TIMESTAMP", "Timestamp": 1015}, [1, 2, 3]),
        ],
    )
    def test_a_filter_chooses(self, chosen: dict[str, object], expected: list[int]) -> None:
        """Shard 0 was open from 1000 to 1010, then its children 2 and 3; shard 1 always."""
        clock = Clock(1000.0)
        fake = fake_with(shards=2, clock=clock)
        clock.now = 1010.0
        fake.split_shard("s", FIRST)

        members = {"ShardFilter": chosen} if chosen else {}

        assert ids(list_shards(fake, StreamName="s", **members)) == expected

    def test_pages_follow_by_token_alone(self) -> None:
        """The token remembers stream and filter, not the page size."""
        fake = fake_with(shards=5)
        fake.split_shard("s", "shardId-000000000002")

        first = list_shards(fake, StreamName="s", ShardFilter={"Type": "AT_LATEST"}, MaxResults=2)
        second = list_shards(fake, NextToken=first["NextToken"], MaxResults=2)
        third = list_shards(fake, NextToken=second["NextToken"])

        assert [ids(page) for page in (first, second, third)] == [[0, 1], [3, 4], [5, 6]]
        assert "NextToken" not in third

    def test_a_page_holds_a_thousand_at_most(self) -> None:
        """Whatever ``MaxResults`` asks for."""
        fake = fake_with(shards=1001)

        first = list_shards(fake, StreamName="s", MaxResults=10_000)
        second = list_shards(fake, NextToken=first["NextToken"])

        assert (len(first["Shards"]), len(second["Shards"])) == (1000, 1)

    def test_a_listing_may_begin_after_a_shard(self) -> None:
        """``ExclusiveStartShardId`` is not in it."""
        fake = fake_with(shards=3)

        assert ids(list_shards(fake, StreamName="s", ExclusiveStartShardId=FIRST)) == [1, 2]

    @pytest.mark.parametrize(
        "member",
        [
            {"StreamName": "s"},
            {"StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/s"},
            {"ShardFilter": {"Type": "AT_LATEST"}},
            {"ExclusiveStartShardId": FIRST},
            {"StreamCreationTimestamp": 1.0},
        ],
        ids=lambda member: next(iter(member)),
    )
    def test_a_token_tolerates_nothing_beside_it(self, member: dict[str, object]) -> None:
        """Name, filter and start are refused together with it."""
        fake = fake_with(shards=2)
        token = list_shards(fake, StreamName="s", MaxResults=1)["NextToken"]

        answer = call(fake, "ListShards", NextToken=token, **member)

        assert answer.code == "InvalidArgumentException"
        assert "cannot be provided together" in answer.message

    def test_a_token_lives_for_five_minutes(self) -> None:
        """Then the listing has to begin again."""
        clock = Clock()
        fake = fake_with(shards=2, clock=clock)
        token = list_shards(fake, StreamName="s", MaxResults=1)["NextToken"]

        clock.now += 300
        assert call(fake, "ListShards", NextToken=token).status == 200
        clock.now += 1
        assert call(fake, "ListShards", NextToken=token).code == "ExpiredNextTokenException"

    def test_a_token_does_not_outlive_its_stream(self) -> None:
        """A stream of the same name that was created later is another one."""
        fake = fake_with(shards=2)
        token = list_shards(fake, StreamName="s", MaxResults=1)["NextToken"]
        fake.delete_stream("s")
        assert call(fake, "ListShards", NextToken=token).code == "ResourceNotFoundException"

        fake.create_stream("s", shards=2)

        assert call(fake, "ListShards", NextToken=token).code == "ExpiredNextTokenException"

    @pytest.mark.parametrize("token", ["x", "e30=", "W10=", "é"])
    def test_a_foreign_token_is_refused(self, token: str) -> None:
        """Whatever it decodes to."""
        assert call(fake_with(), "ListShards", NextToken=token).code == "InvalidArgumentException"


class TestDescriptions:
    """DescribeStream and ListStreams, a page at a time."""

    def test_a_stream_is_described_with_its_shards(self) -> None:
        """Closed ones included; the next page begins after the last shard of this one."""
        fake = fake_with(shards=2)
        fake.split_shard("s", FIRST)

        first = call(fake, "DescribeStream", StreamName="s", Limit=3).members["StreamDescription"]
        last = first["Shards"][-1]["ShardId"]
        second = call(fake, "DescribeStream", StreamName="s", ExclusiveStartShardId=last).members[
            "StreamDescription"
        ]

        assert (ids(first), first["HasMoreShards"]) == ([0, 1, 2], True)
        assert (ids(second), second["HasMoreShards"]) == ([3], False)
        assert first["StreamStatus"] == "ACTIVE"

    def test_streams_are_listed_by_name(self) -> None:
        """By token or after a name, with a summary each."""
        fake = FakeKinesis()
        for name in "cab":
            fake.create_stream(name)

        first = call(fake, "ListStreams", Limit=2).members
        second = call(fake, "ListStreams", NextToken=first["NextToken"]).members
        after = call(fake, "ListStreams", ExclusiveStartStreamName="a").members

        assert (first["StreamNames"], first["HasMoreStreams"]) == (["a", "b"], True)
        assert (second["StreamNames"], second["HasMoreStreams"]) == (["c"], False)
        assert [summary["StreamName"] for summary in after["StreamSummaries"]] == ["b", "c"]
        assert "NextToken" not in second


class TestReadingAShard:
    """Iterators say where to begin; records follow in order."""

    def test_from_the_trim_horizon_everything_is_read(self) -> None:
        """A page at a time, and then nothing until something new lands."""
        fake = fake_with()
        for number in range(5):
            fake.put("s", str(number).encode())

        first = get(fake, iterator(fake, "TRIM_HORIZON"), Limit=3)
        second = get(fake, first["NextShardIterator"])
        third = get(fake, second["NextShardIterator"])
        fake.put("s", b"new")
        fourth = get(fake, third["NextShardIterator"])

        assert data(first) == [b"0", b"1", b"2"]
        assert data(second) == [b"3", b"4"]
        assert data(third) == []
        assert data(fourth) == [b"new"]

    def test_the_latest_position_skips_what_is_there(self) -> None:
        """Only records that land later are read."""
        fake = fake_with()
        fake.put("s", b"old")
        latest = iterator(fake, "LATEST")
        fake.put("s", b"new")

        assert data(get(fake, latest)) == [b"new"]

    def test_a_sequence_number_is_a_position(self) -> None:
        """At it, or after it."""
        fake = fake_with()
        _, second, _ = (fake.put("s", letter) for letter in (b"a", b"b", b"c"))
        number = second.sequence_number

        at = iterator(fake, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=number)
        after = iterator(fake, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=number)

        assert data(get(fake, at)) == [b"b", b"c"]
        assert data(get(fake, after)) == [b"c"]

    @pytest.mark.parametrize(
        ("moment", "expected"),
        [(999, [b"a", b"b", b"c"]), (1001, [b"b", b"c"]), (1003, [b"c"]), (1500, [b"c"])],
    )
    def test_a_time_is_a_position(self, moment: float, expected: list[bytes]) -> None:
        """The first record that arrived then or later; a later time means what comes next."""
        clock = Clock(1000.0)
        fake = fake_with(clock=clock)
        fake.put("s", b"a")
        clock.now = 1002.0
        fake.put("s", b"b")

        found = iterator(fake, "AT_TIMESTAMP", Timestamp=moment)
        fake.put("s", b"c")

        assert data(get(fake, found)) == expected

    def test_a_time_in_cbor_is_milliseconds(self) -> None:
        """The same position as in JSON, a thousand times the number."""
        clock = Clock(1000.0)
        fake = fake_with(clock=clock)
        fake.put("s", b"a")
        clock.now = 1002.0
        fake.put("s", b"b")
        members = {
            "StreamName": "s",
            "ShardId": FIRST,
            "ShardIteratorType": "AT_TIMESTAMP",
            "Timestamp": 1_001_000,
        }

        found = send(fake, request_of("GetShardIterator", members, CBOR)).members

        assert data(get(fake, found["ShardIterator"])) == [b"b"]

    @pytest.mark.parametrize("kind", ["AT_SEQUENCE_NUMBER", "AT_TIMESTAMP"])
    def test_a_position_has_to_be_given(self, kind: str) -> None:
        """The type alone does not say where."""
        answer = call(
            fake_with(), "GetShardIterator", StreamName="s", ShardId=FIRST, ShardIteratorType=kind
        )

        assert answer.code == "InvalidArgumentException"

    def test_a_closed_shard_ends(self) -> None:
        """After its last record there is no next iterator, but its children are named."""
        fake = fake_with()
        fake.put("s", b"a")
        fake.put("s", b"b")
        fake.split_shard("s", FIRST)

        first = get(fake, iterator(fake, "TRIM_HORIZON"), Limit=1)
        last = get(fake, first["NextShardIterator"], Limit=1)

        assert (data(first), data(last)) == ([b"a"], [b"b"])
        assert "ChildShards" not in first
        assert "NextShardIterator" not in last
        assert [child["ShardId"][-1] for child in last["ChildShards"]] == ["1", "2"]
        assert last["ChildShards"][0]["ParentShards"] == [FIRST]

    def test_a_reader_knows_how_far_behind_it_is(self) -> None:
        """Milliseconds since the first unread record arrived; 0 at the tip."""
        clock = Clock(1000.0)
        fake = fake_with(clock=clock)
        fake.put("s", b"a")
        clock.now = 1001.0
        fake.put("s", b"b")
        clock.now = 1003.5

        first = get(fake, iterator(fake, "TRIM_HORIZON"), Limit=1)
        second = get(fake, first["NextShardIterator"])

        assert first["MillisBehindLatest"] == 2500
        assert second["MillisBehindLatest"] == 0

    def test_an_answer_holds_ten_mebibytes_but_one_record_at_least(self) -> None:
        """What does not fit any more comes with the next call."""
        fake = fake_with()
        fake.set_max_record_kib("s", 10240)
        for _ in range(2):
            fake.put("s", bytes(6 * 1024 * 1024))

        answer = get(fake, iterator(fake, "TRIM_HORIZON"))

        assert len(answer["Records"]) == 1

    def test_a_record_is_shown_with_key_and_arrival(self) -> None:
        """The explicit hash key is not; without a key there is no member."""
        fake = fake_with(clock=Clock(1000.5))
        fake.set_distribution("s", "AUTO")
        call(fake, "PutRecords", StreamName="s", Records=[entry(b"a", "k", 7), entry(b"b", None)])

        keyed, keyless = get(fake, iterator(fake, "TRIM_HORIZON"))["Records"]

        assert keyed["PartitionKey"] == "k"
        assert keyed["ApproximateArrivalTimestamp"] == 1_000_500
        assert "ExplicitHashKey" not in keyed
        assert "PartitionKey" not in keyless

    def test_an_iterator_lives_for_five_minutes(self) -> None:
        """Then another one is needed."""
        clock = Clock()
        fake = fake_with(clock=clock)
        found = iterator(fake, "LATEST")

        clock.now += 300
        assert call(fake, "GetRecords", ShardIterator=found).status == 200
        clock.now += 1
        assert call(fake, "GetRecords", ShardIterator=found).code == "ExpiredIteratorException"

    def test_an_iterator_does_not_outlive_its_stream(self) -> None:
        """A stream of the same name that was created later is another one."""
        fake = fake_with()
        found = iterator(fake, "LATEST")
        fake.delete_stream("s")
        assert call(fake, "GetRecords", ShardIterator=found).code == "ResourceNotFoundException"

        fake.create_stream("s")

        assert call(fake, "GetRecords", ShardIterator=found).code == "InvalidArgumentException"

    def test_a_dry_run_reads_nothing(self) -> None:
        """It says that it would have been allowed."""
        fake = fake_with()

        answer = call(fake, "GetRecords", ShardIterator=iterator(fake, "LATEST"), DryRun=True)

        assert answer.code == "DryRunOperationException"

    def test_a_foreign_iterator_is_refused(self) -> None:
        """As an invalid argument."""
        answer = call(fake_with(), "GetRecords", ShardIterator="AAAA")

        assert answer.code == "InvalidArgumentException"


class TestConsumerLikeTheKcl:
    """De-aggregation, and the loss that the range rule causes."""

    def test_an_aggregated_record_is_taken_apart(self) -> None:
        """Sub-records carry their own keys and their place in the aggregated record."""
        fake = fake_with()
        stored = fake.put("s", AGGREGATED, partition_key="a")

        first, second = fake.user_records("s")

        assert first == ConsumedRecord(
            FIRST, stored.sequence_number, 0, "k1", None, b"A", stored.arrival
        )
        assert (second.sub_sequence_number, second.explicit_hash_key) == (1, 5)
        assert second.data == b"BC"
        assert fake.dropped_by_kcl("s") == []

    def test_one_stray_sub_record_drops_all(self) -> None:
        """Of two shards, ``k1`` belongs to the upper and hash key 5 to the lower one."""
        fake = fake_with(shards=2)
        for hash_key in (0, TOP):
            fake.put("s", AGGREGATED, explicit_hash_key=hash_key)

        assert fake.user_records("s") == []
        assert [record.explicit_hash_key for record in fake.dropped_by_kcl("s")] == [0, TOP]

    def test_plain_records_are_never_checked(self) -> None:
        """They are delivered wherever they are, in the order of arrival."""
        fake = fake_with(shards=2)
        fake.put("s", b"b", explicit_hash_key=TOP)
        fake.put("s", b"a", explicit_hash_key=0)

        assert [record.data for record in fake.user_records("s")] == [b"b", b"a"]
        assert fake.user_records("s")[0].sub_sequence_number is None

    def test_a_broken_aggregated_record_is_dropped(self) -> None:
        """The envelope is right, and what is in it is not."""
        fake = fake_with()
        body = b"\x1a\x02\x08\x07"
        fake.put("s", b"\xf3\x89\x9a\xc2" + body + md5(body, usedforsecurity=False).digest())

        assert fake.user_records("s") == []
        assert len(fake.dropped_by_kcl("s")) == 1


class TestReadLimits:
    """What a shard answers per second, where limits are asked for."""

    def test_a_shard_answers_five_reads_a_second(self) -> None:
        """The sixth is refused, and a fifth of a second later one more is not."""
        clock = Clock()
        fake = fake_with(clock=clock, limits=ShardLimits(reads_per_second=5))
        place = iterator(fake, "TRIM_HORIZON")
        for _ in range(5):
            assert "Records" in get(fake, place)
        assert get(fake, place)["__type"] == "ProvisionedThroughputExceededException"
        clock.now += 0.2
        assert "Records" in get(fake, place)

    def test_a_large_answer_has_to_be_paid_for(self) -> None:
        """With as many seconds as it takes at the rate of the shard."""
        clock = Clock()
        limits = ShardLimits(reads_per_second=5, read_bytes_per_second=100)
        fake = fake_with(clock=clock, limits=limits)
        fake.put("s", bytes(300))
        place = iterator(fake, "TRIM_HORIZON")
        assert "Records" in get(fake, place)
        clock.now += 2
        assert get(fake, place)["__type"] == "ProvisionedThroughputExceededException"
        clock.now += 1
        assert "Records" in get(fake, place)

    def test_without_them_any_number_is_answered(self) -> None:
        """Limits of writes alone, as tests of producers have them."""
        fake = fake_with(limits=True)
        place = iterator(fake, "TRIM_HORIZON")
        for _ in range(20):
            assert "Records" in get(fake, place)
