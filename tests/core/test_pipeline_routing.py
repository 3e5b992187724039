"""Routing and resharding (cases R), on the core alone."""

# ruff: noqa: N802 - the tests carry the names of the cases

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from kinesink.core.effects import ListShards
from kinesink.core.hash_key import hash_key_of
from kinesink.core.limits import MAX_HASH_KEY
from kinesink.core.options import PipelineOptions
from kinesink.core.records import Answered, DropReason, Failure, StreamSummary, UserRecord
from kinesink.core.router import _Groups
from kinesink.testing.streams import (
    AUTO,
    USER_PARTITION_KEY,
    SequenceNumbers,
    Stream,
    equal_ranges,
)
from tests.core.entries import keyed, together
from tests.core.world import (
    DENIED,
    FAULT,
    OPEN_RATE,
    THROTTLED,
    Ticket,
    World,
    refuse,
    result_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.core.collector import PutRecordsRequest

HALF = (MAX_HASH_KEY + 1) // 2
QUARTER = HALF // 2


def ready(
    *,
    shards: int = 2,
    options: PipelineOptions | None = None,
    latency: float = 0.02,
    distribution: str | None = None,
    max_record_bytes: int | None = None,
) -> World:
    """Return a world of two shards whose map is known, unless told otherwise."""
    world = World(
        shards,
        options or PipelineOptions(),
        latency,
        distribution=distribution,
        max_record_bytes=max_record_bytes,
    )
    world.run(0.5)
    assert world.questions == {"ListShards": 1, "DescribeStreamSummary": 1}
    return world


def test_R1_what_travelled_alone_during_a_split_lands_once() -> None:
    """Only the map was wrong: the record is where it belongs."""
    world = ready(shards=1)
    world.split()
    record = world.keyed(b"a", waited=True)
    world.run()
    assert world.copies == {b"a": 1}
    assert world.questions["ListShards"] == 2
    assert result_of(record).success
    world.check(delivered=1)


def test_R1_aggregated_events_survive_a_split_with_two_copies_at_most() -> None:
    """Those that fit the child land once; those that do not, again after a refresh."""
    world = ready(shards=1)
    world.split()
    for i in range(50):
        world.keyed(b"%d" % i, key=str(i))
    world.run()
    world.check(delivered=50)
    assert set(world.copies.values()) == {1}
    assert len(world.written) == 1 + 2
    assert world.questions["ListShards"] == 2


def test_R2_a_merge_with_a_request_in_flight_duplicates_nothing() -> None:
    """Every sub-record lies in the child: its range is looked up, then it counts."""
    world = ready()
    for i in range(10):
        world.keyed(b"%d" % i, hash_key=i)
    world.merge()
    world.run()
    assert len(world.sent) == 1
    assert world.questions["ListShards"] == 2
    assert set(world.copies.values()) == {1}
    world.check(delivered=10)


def test_R3_aggregate_with_a_stray_sub_record_is_retried_whole() -> None:
    """A consumer drops the aggregated record for one stray: nothing of it is delivered."""
    world = ready(shards=1)
    world.split()
    records = [
        world.keyed(b"low", hash_key=0, waited=True),
        world.keyed(b"low too", hash_key=1, waited=True),
        world.keyed(b"high", hash_key=MAX_HASH_KEY, waited=True),
    ]
    world.run(0.12)
    assert world.stray == 1
    assert world.pipeline.ledger.delivered == 0
    world.run()
    assert world.copies == {b"low": 1, b"low too": 1, b"high": 1}
    assert [len(result_of(record).attempts) for record in records] == [2, 2, 2]
    assert world.pipeline.ledger.wrong_shard == 1
    world.check(delivered=3)


def test_R4_unknown_actual_shard_is_judged_by_the_refreshed_map() -> None:
    """By the old ranges nothing could be said: the verdict waits for the listing."""
    world = ready(shards=1)
    world.split()
    world.answers_questions = False
    world.keyed(b"a", hash_key=1)
    world.keyed(b"b", hash_key=2)
    world.run()
    assert world.pipeline.ledger.pending == 2
    assert len(world.sent) == 1
    world.list_shards()
    world.run()
    assert len(world.sent) == 1
    world.check(delivered=2)


def test_R4_listing_that_lags_is_read_again_after_a_second() -> None:
    """A listing may not know the child yet; asking again at once would only spin."""
    world = ready(shards=1)
    world.listing = world.open_shards()
    world.split()
    world.keyed(b"a", hash_key=1)
    world.keyed(b"b", hash_key=2)
    world.run(3)
    assert 3 <= world.questions["ListShards"] <= 5
    world.listing = None
    world.run(3)
    assert len(world.sent) == 1
    world.check(delivered=2)


def test_R4_verdict_does_not_wait_for_ever() -> None:
    """Without a listing that knows the shard, each user record travels again, alone."""
    world = ready(shards=1)
    world.split()
    world.listing = DENIED
    world.keyed(b"a", hash_key=1)
    world.keyed(b"b", hash_key=2)
    world.run(12)
    assert world.copies == {b"a": 2, b"b": 2}
    assert world.written[1:] == [b"a", b"b"]
    world.check(delivered=2)


def test_R5_a_hundred_wrong_shards_cause_one_listing() -> None:
    """Evidence joins the question under way; what was sent before its answer proves nothing."""
    options = PipelineOptions(framing="none", shard_rate_limit=OPEN_RATE)
    world = ready(shards=1, latency=0.3, options=options)
    world.split()
    for i in range(100):
        world.keyed(b"%d" % i, key=str(i))
    world.run(0.2)
    for i in range(100, 200):
        world.keyed(b"%d" % i, key=str(i))
    world.run(5)
    assert world.pipeline.ledger.wrong_shard > 100
    assert world.questions["ListShards"] == 2
    world.check(delivered=200)


def test_R6_stale_map_serves_while_a_refresh_fails() -> None:
    """Events go on being aggregated by the last known map."""
    world = ready()
    world.listing = Failure("InternalFailure", "oops")
    world.run(600)
    asked = world.questions["ListShards"]
    assert asked > 1
    for i in range(100):
        world.keyed(b"%d" % i, key=str(i))
    world.run()
    assert len(world.written) == 2
    world.check(delivered=100)


def test_R7_without_a_map_nothing_shares_although_the_stream_is_said_to_honour_keys() -> None:
    """It may begin to place records itself, and only a map would show."""
    world = World(shards=4)
    world.listing = DENIED
    world.run(0.5)
    world.keyless(b"x", b"y")
    world.keyed(b"z")
    world.run(0.5)
    world.stream.distribution = AUTO
    world.keyless(b"1", b"2")
    world.run()
    assert sorted(world.written) == [b"1", b"2", b"x", b"y", b"z"]
    assert world.copies == Counter(world.written)
    world.check(delivered=5)


def test_R7_without_a_map_equal_hash_keys_share_where_somebody_vouches_for_the_stream() -> None:
    """Wherever the boundaries lie, one hash key is on one side."""
    world = World(shards=4, options=PipelineOptions(record_distribution="user_partition_key"))
    world.listing = DENIED
    world.run(0.5)
    for i in range(8):
        world.keyed(b"%d" % i, key="ab"[i % 2])
    world.keyless(b"x", b"y")
    world.run()
    assert len(world.written) == 3
    assert world.stray == 0
    world.check(delivered=10)


def test_R9_without_permission_to_list_events_flow_and_one_line_says_why() -> None:
    """Nothing waits for the map longer than for its first answer."""
    world = World(shards=4)
    world.listing = world.summary = DENIED
    for i in range(10):
        world.keyed(b"%d" % i, key=str(i))
    world.keyless(b"x", b"y")
    world.run(0.2)
    assert len(world.written) == 12
    world.check(delivered=12)
    world.run(300)
    assert 10 < world.questions["ListShards"] < 30
    assert ":ListShards" in world.reports[0].text


@pytest.mark.parametrize("code", ["NoCredentials", "ResourceNotFoundException", "ConnectError"])
def test_R9_what_stops_every_call_is_not_told_as_a_matter_of_the_listing(code: str) -> None:
    """Where nothing can be sent, the line says that events are kept, not how they travel."""
    world = World()
    world.listing = world.summary = Failure(code, "whatever")
    world.keyless(b"x")
    world.run(0.2)
    assert world.reports
    assert all(report.text.endswith("events are kept and tried again") for report in world.reports)


def test_R9_nothing_waits_longer_than_the_discovery_for_silent_questions() -> None:
    """Answers that never come hold the first events for two seconds."""
    world = World()
    world.answers_questions = False
    world.keyless(b"x")
    world.keyed(b"y")
    world.run(1.9)
    assert not world.sent
    world.run(0.2)
    world.check(delivered=2)


def test_R12_hash_keys_in_a_hole_travel_alone() -> None:
    """There is no prediction to aggregate by, and it is said once a listing."""
    world = World(shards=2)
    world.listing = world.open_shards()[:1]
    world.run(0.5)
    world.keyed(b"a", hash_key=HALF)
    world.keyed(b"b", hash_key=HALF + 1)
    world.keyed(b"c", hash_key=0)
    world.keyed(b"d", hash_key=1)
    world.run(0.4)
    assert sorted(map(len, world.written))[:2] == [1, 1]
    assert {report.kind for report in world.reports} == {"IncompleteListing"}
    world.check(delivered=4)


def test_R12_an_entry_for_a_hole_is_retried_as_it_is() -> None:
    """Taken apart it would find no better place."""
    world = World(shards=2)
    world.listing = world.open_shards()[:1]
    world.run(0.5)
    world.script.append(lambda _: Answered([THROTTLED]))
    world.keyed(b"a", hash_key=HALF)
    world.run(3)
    assert world.copies == {b"a": 1}
    world.check(delivered=1)


def test_R12_a_listing_with_a_gap_does_not_replace_a_whole_map() -> None:
    """It has raced a reshard; the old map serves and the question comes again."""
    world = ready()
    world.listing = world.open_shards()[1:]
    world.run(600)
    for i in range(20):
        world.keyed(b"%d" % i, key=str(i))
    world.run()
    assert len(world.written) == 2
    assert world.questions["ListShards"] > 2
    world.check(delivered=20)


def test_R13_what_waits_for_a_closed_shard_is_predicted_again() -> None:
    """Neither the window nor the line of a shard outlives it."""
    world = ready(options=PipelineOptions(linger=5.0))
    world.keyed(b"a", hash_key=0)
    world.keyed(b"b", hash_key=QUARTER)
    world.split()
    world.pipeline.shards_listed(world.open_shards(), world.now)
    world.run(6)
    assert world.written == [b"a", b"b"]
    assert len(world.sent) == 1
    world.check(delivered=2)


def test_R13_an_entry_whose_shard_closed_during_its_backoff_is_taken_apart() -> None:
    """Sent as it was, it would only be astray."""
    world = ready(shards=1)
    world.jitter = 1.0
    world.script.append(lambda _: Answered([FAULT]))
    world.keyed(b"a", hash_key=0)
    world.keyed(b"b", hash_key=MAX_HASH_KEY)
    world.run(0.13)
    assert len(world.sent) == 1
    world.split()
    world.pipeline.shards_listed(world.open_shards(), world.now)
    world.run()
    assert world.written == [b"a", b"b"]
    assert world.stray == 0
    world.check(delivered=2)


def test_R13_an_entry_refused_on_a_closed_shard_goes_to_the_child() -> None:
    """A throttle may arrive after the listing that closed its shard."""
    world = ready(shards=1)
    world.script.append(lambda _: Answered([THROTTLED]))
    world.keyed(b"a", hash_key=0)
    world.run(0.11)
    world.split()
    world.pipeline.shards_listed(world.open_shards(), world.now)
    world.run()
    assert world.copies == {b"a": 1}
    world.check(delivered=1)


def test_R15_keyless_events_fill_one_record_then_the_next_on_another_shard() -> None:
    """All shards share the load, and records are full."""
    options = PipelineOptions(shard_rate_limit=OPEN_RATE, aggregate_max_bytes=1000)
    world = ready(shards=4, options=options)
    world.keyless(*[b"%020d" % i for i in range(400)])
    world.run()
    loads = [len(shard.records) for shard in world.stream.open_shards]
    assert max(loads) - min(loads) <= 1
    assert len(world.written) == 13
    world.check(delivered=400)


def test_R16_keyless_events_walk_around_a_throttled_shard_and_keyed_ones_wait() -> None:
    """The refused record itself goes elsewhere at once."""
    world = ready()
    bad = world.stream.open_shards[0].shard_id

    def throttle_first(request: object) -> Answered:
        del request
        request_ = world.sent[-1].request
        return Answered(
            [
                THROTTLED if entry.predicted == bad else world.write_entry(request_, i)
                for i, entry in enumerate(request_.entries)
            ]
        )

    world.always = throttle_first
    for _ in range(4):
        world.keyless(b"x", b"y")
        world.run(0.2)
    kept = world.keyed(b"k", hash_key=0, waited=True)
    free = world.keyed(b"l", hash_key=HALF, waited=True)
    world.run(1)
    assert world.copies == {b"x": 4, b"y": 4, b"l": 1}
    assert result_of(free).success
    world.always = world.write
    world.run(5)
    assert result_of(kept).success
    assert result_of(kept).attempts[-1].success
    world.check(delivered=10)


def one_by_one(world: World, bad: str) -> Callable[[PutRecordsRequest], Answered]:
    """Return answers that throttle one shard and write the rest."""

    def answer(request: PutRecordsRequest) -> Answered:
        return Answered(
            [
                THROTTLED if entry.predicted == bad else world.write_entry(request, i)
                for i, entry in enumerate(request.entries)
            ]
        )

    return answer


def test_R16_a_backlog_of_single_records_for_one_shard_delays_no_other() -> None:
    """What has no room in line stands aside, and goes in its order once the shard recovers."""
    world = ready(options=PipelineOptions(framing="none", shard_rate_limit=OPEN_RATE))
    world.always = one_by_one(world, world.stream.open_shards[0].shard_id)
    stuck = [b"s%d" % i for i in range(3000)]
    for datum in stuck:
        world.keyed(datum, hash_key=0)
    world.run(0.5)
    for i in range(1200):
        world.keyed(b"f%d" % i, hash_key=HALF)
    world.keyless(b"x")
    world.run(0.5)
    assert world.copies == {b"x": 1, **{b"f%d" % i: 1 for i in range(1200)}}
    assert world.pipeline.ledger.pending == 3000
    world.always = world.write
    world.run(60)
    assert [datum for datum in world.written if datum in set(stuck)] == stuck
    world.check(delivered=4201)


def test_R16_events_that_arrived_together_stand_aside_as_those_that_came_alone() -> None:
    """A part of them at a time."""
    world = ready(options=PipelineOptions(framing="none", shard_rate_limit=OPEN_RATE))
    world.always = one_by_one(world, world.stream.open_shards[0].shard_id)
    stuck, free = [b"s%d" % i for i in range(3000)], [b"f%d" % i for i in range(3000)]
    mixed = [
        keyed(datum, explicit_hash_key=hash_key)
        for pair in zip(stuck, free, strict=True)
        for datum, hash_key in zip(pair, (0, HALF), strict=True)
    ]
    world.add(together(mixed, world.now))
    world.run(3)
    assert world.copies == dict.fromkeys(free, 1)
    assert world.pipeline.ledger.pending == 3000
    world.always = world.write
    world.run(60)
    assert world.copies == dict.fromkeys([*free, *stuck], 1)
    world.check(delivered=6000)


def test_R16_what_stands_aside_expires_and_is_routed_anew_like_everything_else() -> None:
    """Half of it grows too old; the other half meets the children of the shard."""
    options = PipelineOptions(framing="none", shard_rate_limit=OPEN_RATE, time_to_live=10.0)
    world = ready(options=options)
    world.always = one_by_one(world, world.stream.open_shards[0].shard_id)
    for _ in range(2):
        for i in range(1000):
            world.keyed(b"%d" % i, hash_key=i)
        world.run(6)
    assert world.lost(DropReason.EXPIRED) == 1000
    world.split()
    world.always = world.write
    world.pipeline.shards_listed(world.open_shards(), world.now)
    world.run(3)
    world.check(delivered=1000)


def test_R17_auto_stream_gets_one_record_per_event_and_no_limiter() -> None:
    """Shards mean nothing there: no retry, no refresh, no pace."""
    world = ready(shards=4, distribution=AUTO)
    for i in range(900):
        world.keyed(b"k%d" % i, key="same")
    world.keyless(*[b"x%d" % i for i in range(900)])
    world.run(0.3)
    assert len(world.written) == 1800
    assert world.pipeline.ledger.wrong_shard == 0
    assert world.questions == {"ListShards": 1, "DescribeStreamSummary": 1}
    world.check(delivered=1800)


def test_R17_configured_auto_asks_nothing_it_knows() -> None:
    """With the distribution and the record limit configured, the summary is not read."""
    options = PipelineOptions(record_distribution="auto", record_max_bytes=1_048_576)
    world = World(shards=2, options=options, distribution=AUTO)
    world.keyless(b"x", b"y")
    world.run()
    assert world.questions == {"ListShards": 1}
    assert world.written == [b"x", b"y"]
    world.check(delivered=2)


def test_R17_a_throttle_on_an_auto_stream_is_retried() -> None:
    """It has no shard to wait for, only its own backoff."""
    world = ready(shards=2, distribution=AUTO)
    world.script.append(lambda request: Answered([THROTTLED] * len(request.wire)))
    world.keyed(b"k")
    world.keyless(b"x")
    world.run()
    assert world.copies == {b"k": 1, b"x": 1}
    world.check(delivered=2)


def test_R18_switching_to_auto_and_back_is_noticed() -> None:
    """A placement outside the range proves it; nothing of the stray record is counted."""
    world = ready(shards=2, options=PipelineOptions(framing="kpl"))
    world.stream.distribution = AUTO
    for i in range(6):
        for j in range(4):
            world.keyed(b"%d %d" % (i, j), key=str(j))
        world.keyless(b"x%d" % i, b"y%d" % i)
        world.run(0.5)
    assert world.pipeline.ledger.delivered == 36
    assert set(world.copies) >= {b"%d %d" % (i, j) for i in range(6) for j in range(4)}
    described = world.questions["DescribeStreamSummary"]
    assert described == 2
    before = len(world.written)
    world.keyless(b"p", b"q")
    world.run()
    assert len(world.written) == before + 2
    world.stream.distribution = USER_PARTITION_KEY
    world.run(600)
    before = len(world.written)
    world.keyless(b"r", b"s")
    world.run()
    assert len(world.written) == before + 1
    world.check(delivered=40)


def test_R18_one_record_outside_its_range_counts_and_asks_for_a_description() -> None:
    """A record alone is where the stream put it; aggregation stops all the same."""
    world = ready(shards=2)
    world.stream.distribution = AUTO
    for i in range(2):
        world.keyed(b"%d" % i, hash_key=MAX_HASH_KEY * i)
        world.run(0.5)
    world.keyed(b"a", hash_key=MAX_HASH_KEY)
    world.run(2)
    assert world.questions["DescribeStreamSummary"] == 2
    assert world.pipeline.ledger.retried == 0
    before = len(world.written)
    world.keyless(b"x", b"y")
    world.run()
    assert len(world.written) == before + 2
    world.check(delivered=5)


def test_R18_placements_that_the_description_denies_are_not_asked_about_without_end() -> None:
    """Every ten seconds, for the stream; ever less often, for its shards."""
    world = ready(shards=2)
    world.stream.distribution = AUTO
    world.summary = StreamSummary(record_distribution=USER_PARTITION_KEY)
    for i in range(600):
        world.keyed(b"%d" % i, hash_key=(i % 2) * MAX_HASH_KEY)
        world.run(0.1)
    world.run()
    assert world.questions["DescribeStreamSummary"] < 10
    assert world.questions["ListShards"] < 40
    assert len(world.copies) == 600
    world.check(delivered=600)


def test_R18_told_to_honour_keys_it_still_loses_nothing_on_an_auto_stream() -> None:
    """The configuration may be wrong: what landed astray is sent again, alone."""
    options = PipelineOptions(record_distribution="user_partition_key")
    world = World(shards=2, options=options, distribution=AUTO)
    for i in range(4):
        world.keyed(b"%d" % i, hash_key=0)
        world.keyless(b"x%d" % i, b"y%d" % i)
        world.run(0.5)
    world.run(5)
    assert world.questions["DescribeStreamSummary"] == 1
    assert len(world.copies) == 12
    world.check(delivered=12)


def test_R19_without_a_description_the_safe_side_is_taken_and_said() -> None:
    """Events flow, aggregated by the map, and records of 1 MiB at most."""
    world = World(shards=2, max_record_bytes=10 * 1024 * 1024)
    world.summary = DENIED
    world.keyless(b"x", b"y")
    world.keyed(bytes(1024 * 1024))
    world.run()
    (report,) = world.reports
    assert "DescribeStreamSummary" in report.text
    assert report.kind == "AccessDeniedException"
    assert len(world.written) == 1
    assert world.lost(DropReason.TOO_LARGE) == 1
    world.check(delivered=2)


def test_a_stream_created_anew_is_listed_again() -> None:
    """Its shard ids are the same, its ranges may be others."""
    world = ready()
    world.created = 99.0
    world.run(400)
    assert world.questions["ListShards"] == 2


def test_a_record_limit_that_shrinks_counts_for_what_waits() -> None:
    """What exceeds it is dropped for being too large, not refused by Kinesis for ever."""
    world = World(max_record_bytes=1024 * 1024)
    world.answers_questions = False
    world.keyed(bytes(5000))
    world.keyless(bytes(5000), b"x")
    world.add(UserRecord(bytes(5000), arrival=world.now, ticket=Ticket()))
    world.step()
    world.pipeline.shards_listed(world.open_shards(), world.now)
    world.pipeline.stream_described(StreamSummary(4096, None), world.now)
    world.run()
    assert world.lost(DropReason.TOO_LARGE) == 3
    world.check(delivered=1)


def test_L6_the_record_limit_of_the_stream_is_adopted_and_told() -> None:
    """Admission asks the pipeline for it."""
    world = ready(max_record_bytes=2_000_000)
    assert world.pipeline.record_max_bytes == 2_000_000


def test_events_wait_as_they_came_while_each_is_a_record_of_its_own() -> None:
    """A backlog of an un-aggregated stream costs no entry per event."""
    world = ready(shards=1, options=PipelineOptions(framing="none", shard_rate_limit=OPEN_RATE))
    world.always = lambda _: None
    world.keyless(*[b"%d" % i for i in range(20_000)])
    world.run(0.5)
    limiter = world.pipeline._stock.limiter
    assert limiter.waiting < 1100
    world.always = world.write
    world.run(30)
    world.check(delivered=20_000)


@pytest.mark.parametrize("at_once", [False, True])
def test_hash_keys_of_partition_keys_decide(*, at_once: bool) -> None:
    """The record lands where its partition key's MD5 belongs, predicted or not."""
    world = ready(shards=8)
    records = [keyed(b"%d" % i, f"key {i}", arrival=world.now) for i in range(64)]
    world.add(*[together(records, world.now)] if at_once else records)
    world.run()
    assert world.stray == 0
    owners = {shard.shard_id: shard for shard in world.stream.open_shards}
    for record in world.stream.records():
        if record.explicit_hash_key is None:
            hash_key = hash_key_of(record.partition_key or "")
            assert owners[record.shard_id].hash_key_range.contains(hash_key)
    world.check(delivered=64)


def test_of_events_that_arrived_together_only_those_too_large_are_given_up() -> None:
    """Whatever their keys are; the size of the key counts."""
    world = ready(max_record_bytes=1_000_000)
    fits, too_large = keyed(bytes(999_990), "k" * 10), keyed(bytes(999_991), "k" * 10)
    world.add(together([keyed(b"a"), too_large, fits, keyed(b"b"), too_large], world.now))
    world.add(together([too_large, too_large], world.now))
    world.add(together([fits], world.now))
    world.run(5)
    assert world.lost(DropReason.TOO_LARGE) == 4
    assert world.copies == {b"a": 1, b"b": 1, fits.data: 2}
    world.check(delivered=4)


def test_keys_without_end_are_looked_up_in_bounded_memory() -> None:
    """Each event has keys of its own."""
    world = ready()
    for _ in range(3):
        records = [keyed(b"x", f"{world.now} {i}") for i in range(3_000)]
        world.add(together(records, world.now))
        world.run()
        assert len(world.pipeline._router._groups) <= _Groups._MOST
    world.check(delivered=9_000)


def test_what_is_known_of_keys_is_forgotten_with_the_map() -> None:
    """Events of the same keys go to the child after a split."""
    world = ready(shards=1)
    for _ in range(2):
        records = [keyed(b"%d" % i, explicit_hash_key=i % 2 * HALF) for i in range(100)]
        world.add(together(records, world.now))
        world.run()
        world.split()
        world.pipeline.shards_listed(world.open_shards(), world.now)
    assert world.pipeline.ledger.wrong_shard == 0
    assert world.stray == 0
    world.check(delivered=200)


def test_the_first_effects_ask_for_the_stream() -> None:
    """Nothing is known, so both questions are asked at once and only once."""
    world = World()
    world.answers_questions = False
    assert ListShards() in world.pipeline.effects(world.now)
    assert not world.pipeline.effects(world.now)


def test_a_reshard_takes_apart_only_what_it_concerns() -> None:
    """Keyless entries, and keyed ones whose shard goes on, stay as they are and in line."""
    world = ready(shards=3, options=PipelineOptions(shard_rate_limit=OPEN_RATE))
    world.script.append(refuse(Failure("LimitExceededException", "slow down")))
    world.keyless(b"x")
    world.run(0.2)
    for hash_key in (0, MAX_HASH_KEY):
        world.keyed(b"a", hash_key=hash_key)
        world.keyed(b"b", hash_key=hash_key)
    world.keyless(b"y", b"z")
    world.run(0.2)
    world.split(0)
    in_line = [entry for queue in world.pipeline._limiter._queues() for entry in queue]
    assert len(in_line) == 4
    world.pipeline.shards_listed(world.open_shards(), world.now)
    world.run(3)
    sent = [entry for effect in world.sent[1:] for entry in effect.request.entries]
    assert len(sent) == 4
    assert len(set(sent) & set(in_line)) == 3
    world.check(delivered=7)


GONE = Failure("ResourceNotFoundException", "Stream s under account 0 not found.")


def replace_stream(world: World, shards: int) -> None:
    """Delete the stream and create another one under its name; shard ids begin anew."""
    world.stream = Stream("s", "arn", "0", 0, 0.0, SequenceNumbers())
    world.stream.add_shards(equal_ranges(shards), world.now)


@pytest.mark.parametrize("told_by", ["PutRecords", "ListShards", "DescribeStreamSummary"])
def test_a_stream_known_to_be_gone_judges_no_answer_of_its_successor(told_by: str) -> None:
    """Its shards have the ids of the old ones, and other ranges."""
    world = ready(shards=1)
    replace_stream(world, 4)
    world.answers_questions = False
    if told_by == "PutRecords":
        world.script.append(refuse(GONE))
        world.keyless(b"first")
        world.run(0.2)
    elif told_by == "ListShards":
        world.pipeline.shards_listed(GONE, world.now)
    else:
        world.pipeline.stream_described(GONE, world.now)
    for i in range(20):
        world.keyed(b"%d" % i, hash_key=i * (MAX_HASH_KEY // 20))
    world.run(3)
    assert world.stray == 0
    assert world.pipeline._limiter._paces == {}
    world.check(delivered=len(world.copies))
    assert len(world.written) == len(world.copies) >= 20


def test_entries_for_a_shard_id_that_has_another_range_now_are_routed_anew() -> None:
    """The id is the same, the shard is not."""
    world = ready(shards=1, options=PipelineOptions(shard_rate_limit=OPEN_RATE))
    world.script.append(refuse(Failure("LimitExceededException", "slow down")))
    for i in range(20):
        world.keyed(b"%d" % i, hash_key=i * (MAX_HASH_KEY // 20))
    world.run(0.2)
    replace_stream(world, 4)
    world.pipeline.shards_listed(world.open_shards(), world.now)
    world.run(3)
    assert world.stray == 0
    assert len(world.written) == 4
    world.check(delivered=20)
