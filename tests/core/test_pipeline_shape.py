"""What an event costs (cases L7 and P), counted in calls of Python functions."""

# ruff: noqa: N802 - the tests carry the names of the cases

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from kinesink.core.effects import SendRequest
from kinesink.core.limits import MAX_HASH_KEY
from kinesink.core.options import PipelineOptions
from kinesink.core.records import Chunk, UserRecord
from tests.core.entries import keyed, together
from tests.core.world import OPEN_RATE, World
from tests.counting import calls_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Unpack

    from kinesink.core.records import Content
    from tests.core.world import Options


def ready(shards: int = 1, **options: Unpack[Options]) -> World:
    """Return a world whose map is known and whose shards take everything."""
    chosen: Options = {"shard_rate_limit": OPEN_RATE, **options}
    world = World(shards=shards, options=PipelineOptions(**chosen))
    world.run(0.5)
    return world


def cost_of_keyless(world: World, events: int) -> int:
    """Return the calls it takes to deliver keyless events that arrive together."""
    data = [b"x" * 200] * events
    return calls_in(lambda: deliver(world, [Chunk(data, world.now)]))


def deliver(world: World, contents: Sequence[Content]) -> None:
    """Add contents, send them and acknowledge each request."""
    world.add(*contents)
    for effect in world.pipeline.effects(world.now + 0.1):
        assert isinstance(effect, SendRequest)
        world.pipeline.request_done(effect.request, world.write(effect.request), world.now)


def test_P1_a_keyless_event_costs_no_call_and_no_object_of_its_own() -> None:
    """The cost grows with aggregated records, of which each holds some 240 events."""
    few, many = cost_of_keyless(ready(), 1_000), cost_of_keyless(ready(), 20_000)
    assert (many - few) / 19_000 < 0.5


@pytest.mark.parametrize(("at_once", "most"), [(True, 4), (False, 21)])
def test_P1_a_keyed_event_costs_few_calls(*, at_once: bool, most: float) -> None:
    """Of 1,000 keys that come again and again, on four shards, up to the acknowledgement.

    Those that arrive together and that nobody waits for are one content.
    """
    costs = []
    for events in (1_000, 11_000):
        world = ready(4)
        keys = [f"customer-{number}" for number in range(1_000)]
        records = [
            keyed(b"x" * 200, keys[number % 1_000], arrival=world.now) for number in range(events)
        ]
        world.add(*records[:1_000])
        world.run()
        contents = [together(records, world.now)] if at_once else records
        costs.append(calls_in(partial(deliver, world, contents)))
    assert (costs[1] - costs[0]) / 10_000 < most


def test_P2_one_more_event_costs_the_same_whatever_waits() -> None:
    """In an open aggregated record, or behind entries that wait for their turn."""
    costs = []
    # The first of the many fills the caches.
    for waiting in (2_000, 10, 2_000):
        world = ready(linger=60.0, aggregate_max_bytes=1_000_000)
        for i in range(waiting):
            world.keyed(b"%d" % i, key=str(i))
        record = UserRecord(b"x", arrival=world.now, partition_key="x")
        costs.append(calls_in(partial(world.add, record)))
    assert costs[1] == costs[2]
    costs = []
    for waiting in (10, 10_000):
        world = ready(framing="none")
        world.always = lambda _: None
        world.add(*[UserRecord(b"x", arrival=world.now, partition_key="k") for _ in range(waiting)])
        world.run(1)
        record = UserRecord(b"x", arrival=world.now, partition_key="x")

        def more(world: World = world, record: UserRecord = record) -> None:
            world.add(record)
            world.pipeline.effects(world.now)
            world.pipeline.deadline(world.now)

        costs.append(calls_in(more))
    assert costs[1] <= costs[0] + 10


def test_P3_later_arrivals_leave_the_deadline_alone() -> None:
    """The first event of a window sets it."""
    world = ready()
    world.keyless(b"a")
    deadline = world.pipeline.deadline(world.now)
    world.now += 0.05
    world.keyless(b"b")
    world.keyed(b"c")
    assert world.pipeline.deadline(world.now) == deadline


def test_P4_ten_thousand_shards_cost_like_one() -> None:
    """Per keyless event, and per keyed event of one key."""
    few, many = cost_of_keyless(ready(16), 20_000), cost_of_keyless(ready(10_000), 20_000)
    assert many <= 1.3 * few
    costs = []
    for shards in (1, 10_000):
        world = ready(shards)
        records = [
            UserRecord(b"x", arrival=world.now, partition_key=str(i), explicit_hash_key=i)
            for i in range(1000)
        ]
        costs.append(calls_in(partial(world.add, *records)))
    assert costs[1] <= 1.3 * costs[0]


def test_L7_entries_of_many_shards_share_calls() -> None:
    """Keyed events at a low rate on 16 shards leave together."""
    world = World(shards=16)
    world.run(0.5)
    for i in range(600):
        world.keyed(b"%d" % i, hash_key=MAX_HASH_KEY // 16 * (i % 16))
        world.run(1 / 600)
    world.run()
    ledger = world.pipeline.ledger
    assert ledger.entries / ledger.requests >= 4
    world.check(delivered=600)
