"""Placement (cases R13 to R19): who travels with whom, and on streams that place by themselves."""

# ruff: noqa: N802 - the tests carry the names of the cases

from __future__ import annotations

import gc
import math
from collections import deque
from typing import TYPE_CHECKING

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinesink.core.aggregated_record import decode
from kinesink.core.hash_key import hash_key_of
from kinesink.core.options import PipelineOptions
from kinesink.core.shard_map import CLOSED_SHARD_TIME_TO_LIVE
from kinesink.testing import AccessDenied, Hang, ThrottleEntries
from kinesink.testing.streams import AUTO, USER_PARTITION_KEY
from tests.cases.evidence import aggregated, shard_ids
from tests.cases.scene import APP, HALF, RTT, TOP, new_fake, scene
from tests.core.world import World

if TYPE_CHECKING:
    from kinesink.core.pipeline import Pipeline

LINGER = 0.1
QUARTER = HALF // 2


_CONTAINERS = {dict, list, tuple, set, deque}


def texts_within(*roots: object) -> set[str]:
    """Return every text that some objects hold, however deep."""
    seen: set[int] = set()
    texts: set[str] = set()
    left: list[object] = list(roots)
    while left:
        thing = left.pop()
        if isinstance(thing, str):
            texts.add(thing)
        elif id(thing) not in seen and not isinstance(thing, type):
            seen.add(id(thing))
            kind = type(thing)
            if kind.__module__.startswith("kinesink.core") or kind in _CONTAINERS:
                left += gc.get_referents(thing)
            if isinstance(thing, dict):
                left += thing  # its keys are no referents when all are texts
    return texts


async def test_R13_nothing_is_kept_for_shards_that_are_gone(pipelines: list[Pipeline]) -> None:
    """After many reshards under load, and the time of late answers, no id is left."""
    async with scene(shards=1) as s:
        for turn in range(12):
            s.fake.update_shard_count(APP, (3, 1)[turn % 2])
            for number in range(20):
                s.emit(b"%d/%d" % (turn, number), key=str(number))
                s.emit(b"keyless %d/%d" % (turn, number))
            await anyio.sleep(2)
        assert s.account().pending == 0
        (pipeline,) = pipelines
        closed = {shard.shard_id for shard in s.fake.shards(APP) if not shard.is_open}
        assert len(closed) > 20
        # The limiter lets go at once, the map keeps ranges for late answers for a while.
        assert not closed & texts_within(pipeline._limiter)
        assert closed & texts_within(pipeline._router)
        # The next regular listing comes after seven to nine minutes.
        await anyio.sleep(CLOSED_SHARD_TIME_TO_LIVE + 540)
        await s.deliver(b"at last", "k")
        assert not closed & texts_within(pipeline)


CUTS = st.lists(st.integers(1, TOP), max_size=6)
KEYS = st.sampled_from([None, None, "a", "é", "😀" * 20, "k1", "k2", "k3"])
HASH_KEYS = st.none() | st.integers(0, TOP) | st.sampled_from([0, HALF, TOP])


@given(
    cuts=CUTS,
    events=st.lists(st.tuples(KEYS, HASH_KEYS, st.integers(0, 400)), min_size=1, max_size=60),
    limit=st.sampled_from([256, 2_000, 51_200]),
)
def test_R14_every_key_of_an_aggregated_record_lies_in_its_shard(
    cuts: list[int], events: list[tuple[str | None, int | None, int]], limit: int
) -> None:
    """Whatever the map and the mix of events with keys and without."""
    world = World(shards=1, options=PipelineOptions(aggregate_max_bytes=limit))
    for cut in cuts:
        owner = world.stream.owner(cut)
        if owner.hash_key_range.start != cut:
            world.stream.split(owner, cut, world.now)
    world.run(0.5)
    for key, hash_key, size in events:
        if key is None:
            world.keyless(b"x" * size)
        else:
            world.keyed(b"x" * size, key, hash_key)
    world.run(5)
    shared = 0
    for effect in world.sent:
        for entry, slot in zip(effect.request.entries, effect.request.wire, strict=True):
            assert entry.predicted is not None
            predicted = world.stream.shards[entry.predicted].hash_key_range
            explicit = slot.explicit_hash_key
            outer = hash_key_of(slot.partition_key) if explicit is None else int(explicit)
            assert predicted.contains(outer)
            for sub in decode(slot.data) or ():
                shared += 1
                inner = sub.explicit_hash_key
                assert predicted.contains(
                    hash_key_of(sub.partition_key) if inner is None else inner
                )
    assert world.stray == 0
    assert len(events) == 1 or shared or len(world.written) > 1
    world.check(delivered=len(events))


async def test_R15_keyless_events_fill_one_record_and_move_on() -> None:
    """Over many, every shard takes the same share of them."""
    async with scene(shards=4, shard_rate_limit=math.inf) as s:
        for number in range(4 * 10 * 500):
            s.emit(b"%0100d" % number)
            if number % 2_000 == 0:
                await anyio.sleep(0.01)
        await s.settle()
    by_shard = [
        [record for record in s.fake.records(APP) if record.shard_id == shard_id]
        for shard_id in shard_ids(s.fake)
    ]
    events = [sum(len(decode(r.data) or ()) for r in records) for records in by_shard]
    assert max(events) - min(events) <= 3 * 500
    # Nearly every record is full: 51,200 bytes, of which an event takes 107 at most.
    sizes = sorted(len(data) for data in aggregated(s.records()))
    assert sizes[len(sizes) // 10] > 51_200 - 107


async def test_R15_keyless_events_go_where_there_is_room() -> None:
    """A shard that refuses half of what it gets gets less, the others share the rest."""
    async with scene(shards=3) as s:
        slow, *others = shard_ids(s.fake)
        s.fake.script(ThrottleEntries(shard_id=slow, share=0.5))
        for number in range(3_000):
            s.emit(b"%05000d" % number)
            if number % 100 == 99:
                await anyio.sleep(0.5)
        await s.settle()
    taken = [record.shard_id for record in s.fake.records(APP)]
    low, high = sorted(taken.count(shard_id) for shard_id in others)
    assert high <= 1.25 * low
    assert taken.count(slow) < 0.8 * low


async def test_R16_events_without_key_walk_around_a_throttled_shard() -> None:
    """Those with a key of that shard wait for it and delay nobody else."""
    async with scene(shards=2) as s:
        throttled, fine = shard_ids(s.fake)
        fault = ThrottleEntries(shard_id=throttled)
        s.fake.script(fault)
        waiting = await s.put(b"waits", "k", 0)
        first = len(s.fake.records(APP))
        for number in range(40):
            before = s.now
            s.emit(b"keyless %d" % number)
            assert (await s.deliver(b"fine %d" % number, "k", hash_key=TOP)).success
            assert s.now - before <= LINGER + RTT + 0.03
        await anyio.sleep(3)
        assert not waiting.done
        assert s.account().pending == 1
        assert {record.shard_id for record in s.fake.records(APP)[first:]} == {fine}
        assert all(s.copies()[b"keyless %d" % number] == 1 for number in range(40))
        s.fake.faults.remove(fault)
        assert (await waiting.wait()).shard_id == throttled
        # More than the other shard takes by itself.
        for number in range(200):
            s.emit(b"late %05000d" % number)
        await s.settle()
        late = s.fake.records(APP)[-20:]
        assert {record.shard_id for record in late} == {throttled, fine}


async def test_R17_an_auto_stream_gets_every_event_alone_and_as_fast_as_it_comes() -> None:
    """No aggregation, no limit per shard, and any shard is the right one."""
    fake = new_fake(4, distribution=AUTO)
    async with scene(fake) as s:
        began = s.now
        for number in range(5_000):
            s.emit(b"%d" % number, key=str(number % 7) if number % 2 else None)
        await s.settle()
        # A limiter would take a second and more: 4 shards begin with 250 records/s each.
        assert s.now - began <= 0.5
        await anyio.sleep(10)
        assert not s.calls("ListShards")
    account = s.account()
    assert (account.delivered, account.retried, account.throttled) == (5_000, 0, 0)
    assert account.wrong_shard == 0
    assert not aggregated(s.records())
    assert len(s.records()) == 5_000
    assert not s.told


async def test_R18_a_stream_may_be_switched_to_auto_and_back() -> None:
    """What landed astray is sent again alone; later nothing is aggregated, and then again."""
    fake = new_fake(4, distribution=USER_PARTITION_KEY)
    async with scene(fake) as s:

        async def play(turn: str, seconds: int) -> None:
            for second in range(seconds):
                for number in range(20):
                    s.emit(b"%s %d/%d" % (turn.encode(), second, number), key=str(number))
                await anyio.sleep(1)

        await play("before", 5)
        assert len(aggregated(s.records())) == 5 * 4
        described = len(s.calls("DescribeStreamSummary"))
        fake.set_distribution(APP, AUTO)
        await play("auto", 10)
        assert len(s.calls("DescribeStreamSummary")) > described
        settled = len(s.records())
        retried = s.account().retried
        assert retried > 0
        await play("auto still", 10)
        alone = s.records()[settled:]
        assert not aggregated(alone)
        assert len(alone) == 10 * 20
        assert s.account().retried == retried
        fake.set_distribution(APP, USER_PARTITION_KEY)
        await anyio.sleep(400)
        settled = len(s.records())
        await play("back", 5)
        await anyio.sleep(1)
        assert len(aggregated(s.records()[settled:])) == 5 * 4
    assert s.account().delivered == 30 * 20
    astray = {sub.data for record in fake.dropped_by_kcl(APP) for sub in decode(record.data) or ()}
    assert astray
    assert all(s.copies()[data] >= 1 for data in astray)


async def test_R18_without_permission_to_ask_placements_are_proof_enough() -> None:
    """Ranges never change: a record outside its shard's own, under a fresh map, is AUTO's."""
    fake = new_fake(4, distribution=AUTO)
    fake.script(AccessDenied(operation="DescribeStreamSummary"))
    async with scene(fake) as s:
        for second in range(10):
            for number in range(40):
                s.emit(b"%d/%d" % (second, number), key=str(number))
            await anyio.sleep(1)
        await s.settle()
        assert s.account().retried > 0
        settled, retried = len(s.records()), s.account().retried
        for number in range(200):
            s.emit(b"proven %d" % number, key=str(number))
        await s.settle()
        alone = s.records()[settled:]
        assert (len(alone), aggregated(alone)) == (200, [])
        assert s.account().retried == retried
    assert s.account().delivered == 600
    assert len(s.copies()) == 600


@pytest.mark.parametrize("fault", [Hang, AccessDenied])
async def test_R9_a_short_life_waits_for_no_answer_about_the_stream(
    fault: type[Hang | AccessDenied],
) -> None:
    """Not longer than two seconds, and leaving delivers all."""
    fake = new_fake(2)
    fake.script(fault(operation="ListShards"), fault(operation="DescribeStreamSummary"))
    async with scene(fake, warm=False) as s:
        outcomes = [await s.put(b"%d" % number, str(number)) for number in range(10)]
        began = s.now
    assert anyio.current_time() - began <= 2.0 + LINGER + 2 * RTT
    assert all([(await outcome.wait()).success for outcome in outcomes])
    fake.release()


async def test_R19_without_a_description_one_line_names_the_permission() -> None:
    """The documented safe side: keys are honoured, and a record takes 1 MiB."""
    fake = new_fake(2, max_record_kib=10_240)
    fake.script(AccessDenied(operation="DescribeStreamSummary"))
    async with scene(fake, warm=False) as s:
        for number in range(100):
            s.emit(b"%d" % number, key=str(number))
        await anyio.sleep(30)
        assert s.account().delivered == 100
        assert s.producer.record_max_bytes() == 1 << 20
        (told,) = s.told
    assert "kinesis:DescribeStreamSummary" in told.text
    assert ":DescribeStreamSummary on the stream" in told.text
    assert "1 MiB" in told.text
    assert len(aggregated(s.records())) == 2
