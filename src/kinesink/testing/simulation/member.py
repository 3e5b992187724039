"""One producer of a simulation: its pipeline, its calls, and what they run into.

Law: a call has one outcome, at the latest when its time is up; what it carries may be
written before, or after that, or never.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kinesink.core.effects import Delivered, Dropped
from kinesink.core.pipeline import Pipeline
from kinesink.core.records import Answered, EntryResult, Failure
from kinesink.core.retry_policy import READ_TIMEOUT
from kinesink.core.shard_map import ShardMap
from kinesink.testing.simulation.account import Account
from kinesink.testing.simulation.dice import Dice
from kinesink.testing.simulation.driver import Driver
from kinesink.testing.simulation.events import Events
from kinesink.testing.simulation.failures import GONE, TOO_LATE
from kinesink.testing.simulation.faults import BAD_DATA
from kinesink.testing.simulation.kinesis import STREAM_NAME
from kinesink.testing.simulation.memory import find
from kinesink.testing.simulation.questions import Questions
from kinesink.testing.simulation.readers import pack
from kinesink.testing.simulation.traffic import Traffic
from kinesink.testing.simulation.wire import WireAudit

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.core.collector import PutRecordsRequest
    from kinesink.core.effects import Report, SendRequest
    from kinesink.core.entry import Entry
    from kinesink.core.records import Content, PutRecordsEntry
    from kinesink.testing.simulation.world import World

__all__ = ["Member"]


class _Call:
    """One PutRecords call."""

    __slots__ = ("done", "may_be_written", "request", "results", "sent_at")

    def __init__(self, request: PutRecordsRequest, sent_at: float) -> None:
        self.request = request
        self.sent_at = sent_at
        self.done = False
        #: What became of each entry at the stream, and whether it was written; empty before.
        self.results: list[tuple[EntryResult, bool]] = []
        #: Whether it may arrive there after its outcome.
        self.may_be_written = True


class Member:
    """A producer on the clock of the simulation."""

    def __init__(self, number: int, world: World) -> None:
        scenario = world.scenario
        self.number = number
        self.world = world
        self.options = scenario.options[number]
        self.dice = Dice(scenario.seed, 10 + number)
        self.events = Events(number, lines=scenario.lines)
        self.traffic = Traffic(scenario, self.events, Dice(scenario.seed, 100 + number))
        self.pipeline = Pipeline(
            self.options,
            stream_name=STREAM_NAME,
            now=world.clock.now,
            jitter=Dice(scenario.seed, 200 + number).draw,
            compressor=pack if scenario.packs else None,
        )
        smallest = min(self.options.record_max_bytes or world.record_max, world.record_max)
        self.account = Account(self.pipeline, self.options, self.events, smallest, scenario.lag)
        self.wire = WireAudit(self.options)
        self.shard_map = find(self.pipeline, ShardMap)
        self._driver = Driver(self.pipeline, world.clock, self)
        self.questions = Questions(self)
        self._works_soon = False
        self._generation = 0
        #: Whether it cannot know yet that its stream was created anew.
        self.unaware = False
        self.carried: dict[PutRecordsRequest, None] = {}

    def step(self) -> None:
        """Let the pipeline do what is to be done now, or soon, and check everything then."""
        if not self.world.scenario.lag:
            self.work()
        elif not self._works_soon:
            self._works_soon = True
            self.later(self.dice.between(0.0, self.world.scenario.lag), self.work)

    def work(self) -> None:
        """Let the pipeline do now what is to be done."""
        self._works_soon = False
        self._driver.step()
        self.account.check()

    def look_at_map(self) -> None:
        """Let the audit of the wire know which shards the producer knows."""
        if self.shard_map.generation != self._generation:
            self._generation = self.shard_map.generation
            self.wire.knows({shard.shard_id: shard.range for shard in self.shard_map.shards})

    def add(self, contents: list[Content]) -> None:
        """Let events arrive."""
        self.note("%d events arrive", sum(map(len, contents)))
        self.pipeline.add(contents, self.world.clock.now)
        self.step()

    def note(self, words: str, *values: object) -> None:
        """Write something down."""
        self.world.trace.note(self.world.clock.now, f"producer {self.number}: {words}", *values)

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Let something happen later."""
        self.world.clock.at(self.world.clock.now + seconds, action)

    def latency(self) -> float:
        """Return how long one way takes."""
        slow = self.world.weather.strikes("slow")
        factor = slow.amount if slow else 1.0
        return self.world.scenario.latency * factor * self.dice.between(0.25, 0.75)

    # What the pipeline asks for

    def send(self, effect: SendRequest) -> None:
        """Make a call of PutRecords."""
        now, request = self.world.clock.now, effect.request
        self.note("PutRecords, %d entries, %d bytes", len(request.wire), request.size)
        self.wire.sent(request, effect.timeout, self.pipeline.record_max_bytes, now)
        for entry in request.entries:
            self.account.carries(entry)
        self.carried[request] = None
        call = _Call(request, now)
        there = self.latency()
        lost = self.world.weather.strikes("lose")
        if lost is None:
            self.later(there, partial(self._arrive, call))
            self.later(effect.timeout, partial(self._fail, call, TOO_LATE))
            return
        call.may_be_written = lost.written
        if lost.written:
            late = self.dice.chance(0.2)
            self.later(there + (effect.timeout if late else 0), partial(self._write, call))
        hangs = lost.code == READ_TIMEOUT
        ends = effect.timeout if hangs else min(effect.timeout, there + self.latency())
        self.later(ends, partial(self._fail, call, lost.failure()))

    def list_shards(self) -> None:
        """Make a call of ListShards."""
        self.questions.list_shards()

    def describe(self) -> None:
        """Make a call of DescribeStreamSummary."""
        self.questions.describe()

    def told(self, effect: Delivered | Dropped | Report) -> None:
        """Take what the pipeline has to say."""
        now = self.world.clock.now
        if isinstance(effect, Delivered):
            self.account.delivered(effect, now)
        elif isinstance(effect, Dropped):
            events = sum(map(len, effect.contents))
            self.note("%d events dropped, %s: %s", events, effect.reason.value, effect.error)
            self.account.dropped(effect, now)
        else:
            self.note("report %s", effect.text)

    # At the stream

    def _arrive(self, call: _Call) -> None:
        """Let the service answer a request as a whole, or entry by entry."""
        weather = self.world.weather
        refusal = weather.strikes("refuse")
        failure = refusal.failure() if refusal else self._refused_for_data(call.request)
        if self.world.is_gone:
            failure = GONE
            self.unaware = False
        if failure is not None:
            call.may_be_written = False
            self.later(self.latency(), partial(self._fail, call, failure))
            return
        self._write(call)
        results = [result for result, _ in call.results]
        miscounted = weather.strikes("count")
        if miscounted is not None:
            results = results[:-1] if miscounted.amount < 0 else [*results, results[0]]
        self.later(self.latency(), partial(self._answer, call, results))

    def _refused_for_data(self, request: PutRecordsRequest) -> Failure | None:
        """Return what a request is refused with for one record of it."""
        scenario = self.world.scenario
        if scenario.oversize_fails_entry:
            return None
        if any(self._is_bad(*each) for each in zip(request.entries, request.wire, strict=True)):
            return Failure(BAD_DATA[scenario.seed % len(BAD_DATA)], "a record is wrong")
        return None

    def _is_bad(self, entry: Entry, slot: PutRecordsEntry) -> bool:
        if len(slot.data) + len(slot.partition_key.encode()) > self.world.record_max:
            return True
        scenario = self.world.scenario
        return scenario.poison > 0 and any(event.poison for event in self.account.events_of(entry))

    def _write(self, call: _Call) -> None:
        """Write what can be written."""
        for entry, slot in zip(call.request.entries, call.request.wire, strict=True):
            call.results.append(self._write_entry(entry, slot))

    def _write_entry(self, entry: Entry, slot: PutRecordsEntry) -> tuple[EntryResult, bool]:
        if self.world.is_gone:
            return EntryResult(error_code=GONE.code), False
        if self._is_bad(entry, slot):
            return EntryResult(error_code="InvalidArgumentException", error_message="bad"), False
        fault = self.world.weather.strikes("entries")
        if fault is not None:
            if fault.written:
                self.world.put(self, slot)
            return fault.entry_result(), fault.written
        result = self.world.put(self, slot)
        return result, result.success

    # Outcomes

    def _answer(self, call: _Call, results: list[EntryResult]) -> None:
        if call.done:
            return
        request = call.request
        refused = sum(not result.success for result in results)
        self.note("answer, %d results, %d of them errors", len(results), refused)
        right = len(results) == len(request.wire)
        self.account.ever_taken |= right
        for entry, (result, written) in zip(request.entries, call.results, strict=True):
            if right and not result.success:
                self.account.entry_refused(entry, result.error_code or "")
            if written and not (right and result.success and not self._ambiguous(entry, result)):
                self._excuse(entry)
        self._done(call, Answered(results))

    def _ambiguous(self, entry: Entry, result: EntryResult) -> bool:
        """Tell whether an aggregated record may have to be sent again although it was taken."""
        if not entry.aggregated:
            return False
        return result.shard_id != entry.predicted or self.world.may_place or self.unaware

    def _fail(self, call: _Call, failure: Failure) -> None:
        if call.done:
            return
        request = call.request
        self.note("PutRecords fails, %s", failure.code)
        written = [True] * len(request.entries) if call.may_be_written else []
        if call.results:
            written = [each for _, each in call.results]
        for entry, was_written in zip(request.entries, written, strict=False):
            if was_written:
                self._excuse(entry)
        self.account.refused(request.entries, failure)
        self.wire.refused(request)
        self._done(call, failure)

    def _excuse(self, entry: Entry) -> None:
        for event in self.account.events_of(entry):
            event.excuses += 1

    def _done(self, call: _Call, outcome: Answered | Failure) -> None:
        call.done = True
        for entry in call.request.entries:
            self.account.carried(entry)
        del self.carried[call.request]
        self.pipeline.request_done(call.request, outcome, self.world.clock.now)
        self.look_at_map()
        self.step()
