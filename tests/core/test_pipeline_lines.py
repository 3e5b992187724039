"""Framing ``lines`` through the whole core: any shard is right, and nothing is lost in company."""

# ruff: noqa: N802 - the tests carry the names of the cases

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from kinesink.compression import compressor
from kinesink.core.limits import MAX_HASH_KEY
from kinesink.core.options import PipelineOptions
from kinesink.core.pipeline import Pipeline
from kinesink.core.records import Answered, DropReason, EntryResult, Failure
from kinesink.decode import deaggregate
from kinesink.testing.streams import AUTO
from tests.core.world import DENIED, OPEN_RATE, THROTTLED, World, hang, refuse, result_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from kinesink.core.collector import PutRecordsRequest
    from kinesink.core.options import Compression
    from tests.core.world import Options

HALF = (MAX_HASH_KEY + 1) // 2


@pytest.fixture(params=[None, "gzip"])
def compression(request: pytest.FixtureRequest) -> Compression | None:
    """Run the test with and without compression."""
    chosen: Compression | None = request.param
    return chosen


def lines_world(compression: Compression | None, **options: Unpack[Options]) -> World:
    """Return a world of two shards that wants lines, its map known."""
    world = World(shards=2, options=options_for(compression, **options))
    begin(world)
    return world


def options_for(compression: Compression | None, **options: Unpack[Options]) -> PipelineOptions:
    """Return options for lines."""
    chosen: Options = {"framing": "lines", "shard_rate_limit": OPEN_RATE, **options}
    return PipelineOptions(compression=compression, **chosen)


def begin(world: World) -> None:
    """Give the world a pipeline that can compress, and let it learn of the stream."""
    compression = world.options.compression
    world.pipeline = Pipeline(
        world.options,
        stream_name="s",
        now=world.now,
        jitter=lambda: world.jitter,
        compressor=compressor(compression) if compression else None,
    )
    world.run(0.5)


def read(world: World) -> Counter[bytes]:
    """Return how often a reader of lines sees what."""
    return Counter(event.data for record in world.written for event in deaggregate(record))


def test_keyless_and_keyed_events_arrive_as_lines(compression: Compression | None) -> None:
    """One record for those without a key, and one per shard."""
    world = lines_world(compression)
    world.keyless(b"x\n", b"y", b"z\n")
    for i in range(6):
        world.keyed(b"%d" % i, hash_key=(i % 2) * HALF)
    world.run()
    assert read(world) == Counter([b"x\n", b"y\n", b"z\n", *(b"%d\n" % i for i in range(6))])
    assert len(world.written) == 3
    world.check(delivered=9)


def test_R7_without_a_map_lines_of_one_hash_key_share(compression: Compression | None) -> None:
    """Nothing can be lost that way; what has another key is not led astray."""
    world = World(shards=2, options=options_for(compression))
    world.listing = world.summary = DENIED
    begin(world)
    for i in range(6):
        world.keyed(b"%d" % i, key="ab"[i % 2])
    world.keyless(b"x", b"y")
    world.run()
    assert sorted(map(len, map(deaggregate, world.written))) == [2, 3, 3]
    world.check(delivered=8)


def test_R17_where_the_stream_places_records_lines_go_on_sharing(
    compression: Compression | None,
) -> None:
    """A record of lines is right wherever it lands: no retry, no refresh, no copy."""
    world = World(shards=4, options=options_for(compression), distribution=AUTO)
    begin(world)
    for i in range(100):
        world.keyed(b"%d" % i, key=str(i), waited=True)
    world.keyless(b"x", b"y")
    world.run()
    assert len(world.written) == 2
    assert set(read(world).values()) == {1}
    assert world.questions == {"ListShards": 1, "DescribeStreamSummary": 1}
    world.check(delivered=102)


def test_R18_a_live_switch_costs_lines_nothing(compression: Compression | None) -> None:
    """What lands outside its range is delivered all the same."""
    world = lines_world(compression)
    world.stream.distribution = AUTO
    for _ in range(8):
        for i in range(10):
            world.keyed(b"%d" % i, hash_key=i * (MAX_HASH_KEY // 10))
        world.run(0.5)
    assert set(read(world).values()) == {8}
    world.check(delivered=80)


def test_R1_lines_sent_during_a_split_land_once(compression: Compression | None) -> None:
    """Only the map was wrong, and it is read again."""
    world = lines_world(compression)
    world.split()
    for i in range(50):
        world.keyed(b"%d" % i, key=str(i))
    world.run()
    assert set(read(world).values()) == {1}
    assert world.questions["ListShards"] == 2
    world.check(delivered=50)


def test_F5_of_refused_lines_only_the_culprit_is_dropped(compression: Compression | None) -> None:
    """Each travels again, alone, as a line."""
    world = lines_world(compression)

    def refuse_poison(request: PutRecordsRequest) -> Answered:
        bad = EntryResult(error_code="InvalidArgumentException", error_message="no")
        return Answered(
            [
                bad if b"poison" in entry.data() else world.write_entry(request, i)
                for i, entry in enumerate(request.entries)
            ]
        )

    world.always = refuse_poison
    poison = world.keyed(b"poison", hash_key=0, waited=True)
    others = [world.keyed(b"%d" % i, hash_key=0, waited=True) for i in range(5)]
    world.run()
    assert result_of(poison).reason is DropReason.REJECTED
    assert all(result_of(other).success for other in others)
    assert read(world) == Counter(b"%d\n" % i for i in range(5))
    world.check(delivered=5)


def test_T4_of_lines_under_way_only_the_oldest_expire(compression: Compression | None) -> None:
    """The rest is put together anew."""
    world = lines_world(compression, time_to_live=2.0, linger=0.5)
    world.script.append(hang)
    old = world.keyed(b"old", hash_key=0, waited=True)
    world.run(0.4)
    young = world.keyed(b"young", hash_key=0, waited=True)
    world.run(10)
    assert result_of(old).reason is DropReason.EXPIRED
    assert result_of(young).success
    assert read(world) == Counter([b"young\n"])
    world.check(delivered=1)


def test_lines_that_are_throttled_go_again_as_they_are(compression: Compression | None) -> None:
    """The bytes need not be made anew."""
    world = lines_world(compression)
    world.script.append(lambda request: Answered([THROTTLED] * len(request.wire)))
    world.script.append(refuse(Failure("InternalFailure", "oops", 500)))
    world.keyless(b"x", b"y")
    world.run(5)
    first, second, third = (effect.request.wire[0].data for effect in world.sent)
    assert first == second == third
    assert read(world) == Counter([b"x\n", b"y\n"])
    world.check(delivered=2)


def test_L3_an_event_larger_than_a_shared_record_travels_alone(
    compression: Compression | None,
) -> None:
    """Up to the limit of the stream, which is exact without compression."""
    world = lines_world(compression, record_max_bytes=20_000, aggregate_max_bytes=1000)
    largest = world.pipeline.record_max_bytes - len(b"\n") - 1
    assert largest == (19_998 if compression is None else 20_000 - 78 - 128 - 2)
    for size in (largest, largest + 1):
        world.keyless(bytes(size))
        world.keyed(bytes(size), key="k")
    world.run()
    assert world.lost(DropReason.TOO_LARGE) == 2
    assert read(world) == Counter({bytes(largest) + b"\n": 2})
    world.check(delivered=2)
