"""Routing and resharding (cases R), from put to consumer."""

# ruff: noqa: N802 - the tests carry the names of the cases

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import anyio
import pytest

from kinesink.core.aggregated_record import decode
from kinesink.core.records import ShardId
from kinesink.core.shard_map import CLOSED_SHARD_TIME_TO_LIVE
from kinesink.testing import AccessDenied, Hang, Latency, RequestError, Rewrite
from tests.cases.evidence import aggregated, shard_ids
from tests.cases.scene import APP, HALF, RTT, TOP, new_fake, scene
from tests.core.world import World

if TYPE_CHECKING:
    from kinesink import Outcome
    from kinesink.testing.faults import Answer

LINGER = 0.1
QUARTER = HALF // 2


async def test_R1_a_split_costs_aggregated_events_two_copies_at_most() -> None:
    """Those that fit the child land once, the others once more after a listing."""
    async with scene(shards=1) as s:
        s.fake.split_shard(APP, shard_ids(s.fake)[0])
        for number in range(50):
            s.emit(b"%d" % number, key=str(number))
        await s.until(lambda: s.account().delivered == 50)
        assert len(s.calls("ListShards")) == 1
    assert set(s.copies()) == {b"%d" % number for number in range(50)}
    assert max(s.landed().values()) == 2
    assert s.account().wrong_shard == 1


async def test_R1_a_split_costs_what_travels_alone_nothing() -> None:
    """Kinesis has routed it rightly, only the map was wrong: no retry."""
    async with scene(shards=1, framing="none") as s:
        s.fake.split_shard(APP, shard_ids(s.fake)[0])
        outcomes = [await s.put(b"%d" % number, str(number)) for number in range(50)]
        results = [await outcome.wait() for outcome in outcomes]
        await s.until(lambda: len(s.calls("ListShards")) == 1)
        await anyio.sleep(5)
        assert len(s.calls("ListShards")) == 1
    assert {len(result.attempts) for result in results} == {1}
    assert set(s.landed().values()) == {1}
    assert (s.account().delivered, s.account().retried) == (50, 0)
    assert s.account().wrong_shard == 50


async def test_R2_a_merge_with_a_request_in_flight_duplicates_nothing() -> None:
    """All hash keys lie in the child's range: one copy, one listing."""
    async with scene(rtt=0.2) as s:
        outcomes = [await s.put(b"%d" % n, "k", n) for n in range(10)]
        await anyio.sleep(LINGER + 0.05)
        assert not s.landed()
        s.fake.merge_shards(APP, *shard_ids(s.fake))
        results = [await outcome.wait() for outcome in outcomes]
        assert len(s.calls("ListShards")) == 1
    child = shard_ids(s.fake)
    assert [result.shard_id for result in results] == child * 10
    assert set(s.landed().values()) == {1}
    assert len(s.calls()) == 1


async def test_R3_one_stray_sub_record_has_the_whole_aggregated_record_retried() -> None:
    """Nothing counts on the child that took it, for a consumer drops all of it there."""
    async with scene(shards=1) as s:
        parent = shard_ids(s.fake)[0]
        s.fake.split_shard(APP, parent)
        child = shard_ids(s.fake)
        outcomes = [
            await s.put(data, "k", hash_key)
            for data, hash_key in ((b"low", 0), (b"low too", 1), (b"stray", TOP))
        ]
        await s.until(lambda: len(s.calls()) == 1 and s.account().entries == 1)
        await anyio.sleep(RTT * 0.9)
        assert len(s.fake.dropped_by_kcl(APP)) == 1
        assert (s.account().delivered, s.account().pending) == (0, 3)
        results = [await outcome.wait() for outcome in outcomes]
        listed = s.calls("ListShards")[0].time
        assert s.calls()[0].time < listed < s.calls()[1].time
    assert [result.shard_id for result in results] == [child[0], child[0], child[1]]
    assert [[a.shard_id for a in result.attempts] for result in results] == [
        [child[0], child[0]],
        [child[0], child[0]],
        [child[0], child[1]],
    ]
    assert s.copies() == {b"low": 1, b"low too": 1, b"stray": 1}
    assert s.account().retried == 3


async def test_R4_an_unknown_shard_is_judged_by_the_map_that_knows_it() -> None:
    """The verdict waits for the listing that the wrong prediction has caused."""
    async with scene(shards=1) as s:
        s.fake.split_shard(APP, shard_ids(s.fake)[0])
        s.fake.script(Latency(operation="ListShards", request=3.0))
        outcomes = [await s.put(b"%d" % n, "k", n) for n in range(2)]
        await anyio.sleep(LINGER + RTT + 1.0)
        assert len(s.calls("ListShards")) == 1
        assert [outcome.done for outcome in outcomes] == [False, False]
        assert s.account().pending == 2
        results = [await outcome.wait() for outcome in outcomes]
    # By the parent's range the record would have been retried, by the child's it is right.
    assert len(s.calls()) == 1
    assert [result.shard_id for result in results] == shard_ids(s.fake)[:1] * 2
    assert s.account().retried == 0


async def test_R5_a_hundred_wrong_shards_cause_one_listing_at_a_time() -> None:
    """However many say that the map is wrong; those sent during a listing cause one more."""
    async with scene(shards=1, framing="none") as s:
        s.fake.split_shard(APP, shard_ids(s.fake)[0])
        s.fake.script(Latency(operation="ListShards", request=1.0))
        for number in range(100):
            s.emit(b"%d" % number, key=str(number))
        await anyio.sleep(0.5)
        assert (s.account().wrong_shard, len(s.calls("ListShards"))) == (100, 1)
        for number in range(100):
            s.emit(b"again %d" % number, key=str(number))
        await anyio.sleep(0.5)
        assert (s.account().wrong_shard, len(s.calls("ListShards"))) == (200, 1)
        await anyio.sleep(10)
        first, second = [call.time for call in s.calls("ListShards")]
        assert second - first >= 1.0 + RTT - 1e-6


async def test_R5_an_answer_to_an_old_request_causes_no_listing() -> None:
    """It was sent before the map was read, so it says nothing about the map."""
    async with scene(shards=1, framing="none") as s:
        s.fake.split_shard(APP, shard_ids(s.fake)[0])
        s.fake.script(Latency(operation="PutRecords", answer=3.0, times=1))
        slow = await s.put(b"slow", "k")
        await anyio.sleep(0.5)
        assert (await s.deliver(b"quick", "k")).success
        await anyio.sleep(0.5)
        assert len(s.calls("ListShards")) == 1
        assert not slow.done
        assert (await slow.wait()).success
        assert s.account().wrong_shard == 2
        await anyio.sleep(5)
        assert len(s.calls("ListShards")) == 1


async def test_R6_the_stale_map_serves_until_the_new_one_takes_over() -> None:
    """It keeps routing, aggregating and limiting while a listing fails."""
    async with scene(shards=2, shard_rate_limit=0.05) as s:
        s.fake.script(RequestError("InternalFailure", "oops", 500, operation="ListShards"))
        whole, torn = shard_ids(s.fake)
        s.fake.split_shard(APP, torn)
        began = s.now
        assert (await s.deliver(b"torn", "k", hash_key=TOP)).success
        # Routing and aggregating: each window of the shard that stayed is one record.
        for number in range(10):
            s.emit(b"%d" % number, "k", number)
        await anyio.sleep(1)
        assert len(s.records()) == 2
        # Limiting: 50 records a second, by the old map.
        for number in range(100):
            s.emit(b"%060000d" % number, "k", number)
        await s.settle(within=300)
        taken = [record for record in s.fake.records(APP) if record.shard_id == whole]
        assert sum(len(record.data) for record in taken) <= 0.05 * (1 << 20) * (s.now - began + 2)
        failed = len(s.calls("ListShards"))
        assert failed >= 3
        s.fake.faults.clear()
        await s.until(lambda: s.account().refreshes == 1)
        wrong = s.account().wrong_shard
        for number in range(30):
            s.emit(b"after %d" % number, "k", TOP // 30 * number)
        await anyio.sleep(2)
        assert s.account().wrong_shard == wrong
        late = [record.data for record in s.fake.records(APP)][-3:]
        assert len(aggregated(late)) == 3
    assert not s.fake.dropped_by_kcl(APP)


async def test_R7_without_a_map_only_equal_hash_keys_travel_together() -> None:
    """Different keys are never mixed across shards that nobody knows yet."""
    fake = new_fake(4)
    fake.script(AccessDenied(operation="ListShards"))
    async with scene(fake, warm=False) as s:
        for number in range(20):
            s.emit(b"own %d" % number, key=f"key {number}")
            s.emit(b"same %d" % number, key=f"other {number}", hash_key=7)
        await anyio.sleep(5)
        assert s.account().delivered == 40
    alone = {record.data: record for record in fake.records(APP) if decode(record.data) is None}
    for number in range(20):
        assert alone[b"own %d" % number].partition_key == f"key {number}"
        if (same := alone.get(b"same %d" % number)) is not None:
            assert (same.partition_key, same.explicit_hash_key) == (f"other {number}", 7)
    shared = [sub for data in aggregated(s.records()) for sub in decode(data) or ()]
    assert len(alone) + len(shared) == 40
    assert {sub.explicit_hash_key for sub in shared} <= {7}


async def test_R8_a_listing_of_several_pages_is_read_to_its_end() -> None:
    """Stream, filter and page size come with the first call, the token alone with the others."""
    fake = new_fake(2_500)
    async with scene(fake, warm=False) as s:
        await s.put(b"first")
        await s.until(lambda: s.account().refreshes == 1)
        first, second, third = (call.body for call in s.calls("ListShards"))
        assert first == {
            "StreamName": APP,
            "ShardFilter": {"Type": "AT_LATEST"},
            "MaxResults": 1000,
        }
        for later in (second, third):
            assert set(later) <= {"NextToken", "MaxResults"}
            assert later["NextToken"]
        for shard in fake.open_shards(APP)[::50] + fake.open_shards(APP)[-1:]:
            for hash_key in shard.hash_key_range:
                s.emit(b"%d" % hash_key, "k", hash_key)
    # Two events of one shard share a record, and they do so for shards of every page.
    assert len(aggregated(s.records())) == 51
    assert s.account().wrong_shard == 0


async def test_R9_without_permission_to_list_events_flow_and_nobody_waits() -> None:
    """It is asked again with capped backoff, told once a minute, and harms no other sink."""
    fake = new_fake(2)
    fake.create_stream("healthy", shards=2)
    fake.script(AccessDenied(operation="ListShards", stream=APP))
    async with (
        scene(fake, warm=False) as s,
        scene(fake, warm=False, stream_name="healthy") as other,
    ):
        began = s.now
        for minute in range(10):
            for number in range(10):
                before = s.now
                s.emit(b"%d/%d" % (minute, number), key=str(number))
                await s.put(b"put %d/%d" % (minute, number), key=f"put {number}")
                assert s.now == before
            sent_at = s.now
            assert (await other.deliver(b"%d" % minute, "k", to="healthy")).success
            if minute:
                assert s.now - sent_at <= LINGER + RTT + 1e-6
            await anyio.sleep(began + 60 * (minute + 1) - s.now)
            assert s.account().pending == 0
        asked = [call.time for call in s.calls("ListShards")]
        told = [each for each in s.told if each.kind == "AccessDeniedException"]
    assert not aggregated(s.records())
    waits = [later - earlier for earlier, later in pairwise(asked)]
    assert waits[0] <= 1.1
    assert max(waits) <= 30 + RTT + 1e-6
    assert all(later >= min(earlier, 15) * 0.7 for earlier, later in pairwise(waits))
    assert 6 <= len(told) <= 10
    assert all(later.at - earlier.at >= 60 for earlier, later in pairwise(told))
    assert "kinesis:PutRecords, :ListShards" in told[0].text
    assert not other.told
    assert other.account().retried == 0


@pytest.mark.parametrize("trouble", ["denied", "hangs"])
async def test_R9_trouble_with_one_stream_delays_no_other_of_the_same_producer(
    trouble: str,
) -> None:
    """Each stream has its own map and its own questions."""
    fake = new_fake(2)
    fake.create_stream("ill", shards=2)
    fault = AccessDenied if trouble == "denied" else Hang
    fake.script(fault(operation="ListShards", stream="ill"))
    async with scene(fake) as s:
        ill: list[Outcome] = []
        for number in range(40):
            ill.append(await s.put(b"ill %d" % number, str(number), to="ill"))
            before = s.now
            assert (await s.deliver(b"well %d" % number, str(number))).success
            assert s.now - before <= LINGER + RTT + 1e-6
        assert all([(await outcome.wait()).success for outcome in ill])
    fake.release()


def test_R10_a_closed_shard_is_answered_for_until_its_time_and_then_purged() -> None:
    """Late answers are judged by its range; an id that is listed again is open again."""
    world = World(shards=1)
    world.run(0.5)
    shard_map = world.pipeline._router.shard_map
    parent = ShardId(world.stream.open_shards[0].shard_id)
    world.split()
    listing = world.open_shards()
    shard_map.listed(listing, world.now, 0.0)
    known = shard_map.range_of(parent)
    assert known == (0, TOP)
    world.now += CLOSED_SHARD_TIME_TO_LIVE - 1
    shard_map.listed(listing, world.now, 0.0)
    assert shard_map.range_of(parent) == (0, TOP)
    world.now += 1
    shard_map.listed(listing, world.now, 0.0)
    assert shard_map.range_of(parent) is None


def test_R10_a_shard_that_is_listed_again_is_closed_no_more() -> None:
    """Its time as a closed one ends nothing then."""
    world = World(shards=1)
    world.run(0.5)
    shard_map = world.pipeline._router.shard_map
    before = world.open_shards()
    world.split()
    shard_map.listed(world.open_shards(), world.now, 0.0)
    shard_map.listed(before, world.now + 1, 0.0)
    world.now += 10 * CLOSED_SHARD_TIME_TO_LIVE
    shard_map.listed(before, world.now, 0.0)
    assert shard_map.range_of(before[0].shard_id) == (0, TOP)
    assert shard_map.predict(7) == before[0].shard_id


@pytest.mark.parametrize("hash_key", [0, QUARTER - 1, QUARTER, HALF - 1, HALF, TOP - QUARTER, TOP])
async def test_R11_every_edge_is_predicted_rightly(hash_key: int) -> None:
    """Both ends of a range belong to its shard."""
    async with scene(shards=4) as s:
        assert (await s.deliver(b"edge", "k", hash_key=hash_key)).success
        assert s.account().wrong_shard == 0
        assert len(s.calls("ListShards")) == 0


@pytest.mark.parametrize("left", [0, 1])
async def test_R12_in_a_hole_of_the_listing_events_travel_alone(left: int) -> None:
    """Nothing is predicted there; it is told at most once a minute."""

    def tear(answer: Answer) -> Answer:
        shards = answer["Shards"]
        assert isinstance(shards, list)
        return {**answer, "Shards": shards[:left]}

    fake = new_fake(2)
    fake.script(Rewrite(operation="ListShards", change=tear))
    async with scene(fake, warm=False) as s:
        for second in range(90):
            s.emit(b"hole %d" % second, "high", TOP)
            s.emit(b"more %d" % second, "higher", TOP - 1)
            s.emit(b"low %d" % second, "low", 0)
            s.emit(b"lower %d" % second, "lower", 1)
            await anyio.sleep(2)
        told = [each.at for each in s.told if each.kind == "IncompleteListing"]
    assert s.account().delivered == 360
    in_hole = [record for record in fake.records(APP) if record.shard_id.endswith("1")]
    assert not aggregated([record.data for record in in_hole])
    assert {record.partition_key for record in in_hole} == {"high", "higher"}
    assert bool(aggregated(s.records())) == bool(left)
    assert 2 <= len(told) <= 4
    assert all(later - earlier >= 60 for earlier, later in pairwise(told))


async def test_R1_growth_on_demand_under_load_loses_nothing() -> None:
    """Several reshards in a row, while events with keys and without come in."""
    async with scene(shards=2) as s:
        for turn, shards in enumerate((4, 8, 16, 5, 9)):
            s.fake.update_shard_count(APP, shards)
            for step in range(20):
                for number in range(20):
                    s.emit(b"%d/%d/%d" % (turn, step, number), key=str(number))
                    s.emit(b"keyless %d/%d/%d" % (turn, step, number))
                await anyio.sleep(0.05)
        await s.settle()
        assert s.account().delivered == 5 * 20 * 40
        # Once known, the new shards are used, each by the events of its own keys.
        wrong = s.account().wrong_shard
        for number in range(100):
            s.emit(b"settled %d" % number, key=str(number))
        await anyio.sleep(1)
        assert s.account().wrong_shard == wrong
    assert len(s.copies()) == 5 * 20 * 40 + 100
    assert max(s.landed().values()) <= 3
