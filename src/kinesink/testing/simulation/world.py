"""The stream of a simulation, its weather and its changes.

Law: what happens here, happens to all producers of the stream alike.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from kinesink.core.limits import KIB
from kinesink.core.records import DropReason
from kinesink.testing.simulation.clock import VirtualClock
from kinesink.testing.simulation.dice import Dice
from kinesink.testing.simulation.faults import Weather
from kinesink.testing.simulation.kinesis import Kinesis
from kinesink.testing.simulation.member import Member
from kinesink.testing.simulation.readers import read
from kinesink.testing.simulation.violation import Violation
from kinesink.testing.streams import AUTO, USER_PARTITION_KEY

if TYPE_CHECKING:
    from kinesink.core.records import EntryResult, PutRecordsEntry
    from kinesink.testing.simulation.events import Event
    from kinesink.testing.simulation.readers import Landed
    from kinesink.testing.simulation.scenario import Change, Scenario
    from kinesink.testing.simulation.trace import Trace
    from kinesink.testing.streams import Shard, StoredRecord

__all__ = ["World"]

_MOST_SHARDS: Final = 40
_LONGEST_SLEEP: Final = 600.0
_RECORD_LIMITS: Final = (16, 32, 64, 1024)


class World:
    """One stream, and everybody who writes to it."""

    def __init__(self, scenario: Scenario, trace: Trace) -> None:
        self.scenario = scenario
        self.trace = trace
        self.clock = VirtualClock(scenario.start)
        self.kinesis = Kinesis(scenario.shards, scenario.limits, scenario.start)
        self.kinesis.stream.distribution = AUTO if scenario.auto else None
        self.kinesis.stream.max_record_kib = scenario.max_record_kib
        self.weather = Weather(scenario.episodes, self.clock, Dice(scenario.seed, 1), trace)
        #: Whether the stream is deleted and not created again yet.
        self.is_gone = False
        #: Whether records may ever be where their hash keys do not belong.
        self.may_place = scenario.auto
        self.members = [Member(number, self) for number in range(len(scenario.options))]
        self._changes = {
            "split": self._split,
            "merge": self._merge,
            "scale": self._scale,
            "record limit": self._limit_records,
            "switch": self._switch,
            "recreate": self._recreate,
            "flush": self._flush,
            "abandon": self._abandon,
            "sleep": self._sleep,
        }
        for change in scenario.changes:
            self.clock.at(change.at, partial(self._change, change))

    @property
    def record_max(self) -> int:
        """The largest record of the stream, in bytes."""
        return self.kinesis.stream.max_record_kib * KIB

    def put(self, member: Member, slot: PutRecordsEntry) -> EntryResult:
        """Write an entry of a producer."""
        return self.kinesis.put(slot, self.clock.now, partial(self._read, member))

    def _read(self, member: Member, shard: Shard, record: StoredRecord) -> None:
        """Let the consumers read a record that a producer has written."""
        for landed in read(shard, record, lines=self.scenario.lines):
            event = member.events.find(landed.data, landed.partition_key)
            if event is None:
                if landed.data:
                    raise Violation("delivery", f"nobody sent {landed.data[:40]!r}")
                member.account.nameless_received += landed.received
                continue
            self._check_keys(event, landed)
            event.copies += 1
            if event.copies > 1 + event.excuses:
                raise Violation(
                    "copies", f"{event} has {event.copies} copies, {event.excuses} are explained"
                )
            # What a producer cannot know of, it cannot make good.
            if landed.received or member.unaware:
                member.events.received_one(event)

    def _check_keys(self, event: Event, landed: Landed) -> None:
        """Check that an event with a key has kept it; lines have none of their own."""
        if event.key is None or self.scenario.lines:
            return
        if (landed.partition_key, landed.explicit_hash_key) != (event.key, event.explicit_hash_key):
            raise Violation(
                "delivery",
                f"{event} has become one of key {landed.partition_key!r} and explicit hash key "
                f"{landed.explicit_hash_key}",
            )

    # What is done to the stream

    def _change(self, change: Change) -> None:
        self.trace.note(self.clock.now, "change: %s", change.what)
        self._changes[change.what](change.draw)
        self.kinesis.changed(self.clock.now)

    def _split(self, draw: float) -> None:
        shards = self.kinesis.stream.open_shards
        if len(shards) < _MOST_SHARDS:
            shard = shards[int(draw * len(shards))]
            owned = shard.hash_key_range
            at = owned.start + 1 + int((owned.end - owned.start - 1) * draw)
            self.kinesis.stream.split(shard, at, self.clock.now)

    def _merge(self, draw: float) -> None:
        shards = self.kinesis.stream.open_shards
        if len(shards) > 1:
            position = int(draw * (len(shards) - 1))
            self.kinesis.stream.merge(shards[position], shards[position + 1], self.clock.now)

    def _scale(self, draw: float) -> None:
        shards = len(self.kinesis.stream.open_shards)
        target = max(1, min(_MOST_SHARDS, int(shards * (0.5 + 1.5 * draw))))
        self.kinesis.stream.scale(target, self.clock.now)

    def _limit_records(self, draw: float) -> None:
        kib = _RECORD_LIMITS[int(draw * len(_RECORD_LIMITS))]
        self.kinesis.stream.max_record_kib = kib
        for member in self.members:
            account = member.account
            account.smallest_limit = min(account.smallest_limit, kib * KIB)

    def _switch(self, draw: float) -> None:
        del draw
        # Without a map there is nothing to tell a placement by: a stream that was
        # described as honouring keys, and does not, is then believed.
        if all(member.shard_map.known for member in self.members):
            auto = self.kinesis.stream.distribution == AUTO
            self.kinesis.stream.distribution = USER_PARTITION_KEY if auto else AUTO
            self.may_place = True

    def _recreate(self, draw: float) -> None:
        if self.is_gone:
            return
        self.is_gone = True
        for member in self.members:
            member.unaware = True
        self.clock.at(self.clock.now + 5.0 + 20.0 * draw, partial(self._create, draw))

    def _create(self, draw: float) -> None:
        self.trace.note(self.clock.now, "change: the stream is created anew")
        self.is_gone = False
        self.may_place = True
        self.kinesis.recreate(1 + int(draw * 8), self.clock.now)

    def _flush(self, draw: float) -> None:
        member = self._one(draw)
        member.note("flush")
        member.pipeline.flush()
        member.step()

    def _abandon(self, draw: float) -> None:
        member = self._one(draw)
        member.account.abandoned = True
        member.pipeline.abandon(DropReason.SHUTDOWN, "the end", self.clock.now)
        member.work()

    def _sleep(self, draw: float) -> None:
        """Suspend everybody's machine for up to ten minutes."""
        for member in self.members:
            member.account.lag += _LONGEST_SLEEP * draw
        self.clock.sleep(_LONGEST_SLEEP * draw)

    def _one(self, draw: float) -> Member:
        return self.members[int(draw * len(self.members))]
