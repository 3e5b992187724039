"""The placement check: every answer to an entry, and what follows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinesink.core.aggregated_record import decode
from kinesink.core.entry import Entry
from kinesink.core.hash_key import hash_key_of
from kinesink.core.limits import MAX_HASH_KEY
from kinesink.core.lines import Lines
from kinesink.core.records import EntryResult, ShardDescription
from kinesink.core.shard_map import ShardMap
from kinesink.core.stream_facts import Distribution
from kinesink.core.verdict import Action, Verdict, judge
from tests.core.entries import (
    aggregate_of,
    equal_shards,
    keyed,
    keyless,
    map_of,
    read_listing,
    shard_id,
)

if TYPE_CHECKING:
    from kinesink.core.records import ShardId

HALF = 2**127
CHILDREN = [ShardDescription(shard_id(2), 0, HALF - 1),
            ShardDescription(shard_id(3), HALF, MAX_HASH_KEY)]  # fmt: skip
NEVER_LISTED = shard_id(99)


def taken_by(shard: ShardId) -> EntryResult:
    """Return the answer that a shard took the entry."""
    return EntryResult(shard_id=shard, sequence_number="1")


def judged(
    entry: Entry,
    result: EntryResult,
    shard_map: ShardMap | None = None,
    *,
    sent_at: float = 5.0,
    distribution: Distribution = Distribution.USER_PARTITION_KEY,
) -> Verdict:
    """Return the verdict, on a map of two equal shards listed at 0 unless said."""
    shard_map = map_of(equal_shards(2)) if shard_map is None else shard_map
    return judge(entry, result, sent_at=sent_at, shard_map=shard_map, distribution=distribution)


def alone(hash_key: int, predicted: ShardId | None) -> Entry:
    """Return an entry of one keyed user record."""
    return Entry([keyed(explicit_hash_key=hash_key)], size=2, predicted=predicted)


def together(*hash_keys: int, predicted: ShardId | None) -> Entry:
    """Return an aggregated record with these hash keys inside."""
    return aggregate_of(
        *(keyed(explicit_hash_key=hash_key) for hash_key in hash_keys), predicted=predicted
    )


class TestRefusals:
    """Entries that Kinesis did not take."""

    @pytest.mark.parametrize(
        ("result", "action"),
        [
            (EntryResult(error_code="ProvisionedThroughputExceededException"), Action.SLOW_DOWN),
            (EntryResult(error_code="InternalFailure"), Action.RETRY),
            (EntryResult(error_code="InvalidArgumentException"), Action.REJECT),
            (EntryResult(error_code="SomethingNew"), Action.RETRY),
            (EntryResult(), Action.RETRY),
            (EntryResult(shard_id=shard_id(0), sequence_number=""), Action.RETRY),
            (EntryResult(sequence_number="1", error_code="InternalFailure"), Action.RETRY),
        ],
    )
    def test_f1_the_code_decides(self, result: EntryResult, action: Action) -> None:
        """Success is a sequence number and no code, nothing less."""
        assert judged(alone(0, shard_id(0)), result) == Verdict(action)


class TestPlacement:
    """Entries that a shard took."""

    def test_the_predicted_shard_is_right(self) -> None:
        """Alone or together."""
        for entry in (alone(0, shard_id(0)), together(0, HALF - 1, predicted=shard_id(0))):
            assert judged(entry, taken_by(shard_id(0))) == Verdict(Action.DELIVER)

    def test_r1_a_record_alone_is_where_kinesis_put_it(self) -> None:
        """Delivered, though another shard tells that the map is out of date."""
        expected = Verdict(Action.DELIVER, wrong_shard=True)

        assert judged(alone(0, shard_id(1)), taken_by(shard_id(0))) == expected
        assert judged(alone(0, shard_id(0)), taken_by(NEVER_LISTED)) == expected

    def test_r7_a_record_alone_without_a_prediction_proves_nothing(self) -> None:
        """There was no map to be wrong."""
        for shard_map in (ShardMap(), map_of(equal_shards(2))):
            for shard in (shard_id(0), NEVER_LISTED):
                assert judged(alone(0, None), taken_by(shard), shard_map) == Verdict(Action.DELIVER)

    def test_r3_lines_are_read_in_whatever_shard_they_landed(self) -> None:
        """The child took all of them by the hash key of the first."""
        lines = Entry(
            [keyed(explicit_hash_key=0), keyed(explicit_hash_key=HALF)],
            size=4,
            predicted=NEVER_LISTED,
            lines=Lines(),
        )
        assert judged(lines, taken_by(shard_id(0))) == Verdict(Action.DELIVER, wrong_shard=True)

    def test_r2_after_a_merge_the_child_holds_every_hash_key(self) -> None:
        """Delivered with one copy; the map is read again."""
        shard_map = map_of(equal_shards(2))
        read_listing(shard_map, [ShardDescription(shard_id(4), 0, MAX_HASH_KEY)], 1.0)
        entry = together(0, HALF - 1, predicted=shard_id(0))

        assert judged(entry, taken_by(shard_id(4)), shard_map) == Verdict(
            Action.DELIVER, wrong_shard=True
        )

    def test_r3_after_a_split_one_stray_hash_key_takes_all_back(self) -> None:
        """KCL drops the whole aggregated record, so none of it counts as delivered."""
        shard_map = map_of([ShardDescription(shard_id(0), 0, MAX_HASH_KEY)])
        read_listing(shard_map, CHILDREN, 1.0)
        stray = together(0, HALF, predicted=shard_id(0))
        inside = together(0, 1, predicted=shard_id(0))

        assert judged(stray, taken_by(shard_id(2)), shard_map) == Verdict(
            Action.REROUTE, wrong_shard=True
        )
        assert judged(inside, taken_by(shard_id(2)), shard_map).action is Action.DELIVER

    def test_r4_an_unknown_shard_is_judged_after_a_listing(self) -> None:
        """Together; whether the hash keys differ or not, for the stream may place by itself."""
        for hash_keys in ((0, 1), (0, 0)):
            entry = together(*hash_keys, predicted=shard_id(0))
            assert judged(entry, taken_by(NEVER_LISTED)) == Verdict(Action.HOLD, wrong_shard=True)

    def test_r10_a_predicted_shard_that_is_forgotten_was_right(self) -> None:
        """Its range held every hash key when the entry was made."""
        shard_map = map_of(equal_shards(2))
        read_listing(shard_map, CHILDREN, 1.0)
        read_listing(shard_map, CHILDREN, 1000.0)
        entry = together(0, 1, predicted=shard_id(0))

        assert shard_map.range_of(shard_id(0)) is None
        assert judged(entry, taken_by(shard_id(0)), shard_map) == Verdict(Action.DELIVER)

    def test_a_shard_id_of_a_stream_created_anew_is_checked_by_its_new_range(self) -> None:
        """The id is the predicted one, the range is not: a stray hash key is one."""
        shard_map = map_of(equal_shards(2))
        read_listing(shard_map, equal_shards(4), 1.0)
        entry = together(0, HALF - 1, predicted=shard_id(0))

        assert judged(entry, taken_by(shard_id(0)), shard_map) == Verdict(
            Action.REROUTE, wrong_shard=True
        )


class TestWithoutMap:
    """Aggregated records of one hash key, which are all there is before the first listing."""

    @pytest.mark.parametrize(
        ("distribution", "expected"),
        [
            (Distribution.USER_PARTITION_KEY, Verdict(Action.DELIVER)),
            (Distribution.UNKNOWN, Verdict(Action.HOLD, wrong_shard=True)),
        ],
    )
    def test_r7_one_hash_key_is_right_wherever_its_key_leads(
        self, distribution: Distribution, expected: Verdict
    ) -> None:
        """If the stream is known to honour it."""
        entry = together(5, 5, predicted=None)

        assert judged(entry, taken_by(shard_id(0)), ShardMap(), distribution=distribution) == (
            expected
        )

    def test_once_there_is_a_map_it_is_asked(self) -> None:
        """Known shards are checked, unknown ones wait for the next listing."""
        entry = together(5, 5, predicted=None)

        assert judged(entry, taken_by(shard_id(0))) == Verdict(Action.DELIVER)
        assert judged(entry, taken_by(NEVER_LISTED)) == Verdict(Action.HOLD, wrong_shard=True)

    def test_different_hash_keys_are_never_right_without_a_map(self) -> None:
        """They were not to be together in the first place."""
        entry = together(5, 6, predicted=None)

        assert judged(entry, taken_by(shard_id(0)), ShardMap()).action is Action.HOLD


class TestStreamsThatPlaceByThemselves:
    """AUTO distribution, stated or proven."""

    def test_r17_any_shard_is_right_for_a_record_alone(self) -> None:
        """And proves nothing."""
        verdict = judged(
            alone(0, shard_id(0)), taken_by(shard_id(1)), distribution=Distribution.AUTO
        )

        assert verdict == Verdict(Action.DELIVER)

    def test_r18_an_aggregated_record_is_sent_again_in_pieces(self) -> None:
        """It left before the switch was known."""
        entry = together(0, 1, predicted=shard_id(0))
        verdict = judged(entry, taken_by(shard_id(0)), distribution=Distribution.AUTO)

        assert verdict == Verdict(Action.SEND_ALONE)

    @pytest.mark.parametrize(
        ("sent_at", "together_action", "proof"),
        [(5.0, Action.HOLD, False), (1.0, Action.SEND_ALONE, True), (0.5, Action.SEND_ALONE, True)],
    )
    @pytest.mark.parametrize(
        "distribution", [Distribution.UNKNOWN, Distribution.USER_PARTITION_KEY]
    )
    def test_r18_a_placement_against_a_fresh_map_proves_it(
        self, distribution: Distribution, sent_at: float, together_action: Action, *, proof: bool
    ) -> None:
        """A range never changes; but a map asked for before the request may be another stream's."""
        shard_map = map_of(equal_shards(2), now=1.0)
        for entry, action in (
            (together(0, 1, predicted=shard_id(0)), together_action),
            (alone(0, shard_id(0)), Action.DELIVER),
            (alone(0, None), Action.DELIVER),
        ):
            verdict = judged(
                entry, taken_by(shard_id(1)), shard_map, sent_at=sent_at, distribution=distribution
            )
            assert verdict == Verdict(action, wrong_shard=True, stream_places=proof)

    def test_keyless_entries_prove_it_as_well(self) -> None:
        """They are bound to one hash key, which a shard either owns or not."""
        entry = Entry([keyless(b"a", b"b")], size=60)
        entry.bind(shard_id(0), 17)

        assert judged(entry, taken_by(shard_id(0))) == Verdict(Action.DELIVER)
        assert judged(entry, taken_by(shard_id(1)), sent_at=0.0).stream_places


class TestLaw:
    """What holds for every answer."""

    @given(
        hash_keys=st.lists(st.integers(0, MAX_HASH_KEY), min_size=1, max_size=5),
        shards=st.sampled_from([1, 2, 3, 4]),
        actual=st.integers(0, 4),
        predicted=st.none() | st.integers(0, 4),
        distribution=st.sampled_from(Distribution),
    )
    def test_r3_what_is_delivered_survives_a_kcl_consumer(
        self,
        *,
        hash_keys: list[int],
        shards: int,
        actual: int,
        predicted: int | None,
        distribution: Distribution,
    ) -> None:
        """A consumer of the shard that drops the whole record for one stray hash key."""
        shard_map = map_of(equal_shards(shards), now=5.0)
        expected = None if predicted is None else shard_id(predicted)
        entry = (
            together(*hash_keys, predicted=expected)
            if len(hash_keys) > 1
            else alone(hash_keys[0], expected)
        )
        verdict = judged(entry, taken_by(shard_id(actual)), shard_map, distribution=distribution)

        records = decode(entry.encode(0).data)
        hash_range = shard_map.range_of(shard_id(actual))
        if verdict.action is Action.DELIVER and records is not None and hash_range is not None:
            for record in records:
                explicit = record.explicit_hash_key
                assert hash_range.contains(
                    hash_key_of(record.partition_key) if explicit is None else explicit
                )
