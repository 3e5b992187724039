"""Streams of the fake: who takes a record, and what resharding leaves behind."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinesink.core.hash_key import HashKeyRange, hash_key_of
from kinesink.testing import AUTO, ON_DEMAND, PROVISIONED, ApiError, FakeKinesis, ShardLimits
from kinesink.testing.streams import equal_ranges
from tests.testing.calls import Clock, call, entry, fake_with

TOP = 2**128 - 1


def shard_ids(fake: FakeKinesis) -> list[str]:
    """Return the shards that took what landed, in the order of arrival."""
    return [record.shard_id for record in fake.records("s")]


def put(fake: FakeKinesis, *entries: object) -> list[dict[str, str]]:
    """Send entries and return their results."""
    results: list[dict[str, str]] = call(
        fake, "PutRecords", StreamName="s", Records=entries
    ).members["Records"]
    return results


class TestRanges:
    """Shards own inclusive ranges that cover all hash keys."""

    def test_four_equal_shards_meet_where_those_of_the_service_meet(self) -> None:
        """The first of four ends at ...052863, and the last at 2**128 - 1."""
        ranges = equal_ranges(4)

        assert ranges[0] == HashKeyRange(0, 85070591730234615865843651857942052863)
        assert ranges[-1].end == TOP

    @given(st.integers(1, 300))
    def test_ranges_cover_everything_without_gap(self, shards: int) -> None:
        """Each range begins one above the end of the one before."""
        ranges = equal_ranges(shards)

        assert ranges[0].start == 0
        assert ranges[-1].end == TOP
        assert all(a.end + 1 == b.start for a, b in pairwise(ranges))


class TestRouting:
    """A record goes to the shard that owns its hash key."""

    @given(st.text(min_size=1, max_size=256).filter(lambda key: key.isprintable()))
    def test_a_partition_key_is_routed_by_its_md5(self, key: str) -> None:
        """The shard that took the record owns the MD5 of the key."""
        fake = fake_with(shards=7)

        put(fake, entry(key=key))

        (record,) = fake.records("s")
        (owner,) = [shard for shard in fake.shards("s") if shard.shard_id == record.shard_id]
        assert owner.hash_key_range.contains(hash_key_of(key))

    def test_known_keys_land_where_the_service_puts_them(self) -> None:
        """Of two shards, ``k1`` and ``a`` belong to different ones."""
        fake = fake_with(shards=2)

        put(fake, entry(key="a"), entry(key="k1"), entry(key="é"), entry(key="😀"))

        assert [shard_id[-1] for shard_id in shard_ids(fake)] == ["0", "1", "0", "0"]

    def test_an_explicit_hash_key_wins_and_ranges_are_inclusive(self) -> None:
        """Both ends of a range belong to its shard."""
        fake = fake_with(shards=2)
        middle = 2**127

        put(fake, *(entry(hash_key=key) for key in (0, middle - 1, middle, TOP)))

        assert [shard_id[-1] for shard_id in shard_ids(fake)] == ["0", "0", "1", "1"]

    def test_a_stream_on_auto_ignores_keys_and_takes_turns(self) -> None:
        """Equal keys are spread over all shards, and a missing key is no error."""
        fake = fake_with(shards=3)
        fake.set_distribution("s", AUTO)

        results = put(fake, *[entry(hash_key=0)] * 3, entry(key=None))

        assert [result["ShardId"][-1] for result in results] == ["0", "1", "2", "0"]
        assert fake.records("s")[3].partition_key is None

    def test_keys_count_again_when_auto_is_switched_off(self) -> None:
        """The strategy takes effect at once, in both directions."""
        fake = fake_with(shards=3)
        fake.set_distribution("s", AUTO)
        fake.set_distribution("s", "USER_PARTITION_KEY")

        put(fake, *[entry(hash_key=0)] * 3)

        assert {shard_id[-1] for shard_id in shard_ids(fake)} == {"0"}

    def test_what_landed_is_kept_with_all_that_was_sent(self) -> None:
        """A stored record names shard, key, explicit hash key, data and arrival."""
        fake = fake_with()

        stored = fake.put("s", b"data", partition_key="k", explicit_hash_key=5)

        assert fake.records("s") == [stored]
        assert (stored.partition_key, stored.explicit_hash_key, stored.data) == ("k", 5, b"data")
        assert stored.arrival == 1_767_322_800.0

    def test_sequence_numbers_have_56_digits_and_increase(self) -> None:
        """The order of arrival is the order of the numbers, over all shards."""
        fake = fake_with(shards=4)

        put(fake, *(entry(key=str(number)) for number in range(50)))

        numbers = [result.sequence_number for result in fake.records("s")]
        assert {len(number) for number in numbers} == {56}
        assert numbers == sorted(numbers)

    def test_a_long_run_can_forget_old_records(self) -> None:
        """With ``keep_records`` a shard holds between that many and twice as many."""
        fake = fake_with(keep_records=10)

        put(fake, *(entry(str(number).encode()) for number in range(95)))

        kept = [int(record.data) for record in fake.records("s")]
        assert 10 <= len(kept) <= 20
        assert kept[-1] == 94


class TestResharding:
    """Closed parents keep their records, children take the new ones."""

    def test_a_split_closes_the_parent_and_opens_two_halves(self) -> None:
        """The children have higher ids, name their parent and share its range."""
        fake = fake_with()

        fake.split_shard("s", "shardId-000000000000")

        parent, low, high = fake.shards("s")
        assert not parent.is_open
        assert parent.ending_sequence_number is not None
        assert low.hash_key_range == HashKeyRange(0, 2**127 - 1)
        assert high.hash_key_range == HashKeyRange(2**127, TOP)
        assert {low.parent_shard_id, high.parent_shard_id} == {parent.shard_id}
        assert low.adjacent_parent_shard_id is None
        assert fake.open_shards("s") == [low, high]

    def test_a_split_may_be_anywhere_inside(self) -> None:
        """The upper child begins at the given hash key."""
        fake = fake_with()

        fake.split_shard("s", "shardId-000000000000", 5)

        assert [shard.hash_key_range.start for shard in fake.open_shards("s")] == [0, 5]

    @pytest.mark.parametrize("start", [0, TOP + 1])
    def test_a_split_outside_the_range_is_refused(self, start: int) -> None:
        """Both children would have to own something."""
        with pytest.raises(ApiError, match=r"InvalidArgumentException.*StartingHashKey"):
            fake_with().split_shard("s", "shardId-000000000000", start)

    def test_a_merge_closes_both_parents_and_opens_their_union(self) -> None:
        """The child names both parents, in the order of the call."""
        fake = fake_with(shards=2)

        fake.merge_shards("s", "shardId-000000000001", "shardId-000000000000")

        (child,) = fake.open_shards("s")
        assert child.shard_id == "shardId-000000000002"
        assert child.hash_key_range == HashKeyRange(0, TOP)
        assert child.parent_shard_id == "shardId-000000000001"
        assert child.adjacent_parent_shard_id == "shardId-000000000000"

    def test_only_neighbours_merge(self) -> None:
        """Shards with a range between them are refused."""
        with pytest.raises(ApiError, match="not an adjacent pair"):
            fake_with(shards=3).merge_shards("s", "shardId-000000000000", "shardId-000000000002")

    def test_a_closed_shard_is_not_resharded_again(self) -> None:
        """Neither split nor merged."""
        fake = fake_with(shards=2)
        fake.split_shard("s", "shardId-000000000000")

        with pytest.raises(ApiError, match="already been merged or split"):
            fake.split_shard("s", "shardId-000000000000")
        with pytest.raises(ApiError, match="already been merged or split"):
            fake.merge_shards("s", "shardId-000000000001", "shardId-000000000000")

    def test_writes_go_to_the_children_at_once(self) -> None:
        """What landed before the split stays in the parent."""
        fake = fake_with()
        put(fake, entry(hash_key=0))
        fake.split_shard("s", "shardId-000000000000")

        put(fake, entry(hash_key=0), entry(hash_key=TOP))

        assert [shard_id[-1] for shard_id in shard_ids(fake)] == ["0", "1", "2"]

    @given(st.integers(1, 9), st.integers(1, 9))
    def test_a_new_shard_count_ends_in_equal_ranges(self, before: int, after: int) -> None:
        """However many splits and merges it takes; existing shards that fit are left alone."""
        fake = fake_with(shards=before)

        fake.update_shard_count("s", after)

        assert [shard.hash_key_range for shard in fake.open_shards("s")] == equal_ranges(after)
        closed = [shard for shard in fake.shards("s") if not shard.is_open]
        assert bool(closed) == (before != after)


class TestShardLimits:
    """A shard takes so much per second, and refuses entry by entry."""

    def test_entries_over_the_record_rate_are_refused_by_name(self) -> None:
        """The refusal names shard, stream and account."""
        fake = fake_with(shards=1, limits=ShardLimits(records_per_second=2))

        results = put(fake, entry(), entry(), entry())

        assert [result.get("ErrorCode") for result in results] == [
            None,
            None,
            "ProvisionedThroughputExceededException",
        ]
        assert results[2]["ErrorMessage"] == (
            "Rate exceeded for shard shardId-000000000000 in stream s under account 000000000000."
        )
        assert len(fake.records("s")) == 2

    def test_tokens_come_back_with_time(self) -> None:
        """After a second, another second's worth is taken."""
        clock = Clock()
        fake = fake_with(limits=ShardLimits(records_per_second=2), clock=clock)
        put(fake, entry(), entry(), entry())

        clock.now += 1.0
        results = put(fake, entry(), entry(), entry())

        assert [bool(result.get("ErrorCode")) for result in results] == [False, False, True]

    def test_the_usual_limits_are_a_thousand_records_and_a_mebibyte(self) -> None:
        """1,000 small records pass in one second, the next does not; nor do 1.1 MB."""
        fake = fake_with(limits=True)
        first = put(fake, *[entry()] * 500) + put(fake, *[entry()] * 500)
        large = fake_with(limits=True)

        assert not any("ErrorCode" in result for result in first)
        assert "ErrorCode" in put(fake, entry())[0]
        results = put(large, entry(bytes(1_000_000)), entry(bytes(100_000)))
        assert ["ErrorCode" in result for result in results] == [False, True]

    def test_a_record_larger_than_the_bucket_passes_when_it_is_full(self) -> None:
        """It leaves a debt that later records wait for."""
        clock = Clock()
        fake = fake_with(limits=ShardLimits(bytes_per_second=1000), clock=clock)

        assert "ErrorCode" not in put(fake, entry(bytes(5000)))[0]
        clock.now += 4.0
        assert "ErrorCode" in put(fake, entry())[0]
        clock.now += 0.1
        assert "ErrorCode" not in put(fake, entry())[0]

    def test_shards_do_not_share_their_limits(self) -> None:
        """A hot shard throttles nobody else."""
        fake = fake_with(shards=2, limits=ShardLimits(records_per_second=1))

        results = put(fake, entry(hash_key=0), entry(hash_key=0), entry(hash_key=TOP))

        assert ["ErrorCode" in result for result in results] == [False, True, False]


class TestPythonApi:
    """What a test can do to a fake directly."""

    def test_a_strategy_makes_a_stream_on_demand(self) -> None:
        """Only on-demand streams have one, so nobody has to say so twice."""
        fake = FakeKinesis()
        fake.create_stream("a", distribution=AUTO)
        fake.create_stream("b")

        summaries = [
            call(fake, "DescribeStreamSummary", StreamName=name).members["StreamDescriptionSummary"]
            for name in ("a", "b")
        ]

        assert summaries[0]["StreamModeDetails"] == {"StreamMode": ON_DEMAND}
        assert summaries[0]["RecordDistributionStrategy"] == AUTO
        assert summaries[1]["StreamModeDetails"] == {"StreamMode": PROVISIONED}
        assert "RecordDistributionStrategy" not in summaries[1]

    def test_a_strategy_on_a_provisioned_stream_is_refused(self) -> None:
        """Asking for both is a contradiction."""
        with pytest.raises(ApiError, match="provisioned"):
            FakeKinesis().create_stream("a", mode=PROVISIONED, distribution=AUTO)

    def test_an_unknown_strategy_is_refused(self) -> None:
        """A slip of the pen does not go unnoticed."""
        with pytest.raises(ApiError, match="not a record distribution strategy"):
            fake_with().set_distribution("s", "auto")

    def test_names_are_unique_until_deleted(self) -> None:
        """A stream that was deleted can be created again, with shard ids from 0."""
        fake = fake_with(shards=2)
        with pytest.raises(ApiError, match="already exists"):
            fake.create_stream("s")

        fake.delete_stream("s")
        assert fake.streams() == []
        fake.create_stream("s")

        assert [shard.shard_id for shard in fake.shards("s")] == ["shardId-000000000000"]

    def test_unknown_names_are_errors(self) -> None:
        """A stream or shard that is not there is said to be not there."""
        with pytest.raises(ApiError, match="Stream x under account 000000000000 not found"):
            fake_with().records("x")
        with pytest.raises(ApiError, match="Could not find shard shardId-9 in stream s"):
            fake_with().split_shard("s", "shardId-9")

    def test_the_record_limit_can_be_changed(self) -> None:
        """From then on, records up to the new limit are taken."""
        fake = fake_with()
        fake.set_max_record_kib("s", 2048)

        assert "ErrorCode" not in put(fake, entry(bytes(2_000_000)))[0]

    def test_options_can_be_changed_while_it_runs(self) -> None:
        """The next stream has the limits of then, the next change takes as long as then."""
        fake = fake_with()
        fake.limits = ShardLimits(records_per_second=1)
        fake.transition = 10.0
        fake.create_stream("limited")

        call(fake, "CreateStream", StreamName="slow", ShardCount=1)
        answer = call(fake, "PutRecords", StreamName="limited", Records=[entry(), entry()])

        assert answer.members["FailedRecordCount"] == 1
        assert call(fake, "DeleteStream", StreamName="slow").status == 200
        assert fake.streams() == ["limited", "s", "slow"]

    def test_the_repr_says_what_is_there(self) -> None:
        """Streams, open shards, records and calls, in one line."""
        fake = fake_with(shards=2)
        put(fake, entry(), entry())

        assert repr(fake) == "<FakeKinesis: s (2 open shards, 2 records); 1 calls>"
        assert repr(FakeKinesis()) == "<FakeKinesis: no streams; 0 calls>"

    def test_an_error_prints_as_code_and_sentence(self) -> None:
        """Without a sentence it is the code alone."""
        assert str(ApiError("A", "b")) == "A: b"
        assert str(ApiError("A")) == "A"
