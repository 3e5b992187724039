"""What must hold of one producer, whatever happens around it.

Law: what is checked here is told by the pipeline or seen on the wire; the pipeline's own
word is never the proof of itself.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from kinesink.core.records import ATTEMPTS_KEPT, DropReason, UserRecord, is_waited_for
from kinesink.core.retry_policy import Kind, classify_entry, classify_request
from kinesink.testing.simulation.events import SimulatedTicket
from kinesink.testing.simulation.violation import Violation

if TYPE_CHECKING:
    from kinesink.core.effects import Delivered, Dropped
    from kinesink.core.entry import Entry
    from kinesink.core.options import PipelineOptions
    from kinesink.core.pipeline import Pipeline
    from kinesink.core.records import Failure, RecordResult
    from kinesink.testing.simulation.events import Event, Events

__all__ = ["Account"]

#: Looking for what has expired may take so long per event that is pending (see the core).
_SWEEP_SECONDS_PER_EVENT: Final = 20e-6
_ROUNDING: Final = 1e-6

#: Records refused one by one before anything worked, from which on those who wait are told.
_ENOUGH_REFUSED: Final = 8

#: Questions about the stream at most: seconds, and how many in them.
_MOST_QUESTIONS: Final = {
    "ListShards": ((1.0, 6), (60.0, 60)),
    "Describe": ((1.0, 4), (60.0, 30)),
}


class Account:
    """The account of one producer, kept from outside."""

    def __init__(
        self,
        pipeline: Pipeline,
        options: PipelineOptions,
        events: Events,
        smallest_limit: int,
        lag: float,
    ) -> None:
        self._pipeline = pipeline
        self._options = options
        self._events = events
        #: Record limits that the stream has had, and the configuration.
        self.smallest_limit = smallest_limit
        #: What consumers received without data and key.
        self.nameless_received = 0
        #: Whether everything pending was given up once.
        self.abandoned = False
        #: Whether any call of it was ever answered, and calls of one entry that were refused
        #: for what is in it before.
        self.ever_taken = False
        self._refused_alone = 0
        #: By how many seconds it may come late to its work.
        self.lag = lag
        self._delivered = 0
        self._questions: dict[str, deque[float]] = {
            question: deque(maxlen=1 + max(most for _, most in limits))
            for question, limits in _MOST_QUESTIONS.items()
        }
        self._under_way = {"ListShards": 0, "Describe": 0}

    # What the producer does

    def asks(self, question: str, now: float) -> None:
        """Check that a question is not asked twice at a time, nor too often."""
        self._under_way[question] += 1
        if self._under_way[question] > 1:
            raise Violation("questions", f"{question} is asked while it is under way")
        times = self._questions[question]
        times.append(now)
        for window, most in _MOST_QUESTIONS[question]:
            asked = sum(time > now - window for time in times)
            if asked > most:
                raise Violation("questions", f"{question} {asked} times in {window:.0f} s")

    def answered(self, question: str) -> None:
        """Take note of an answer to a question."""
        self._under_way[question] -= 1

    def carries(self, entry: Entry) -> None:
        """Check that nothing is sent that has ended, and take note of the call."""
        for event in self.events_of(entry):
            if event.dropped is not None:
                raise Violation("results", f"{event} is sent, and was given up before")
            if event.throttled and self._options.fail_if_throttled:
                raise Violation("results", f"{event} is sent again, and was to fail at a throttle")
        for ticket in tickets_of(entry):
            ticket.calls += 1
            ticket.under_way += 1

    def carried(self, entry: Entry) -> None:
        """Take note of the outcome of a call."""
        for ticket in tickets_of(entry):
            ticket.under_way -= 1

    # What it tells

    def delivered(self, effect: Delivered, now: float) -> None:
        """Check what somebody is told of a record that has arrived."""
        (event,) = self._events.of(effect.record) or (None,)
        if event is not None and not event.seen:
            raise Violation("delivery", f"{event} is told to be delivered, and nobody received it")
        if not effect.result.success:
            raise Violation("results", f"{event} was delivered, and its result is a failure")
        self._ends(effect.record, effect.result, now, expiries=0)

    def dropped(self, effect: Dropped, now: float) -> None:
        """Check that what was given up has a reason, and that it holds."""
        reason = effect.reason
        for content in effect.contents:
            named = self._events.of(content)
            size = sum(map(len, content.each()))
            self._events.dropped[reason] = self._events.dropped.get(reason, 0) + len(content)
            self._events.dropped_bytes += size
            self._events.nameless_dropped += len(content) - len(named)
            for event in named:
                if event.dropped is not None:
                    raise Violation("results", f"{event} is dropped twice")
                self._check_reason(event, reason, now, waited_for=is_waited_for(content))
                self._events.dropped_one(event, reason)
            if isinstance(content, UserRecord) and is_waited_for(content):
                if effect.result is None or effect.result.success:
                    raise Violation("results", f"{named} ended without a result")
                self._ends(content, effect.result, now, expiries=reason is DropReason.EXPIRED)

    def _check_reason(
        self, event: Event, reason: DropReason, now: float, *, waited_for: bool
    ) -> None:
        age = now - event.arrival
        if reason is DropReason.EXPIRED:
            holds = age >= self._options.time_to_live - _ROUNDING
            self._check_age(event, age)
        elif reason is DropReason.TOO_LARGE:
            holds = event.size + self._frame_bytes >= self.smallest_limit
        elif reason is DropReason.THROTTLED:
            holds = self._options.fail_if_throttled
        elif reason is DropReason.SHUTDOWN:
            holds = self.abandoned
        elif reason in {DropReason.REJECTED, DropReason.INTERNAL}:
            holds = event.refused or (waited_for and self._nothing_works)
        else:
            holds = False
        if not holds:
            raise Violation(
                "reasons", f"{event} is dropped as {reason.value}, {age:.3f} s old, without cause"
            )

    @property
    def _nothing_works(self) -> bool:
        """Whether so much was refused that it cannot be the records."""
        return not self.ever_taken and self._refused_alone >= _ENOUGH_REFUSED

    @property
    def _frame_bytes(self) -> int:
        """What a record of one event may have besides its data and its key, at most."""
        if self._options.framing != "lines":
            return 0
        return 1 if self._options.compression is None else self.smallest_limit // 64 + 200

    def _check_age(self, event: Event, age: float) -> None:
        if age > self.longest_life:
            raise Violation("time to live", f"{event} ended {age:.3f} s after it had arrived")

    @property
    def longest_life(self) -> float:
        """Seconds after its arrival by which an event must have ended."""
        slack = _ROUNDING + self.lag + _SWEEP_SECONDS_PER_EVENT * self._events.added
        return self._options.time_to_live + slack

    def _ends(self, record: UserRecord, result: RecordResult, now: float, expiries: int) -> None:
        ticket = record.ticket
        if not isinstance(ticket, SimulatedTicket):
            raise Violation("results", f"{record!r} has a result that nobody waits for")
        ticket.resolve(result)
        if len(ticket.results) > 1:
            raise Violation("results", f"{self._events.of(record)} was told twice")
        if now > record.arrival + self.longest_life:
            raise Violation("time to live", f"{self._events.of(record)} ended too late")
        calls = ticket.calls + expiries
        if result.reason is DropReason.SHUTDOWN:
            calls -= ticket.under_way
        if len(result.attempts) != min(ATTEMPTS_KEPT, calls):
            raise Violation(
                "attempts",
                f"{self._events.of(record)} has {len(result.attempts)} attempts, "
                f"after {ticket.calls} calls and {expiries} expiries",
            )

    # What Kinesis does

    def refused(self, entries: list[Entry], failure: Failure) -> None:
        """Take note of events that may be given up for the failure of a whole call."""
        kind = classify_request(failure.code, failure.message)
        alone = len(entries) == 1 and not entries[0].shared
        self._refused_alone += kind is Kind.BAD_ENTRY and len(entries) == 1
        may_end = kind in {Kind.PERMANENT, Kind.CLOCK} or (
            kind is Kind.BAD_ENTRY and (alone or not self.ever_taken)
        )
        for entry in entries:
            for event in self.events_of(entry):
                event.refused |= may_end
                event.throttled |= kind is Kind.THROTTLED

    def entry_refused(self, entry: Entry, code: str) -> None:
        """Take note of events that may be given up for the answer to their entry."""
        kind = classify_entry(code)
        for event in self.events_of(entry):
            event.refused |= kind is Kind.BAD_ENTRY and not entry.shared
            event.throttled |= kind is Kind.THROTTLED

    def events_of(self, entry: Entry) -> list[Event]:
        """Return the events of an entry that have a name."""
        return [event for content in entry.contents for event in self._events.of(content)]

    # At every step, and at the end

    def check(self) -> None:
        """Check that the account closes."""
        ledger, events = self._pipeline.ledger, self._events
        dropped = sum(ledger.dropped.values())
        if ledger.accepted != events.added:
            raise Violation("conservation", f"{ledger.accepted} accepted of {events.added}")
        if ledger.accepted != ledger.delivered + dropped + ledger.pending or ledger.pending < 0:
            raise Violation(
                "conservation",
                f"{ledger.accepted} accepted, {ledger.delivered} delivered, {dropped} dropped, "
                f"{ledger.pending} pending",
            )
        ended_bytes = ledger.delivered_bytes + events.dropped_bytes
        if ledger.pending_bytes != events.added_bytes - ended_bytes:
            raise Violation("conservation", f"{ledger.pending_bytes} bytes pending is wrong")
        if ledger.dropped != events.dropped:
            raise Violation("conservation", f"{ledger.dropped} dropped, told {events.dropped}")
        if ledger.delivered > events.received + self.nameless_received:
            raise Violation(
                "delivery",
                f"{ledger.delivered} count as delivered; {events.received} were received and "
                "not given up",
            )
        if ledger.delivered < self._delivered:
            raise Violation("conservation", "the number of deliveries has sunk")
        self._delivered = ledger.delivered

    def check_end(self) -> None:
        """Check that everything has ended, and nothing was lost."""
        self.check()
        ledger, events = self._pipeline.ledger, self._events
        if (ledger.pending, ledger.pending_bytes) != (0, 0) or not ledger.ended(ledger.epoch):
            raise Violation("progress", f"{ledger.pending} events are pending for ever")
        for event in events.all():
            if event.dropped is None and not event.seen:
                raise Violation("delivery", f"{event} was neither received nor given up")
        nameless = events.nameless_added - events.nameless_dropped
        if nameless > self.nameless_received:
            raise Violation("delivery", f"{nameless} empty events, {self.nameless_received} seen")


def tickets_of(entry: Entry) -> list[SimulatedTicket]:
    """Return the tickets of those who wait for records of an entry."""
    return [
        content.ticket
        for content in entry.contents
        if isinstance(content, UserRecord) and isinstance(content.ticket, SimulatedTicket)
    ]
