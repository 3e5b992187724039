"""One producer of a fleet: always events at hand, and a count of what the shards took."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from kinesink.core.limits import MIB, SHARD_BYTES_PER_SECOND
from kinesink.core.pipeline import Pipeline
from kinesink.core.records import Answered, Chunk, EntryResult, UserRecord
from kinesink.testing.simulation.driver import Driver
from kinesink.testing.simulation.kinesis import STREAM_NAME, put_of

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from kinesink.core.collector import PutRecordsRequest
    from kinesink.core.effects import Delivered, Dropped, Report, SendRequest
    from kinesink.core.records import PutRecordsEntry
    from kinesink.testing.simulation.clock import VirtualClock
    from kinesink.testing.simulation.fleet import FleetPlan
    from kinesink.testing.simulation.kinesis import Kinesis

__all__ = ["FleetMember", "FleetPlace", "Tally"]

#: A saturated producer has events for so many seconds at its fair share, and so many
#: bytes at least.
_BACKLOG_SECONDS: Final = 2.0
_SMALLEST_BACKLOG: Final = MIB

#: What a storm answers.
_THROTTLED: Final = EntryResult(
    error_code="ProvisionedThroughputExceededException", error_message="a storm"
)

#: Events arrive as often as a real producer drains its intake.
_DRAIN_INTERVAL: Final = 0.02


class Tally:
    """What was counted since the beginning of the measured window."""

    def __init__(self, producers: int) -> None:
        self._number = producers
        self.reset()

    def reset(self) -> None:
        """Count from 0."""
        #: Records and bytes that each shard took.
        self.shards: dict[str, list[int]] = {}
        #: Bytes of each producer.
        self.producers = [0] * self._number
        self.entries = 0
        self.refused = 0
        self.requests = 0

    def count(self, producer: int, size: int, result: EntryResult) -> None:
        """Count an entry and what was answered to it."""
        self.entries += 1
        if result.shard_id is None:
            self.refused += 1
            return
        used = self.shards.setdefault(result.shard_id, [0, 0])
        used[0] += 1
        used[1] += size
        self.producers[producer] += size


class FleetPlace(NamedTuple):
    """What a producer finds around it."""

    number: int
    plan: FleetPlan
    clock: VirtualClock
    kinesis: Kinesis
    tally: Tally
    draw: random.Random
    keys: dict[str, list[int]]
    """Hash keys of each shard; empty for events without keys."""


class FleetMember:
    """A producer on the clock of the fleet."""

    def __init__(self, place: FleetPlace) -> None:
        self._place = place
        plan = place.plan
        self.pipeline = Pipeline(
            plan.options,
            stream_name=STREAM_NAME,
            now=place.clock.now,
            jitter=place.draw.random,
        )
        self._driver = Driver(self.pipeline, place.clock, self)
        self._event = b"x" * plan.event_bytes
        share = SHARD_BYTES_PER_SECOND / plan.producers * _BACKLOG_SECONDS
        groups = max(1, len(place.keys))
        total = max(_SMALLEST_BACKLOG, share * plan.shards)
        #: Events that wait while the shards are saturated: in all, or for each shard.
        self._backlog = int(total / groups / plan.event_bytes)
        #: Events that were added for each shard and are not written yet.
        self._waiting = dict.fromkeys(place.keys, 0)
        self._owed = 0.0

    def begin(self) -> None:
        """Have events from now on."""
        self._drain()

    def _drain(self) -> None:
        """Take in what has arrived since the last time."""
        plan = self._place.plan
        if plan.rate is None:
            self._fill_up()
        else:
            self._owed += plan.rate * _DRAIN_INTERVAL
            self._add_keyless(int(self._owed))
            self._owed -= int(self._owed)
        self._driver.step()
        self._place.clock.at(self._place.clock.now + _DRAIN_INTERVAL, self._drain)

    def _fill_up(self) -> None:
        if not self._waiting:
            self._add_keyless(self._backlog - self.pipeline.ledger.pending)
        for shard_id, waiting in self._waiting.items():
            self._add_keyed(shard_id, self._backlog - waiting)

    def _add_keyless(self, events: int) -> None:
        if events > 0:
            now = self._place.clock.now
            self.pipeline.add([Chunk([self._event] * events, now)], now)

    def _add_keyed(self, shard_id: str, events: int) -> None:
        now = self._place.clock.now
        hash_keys = self._place.keys[shard_id]
        self._waiting[shard_id] += max(0, events)
        self.pipeline.add(
            [
                UserRecord(
                    self._event,
                    arrival=now,
                    partition_key="key",
                    explicit_hash_key=hash_keys[number % len(hash_keys)],
                )
                for number in range(events)
            ],
            now,
        )

    # What the pipeline asks for

    def send(self, effect: SendRequest) -> None:
        """Let the request arrive after half a round trip, and its answer after another."""
        self._later(partial(self._arrive, effect.request))

    def list_shards(self) -> None:
        """Answer after a round trip."""
        self._later(lambda: self._later(self._listed))

    def describe(self) -> None:
        """Answer after a round trip."""
        self._later(lambda: self._later(self._described))

    def told(self, effect: Delivered | Dropped | Report) -> None:
        """Nobody waits for anything."""

    def _later(self, action: Callable[[], None]) -> None:
        delay = self._place.plan.latency * (0.5 + self._place.draw.random()) / 2
        self._place.clock.at(self._place.clock.now + delay, action)

    def _arrive(self, request: PutRecordsRequest) -> None:
        place = self._place
        place.tally.requests += 1
        results = []
        for entry, slot in zip(request.entries, request.wire, strict=True):
            result = self._put(slot)
            place.tally.count(place.number, put_of(slot).size, result)
            if self._waiting and result.shard_id is not None:
                self._waiting[result.shard_id] -= entry.events
            results.append(result)
        self._later(partial(self._answered, request, Answered(results)))

    def _put(self, slot: PutRecordsEntry) -> EntryResult:
        place = self._place
        plan, now = place.plan, place.clock.now
        if plan.storm and plan.storms(now) and place.draw.random() < plan.storm:
            return _THROTTLED
        return place.kinesis.put(slot, now)

    def _answered(self, request: PutRecordsRequest, answer: Answered) -> None:
        self.pipeline.request_done(request, answer, self._place.clock.now)
        self._driver.step()

    def _listed(self) -> None:
        self.pipeline.shards_listed(self._place.kinesis.listing(), self._place.clock.now)
        self._driver.step()

    def _described(self) -> None:
        self.pipeline.stream_described(self._place.kinesis.summary(), self._place.clock.now)
        self._driver.step()
