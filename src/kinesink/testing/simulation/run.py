"""One seed from its beginning to the moment when everything has ended.

Law: a run ends well, or with what did not hold; after the last fault everything that is
pending ends within a time that follows from how much it is.
"""

from __future__ import annotations

import traceback
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from kinesink.testing.limits import ShardLimits
from kinesink.testing.simulation.memory import holdings
from kinesink.testing.simulation.scenario import draw_scenario
from kinesink.testing.simulation.trace import Trace
from kinesink.testing.simulation.violation import Violation
from kinesink.testing.simulation.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.core.records import UserRecord
    from kinesink.testing.simulation.member import Member

__all__ = ["Outcome", "run_seed"]

#: The containers of a pipeline are looked at so often while there is trouble, and every so
#: many turns of the clock.
_LOOKS: Final = 4
_LOOK_EVERY: Final = 500

#: Seconds after the last fault within which a stream is used again: the longest backoff,
#: and the longest call before it.
_RECOVERY: Final = 90.0

#: A probe is an ordinary log line.
_PROBE_BYTES: Final = 100

#: Seconds after the last fault when probes are sent, and how long one may take.
_PROBED_AFTER: Final = 60.0
_PROBE_TIME: Final = 5.0

#: What a pipeline may hold in its containers: at rest, per event with its attempts, per
#: shard that there ever was.
_BASE_ITEMS: Final = 400
_ITEMS_PER_EVENT: Final = 50
_ITEMS_PER_SHARD: Final = 30

#: Two listings without evidence, and a closed shard is forgotten.
_QUIET: Final = 1500.0

#: Turns of the clock in a run; more is a loop that does not come to rest.
_MOST_TURNS: Final = 3_000_000


class Outcome(NamedTuple):
    """What came of a seed."""

    seed: int
    failure: str | None
    """What did not hold, with the place and the last happenings; None if all did."""
    virtual_seconds: float
    steps: int
    events: int
    delivered: int
    requests: int


def run_seed(seed: int, say: Callable[[str], None] | None = None) -> Outcome:
    """Run a seed.

    :param say: gets every happening as it happens.
    """
    scenario = draw_scenario(seed)
    trace = Trace(scenario.start, say)
    trace.note(scenario.start, "seed %d: %s", seed, scenario)
    world = World(scenario, trace)
    failure = None
    try:
        _run(world)
    except Violation as violation:
        failure = _in_words(world, seed, str(violation))
    except Exception:  # noqa: BLE001 - whatever the core raises is found here
        failure = _in_words(world, seed, f"an error\n{traceback.format_exc()}")
    ledgers = [member.pipeline.ledger for member in world.members]
    return Outcome(
        seed,
        failure,
        world.clock.now - scenario.start,
        trace.step,
        sum(ledger.accepted for ledger in ledgers),
        sum(ledger.delivered for ledger in ledgers),
        sum(ledger.requests for ledger in ledgers),
    )


def _in_words(world: World, seed: int, what: str) -> str:
    elapsed = world.clock.now - world.scenario.start
    return "\n".join(
        [
            f"seed {seed} fails at step {world.trace.step}, after {elapsed:.6f} s: {what}",
            f"  {world.scenario}",
            *(f"  {line}" for line in world.trace.lines()),
            f"  again: python -m kinesink.testing.simulate --seed {seed} --trace",
        ]
    )


def _run(world: World) -> None:
    clock, calm = world.clock, world.scenario.calm
    for member in world.members:
        member.step()
        for time, size in member.traffic.times():
            clock.at(time, partial(_arrive, member, size))
    for part in range(1, _LOOKS + 1):
        at = world.scenario.start + (calm - world.scenario.start) * part / _LOOKS
        clock.at(at, partial(_look, world))
    turns = _turn(world, calm, 0)
    world.trace.note(clock.now, "all faults and changes are over")
    rest, began = _time_to_rest(world), clock.now
    for member in world.members:
        clock.at(began + _PROBED_AFTER, partial(_probe, member))
    turns = _turn(world, began + _PROBED_AFTER + 4 * _PROBE_TIME, turns)
    while _pending(world):
        if clock.next_at > began + rest:
            raise Violation("progress", f"{_pending(world)} events are pending after {rest:.0f} s")
        turns = _turn(world, clock.next_at, turns)
    # Who comes late to its work has not told yet of what has ended.
    turns = _turn(world, clock.now + world.scenario.lag, turns)
    for member in world.members:
        member.account.check_end()
    if world.scenario.seed % 4 == 0:
        _turn(world, clock.now + _QUIET, turns)
        for member in world.members:
            _check_rest(member, world)


def _turn(world: World, until: float, turns: int) -> int:
    """Let time pass, looking at what is held now and then."""
    clock = world.clock
    while clock.next_at <= until:
        clock.advance()
        turns += 1
        if turns % _LOOK_EVERY == 0:
            _look(world)
        if turns > _MOST_TURNS:
            raise Violation("progress", "the simulation does not come to rest")
    clock.now = max(clock.now, min(until, clock.next_at))
    return turns


def _arrive(member: Member, size: int) -> None:
    member.add(member.traffic.batch(size, member.world.clock.now))


def _probe(member: Member) -> None:
    """Send an event that must arrive soon, for all is well again."""
    now = member.world.clock.now
    idle = not _pending(member.world)
    record = member.traffic.waited_for(_PROBE_BYTES, now)
    member.add([record])
    limits = member.world.scenario.limits
    # A large record that was just taken leaves its shard in debt.
    debt = member.world.record_max / limits.bytes_per_second if limits else 0.0
    limit = _PROBE_TIME + debt
    if idle and limit < member.options.time_to_live:
        member.world.clock.at(now + limit, partial(_check_probe, member, record))


def _check_probe(member: Member, record: UserRecord) -> None:
    (event,) = member.events.of(record)
    if not event.seen:
        raise Violation("progress", f"{event} has not arrived, long after the last fault")


def _time_to_rest(world: World) -> float:
    """Return the seconds in which a healthy stream takes all that is pending, one shard alone."""
    scenario = world.scenario
    events = _pending(world)
    size = sum(member.pipeline.ledger.pending_bytes for member in world.members) + 300 * events
    limits = scenario.limits or ShardLimits()
    slowest = min(1.0, *(member.options.shard_rate_limit for member in world.members))
    needed = max(events / limits.records_per_second, size / limits.bytes_per_second)
    return _RECOVERY + _PROBED_AFTER + 5 * needed / slowest


def _look(world: World) -> None:
    for member in world.members:
        _check_memory(member, world)


def _check_memory(member: Member, world: World) -> None:
    """Check that what is held is in proportion to what is pending."""
    held = holdings(member.pipeline)
    pending = member.pipeline.ledger.pending
    named = [event for content in held.contents for event in member.events.of(content)]
    too_old = world.clock.now - member.account.longest_life
    for event in named:
        if event.arrival < too_old and event.dropped is None and not event.seen:
            raise Violation("time to live", f"{event} is still pending")
    there = sum(event.dropped is None for event in named) + member.events.nameless_added
    if there < pending:
        raise Violation("memory", f"{pending} events are pending, {there} are to be found")
    under_way = sum(entry.events for request in member.carried for entry in request.entries)
    shards = len(world.kinesis.stream.shards)
    most = _BASE_ITEMS + _ITEMS_PER_EVENT * (pending + under_way) + _ITEMS_PER_SHARD * shards
    if held.items > most:
        raise Violation("memory", f"{held.items} items for {pending} events, {shards} shards")


def _check_rest(member: Member, world: World) -> None:
    """Check that an idle pipeline has forgotten all but the open shards."""
    held = holdings(member.pipeline)
    if held.contents:
        raise Violation("memory", f"{len(held.contents)} contents are kept after their end")
    dead = held.shard_ids - {shard.shard_id for shard in world.kinesis.stream.open_shards}
    if dead:
        raise Violation("memory", f"{', '.join(sorted(dead))} is remembered and closed")


def _pending(world: World) -> int:
    return sum(member.pipeline.ledger.pending for member in world.members)
