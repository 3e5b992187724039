"""The one task that drains the intake, performs the core's effects, and sleeps.

Law: the core decides, this file does what it says. There is one task for the loop
and one per call to Kinesis; none per event. Whatever a call, a callback or a stage
raises, the task goes on. After an idle moment it sleeps until a deadline of the core
or until it is woken.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import anyio

from kinesink.core.effects import (
    Delivered,
    DescribeStream,
    Dropped,
    ListShards,
    SendRequest,
)
from kinesink.core.pipeline import Pipeline
from kinesink.core.records import DropReason, UserRecord
from kinesink.core.retry_policy import OWN_ERROR
from kinesink.shell import origin
from kinesink.shell.account import total
from kinesink.shell.arrivals import contents_of
from kinesink.shell.caller import Caller
from kinesink.shell.intake import KeyedEvent
from kinesink.shell.process_exit import process_exit
from kinesink.shell.reporter import events_in_words, not_delivered
from kinesink.shell.stream import ends_only
from kinesink.shell.streams import Streams
from kinesink.shell.submission import failed
from kinesink.shell.wakeup import WakeUp
from kinesink.statistics import combine

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.config import Config
    from kinesink.core.effects import Effect
    from kinesink.core.ledger import Ledger
    from kinesink.core.records import Content, Ticket
    from kinesink.shell.caller import Call
    from kinesink.shell.flush import Flush
    from kinesink.shell.intake import Intake, Item
    from kinesink.shell.kinesis import KinesisClient
    from kinesink.shell.reporter import Reporter
    from kinesink.shell.stream import Stream
    from kinesink.statistics import Statistics

Result = TypeVar("Result")

#: While events flow the intake is looked at this often, so that callers need not wake
#: anybody: a fraction of the linger, at most this many seconds.
_LONGEST_NAP: Final = 0.02
_NAP_PER_LINGER: Final = 0.2

#: Seconds the loop rests after an error of its own, so that it cannot spin.
_REST_AFTER_ERROR: Final = 0.1


class ProducerTask:
    """Everything that happens in the producer's own task. Not thread-safe."""

    def __init__(
        self, config: Config, client: KinesisClient, intake: Intake, reporter: Reporter
    ) -> None:
        """Bind to the running event loop; :meth:`run` must follow."""
        self._config = config
        self._intake = intake
        self._reporter = reporter
        self._caller = Caller(config, client, self._report_own)
        #: The streams in use, by name.
        self.streams = Streams(config)
        self._flushes: list[Flush] = []
        self._nap = min(_LONGEST_NAP, config.linger * _NAP_PER_LINGER)
        #: What previous producers over the same intake have settled.
        self._past = intake.settled()
        #: Outcomes of calls, to be taken in by the next turn.
        self._completions: deque[Callable[[], None]] = deque()
        self._takes_in = True
        self._added = False
        self._attentive = False
        self._life = anyio.CancelScope(shield=True)
        self._wake = WakeUp()
        #: Called at the end of each turn.
        self.turned: Callable[[], None] = _do_nothing
        #: When the task will look again by itself; infinite when it must be woken.
        self.looks_at = -math.inf
        #: What is pending: events, their data and overhead in bytes, and in how many streams.
        self.held_events = 0
        self.held_streams = 0
        self.held_bytes = 0
        intake.attach(self._wake)

    # -- for the producer, in the same loop ------------------------------------

    async def run(self) -> None:
        """Work until :meth:`stop`, whatever is cancelled around the caller."""
        origin.OWN.set(True)
        # Shielded: cancelled with the body of `async with` it could resolve nothing, and a
        # task that waits for its outcome in a shield of its own would wait for ever.
        with self._life:
            async with anyio.create_task_group() as self._calls:
                while True:
                    await self._wake.wait_until(self._guarded_turn())

    def stop(self) -> None:
        """End the task and every call under way."""
        self._life.cancel()

    def add(self, record: UserRecord, ticket: Ticket, stream_name: str, now: float) -> None:
        """Take a user record in; its ticket will be resolved."""
        stream = self.streams.use(stream_name, now)
        held_bytes = stream.held_bytes
        self.held_streams += not stream.held_events
        stream.hold(record)
        self.held_bytes += stream.held_bytes - held_bytes
        self.held_events += 1
        self._added = True
        stream.expect(record, ticket)
        self._add(stream, [record], now)
        if not self._attentive:
            self.looks_at = now
            self._wake.set()

    def close_intake(self) -> None:
        """Take in what is there, and nothing that comes later: that is the next task's."""
        if self._takes_in:
            self._take_in(anyio.current_time())
            self._takes_in = False

    def begin_flush(self, flush: Flush) -> None:
        """Let nothing linger that was taken in; ``flush.done`` is called when it has ended."""
        # Known before it covers anything: what a pipeline that fails at this leaves to its
        # successor is covered there.
        self._flushes.append(flush)
        now = anyio.current_time()
        for stream in self.streams:
            self._cover(stream, flush, now)
        self._wake.set()

    def _cover(self, stream: Stream, flush: Flush, now: float) -> None:
        self._guarded(stream, lambda _: flush.cover(stream), now)

    def record_max_bytes(self, stream_name: str) -> int | None:
        """Return the largest record of a stream, in bytes; None while it was not used."""
        stream = self.streams.get(stream_name)
        return stream.pipeline.record_max_bytes if stream else None

    @property
    def last_error(self) -> str | None:
        """The last failure of a call to Kinesis, in words. Safe from any thread."""
        errors = [stream.pipeline.last_error for stream in list(self.streams)]
        return next((error for error in errors if error), None)

    def statistics(self, stream_name: str | None) -> Statistics:
        """Return the account of a stream, or of all of them."""
        return self.streams.statistics(stream_name)

    def abandon(self, timeout: float) -> None:
        """Give up all that is pending, and say how much that is.

        :param timeout: seconds that it has been waited for.
        """
        now = anyio.current_time()
        for stream in self.streams:
            ledger, last_error = stream.pipeline.ledger, stream.pipeline.last_error
            lost, lost_bytes = ledger.pending, ledger.pending_bytes
            self._abandon(stream, timeout, now)
            if lost:
                text = not_delivered(lost, lost_bytes, stream.name, timeout, last_error)
                if process_exit.leaving:
                    # No later report would tell of it.
                    self._reporter.say("shutdown", text)
                else:
                    self._reporter.report("shutdown", text, now, about=stream.name)
        self._settle()
        self._finish_flushes()

    def _abandon(self, stream: Stream, timeout: float, now: float) -> None:
        error = f"not delivered within {timeout:g} s of closing"
        if stream.pipeline.last_error:
            error += f"; last error: {stream.pipeline.last_error}"
        give_up = partial(Pipeline.abandon, reason=DropReason.SHUTDOWN, error=error, now=now)
        # Twice, because a pipeline that fails at this leaves its events to another one.
        for _ in range(2):
            self._guarded(stream, give_up, now)
            effects = self._guarded(stream, partial(Pipeline.effects, now=now), now) or []
            for effect in ends_only(effects):
                # How many nobody waits for is told in one sum.
                if not isinstance(effect, Dropped) or effect.result is not None:
                    self._perform(stream, effect, now)

    # -- the task --------------------------------------------------------------

    def _guarded_turn(self) -> float:
        try:
            self.looks_at = self._turn()
        except Exception as error:  # noqa: BLE001 - the task must survive whatever it is
            self._report_own(self._config.stream_name, error)
            self.looks_at = anyio.current_time() + _REST_AFTER_ERROR
        return self.looks_at

    def _turn(self) -> float:
        """Do all there is to do now; return when to look again."""
        now = anyio.current_time()
        busy = (self._takes_in and self._take_in(now)) or self._added
        self._added = False
        while self._completions:
            self._completions.popleft()()
        deadline = min((self._advance(stream, now) for stream in self.streams), default=math.inf)
        self.streams.tidy(now)
        self._settle()
        self._finish_flushes()
        self.turned()
        self._attentive = busy and self._nap > 0
        if self._attentive:
            return min(deadline, now + self._nap)
        if self._takes_in:
            self._intake.awake = False
            if self._intake.waiting:
                self._intake.awake = True
                return now
        return deadline

    def _take_in(self, now: float) -> bool:
        """Move the intake into the pipelines; return whether there were any events."""
        commands = self._intake.take_commands()
        items, refused = self._intake.take()
        if items or refused:
            stream = self.streams.use(self._config.stream_name, now)
            self._take_events(stream, items, refused, now)
        self._settle()
        for command in commands:
            command(self)
        return bool(items)

    def _take_events(
        self, stream: Stream, items: list[Item], refused: list[DropReason], now: float
    ) -> None:
        try:
            contents, errors = contents_of(items, now)
        except Exception as error:  # noqa: BLE001 - what was taken out must be in the account
            contents, errors = [], []
            refused = [*refused, *self._give_up(stream, items, error)]
        for content in contents:
            if isinstance(content, UserRecord) and content.ticket is not None:
                stream.expect(content, content.ticket)
        self._add(stream, contents, now)
        reasons = Counter(refused)
        reasons[DropReason.INVALID] += len(errors)
        for reason in reasons.elements():
            stream.pipeline.ledger.refused(reason)
        # Counted before anybody is told, so that telling cannot cost an event.
        self._settle()
        for reason in set(refused):
            self._lost(stream, reason, reasons[reason], "refused when logged", now)
        if errors:
            self._lost(stream, DropReason.INVALID, len(errors), errors[0], now)

    def _give_up(self, stream: Stream, items: list[Item], error: Exception) -> list[DropReason]:
        self._report_own(stream.name, error)
        for item in items:
            if isinstance(item, KeyedEvent) and item.ticket is not None:
                item.ticket.resolve(
                    failed(DropReason.INTERNAL, f"an error of kinesink's own, {error!r}")
                )
        return [DropReason.INTERNAL] * len(items)

    def _advance(self, stream: Stream, now: float) -> float:
        """Do what one stream asks for; return when it asks again."""
        if now < stream.due_at:
            return stream.due_at
        effects = self._guarded(stream, partial(Pipeline.effects, now=now), now)
        for effect in effects or ():
            self._perform(stream, effect, now)
        deadline = self._guarded(stream, partial(Pipeline.deadline, now=now), now)
        if effects is None or deadline is None:
            deadline = now + _REST_AFTER_ERROR
        stream.due_at = deadline
        return deadline

    def _add(self, stream: Stream, contents: list[Content], now: float) -> None:
        def add(pipeline: Pipeline) -> None:
            expected = pipeline.ledger.accepted + sum(map(len, contents))
            try:
                pipeline.add(contents, now)
            except Exception:
                for _ in range(expected - pipeline.ledger.accepted):
                    pipeline.ledger.refused(DropReason.INTERNAL)
                raise

        self._guarded(stream, add, now)

    def _guarded(
        self, stream: Stream, verb: Callable[[Pipeline], Result], now: float
    ) -> Result | None:
        """Have the pipeline do something; if it fails at that go on with another."""
        stream.touch()
        try:
            return verb(stream.pipeline)
        except Exception as error:  # noqa: BLE001 - the task must survive any stage
            self._report_own(stream.name, error)
            self._restart(stream, error, now)
            return None

    def _restart(self, stream: Stream, error: Exception, now: float) -> None:
        lost, moved, ends = stream.restart(error, now)
        for effect in ends:
            self._perform(stream, effect, now)
        if lost:
            text = f"an error of kinesink's own, {error!r}"
            self._lost(stream, DropReason.INTERNAL, lost, text, now)
        for flush in self._flushes:
            flush.uncover(stream)
        if moved:
            self._add(stream, moved, now)
            for flush in self._flushes:
                self._cover(stream, flush, now)
        self._wake.set()

    def _settle(self) -> None:
        """Publish the account for other threads, and what is held."""
        ledgers: list[Ledger] = []
        self.held_bytes = self.held_events = self.held_streams = 0
        for stream in self.streams:
            stream.settle()
            ledgers += stream.frozen_ledgers
            self.held_bytes += stream.held_bytes
            self.held_events += stream.held_events
            self.held_streams += stream.held_events > 0
        account = partial(_account, self._past, self.streams.past, ledgers)
        self._intake.settle(account, self.held_bytes, self.held_events)

    def _perform(self, stream: Stream, effect: Effect, now: float) -> None:
        match effect:
            case SendRequest() | ListShards() | DescribeStream():
                stream.calls += 1
                self._calls.start_soon(self._call, stream, stream.pipeline, effect)
            case Delivered():
                stream.resolve(effect.record, effect.result)
            case Dropped():
                self._dropped(stream, effect, now)
            case _:
                about = f"{stream.name} {effect.operation}"
                self._reporter.report(effect.kind, effect.text, now, about=about)

    def _dropped(self, stream: Stream, drop: Dropped, now: float) -> None:
        if drop.result is None:
            self._lost(stream, drop.reason, sum(map(len, drop.contents)), drop.error, now)
            return
        for content in drop.contents:
            stream.resolve(content, drop.result)

    def _lost(
        self, stream: Stream, reason: DropReason, events: int, error: str, now: float
    ) -> None:
        text = f"stream {stream.name!r}: {events_in_words(events)} dropped, {error}"
        self._reporter.report(f"dropped:{reason.value}", text, now, about=stream.name)

    def _finish_flushes(self) -> None:
        flushes, self._flushes = self._flushes, []
        for flush in flushes:
            if flush.ended():
                flush.done()
            elif not flush.given_up:
                self._flushes.append(flush)

    # -- calls to Kinesis ------------------------------------------------------

    async def _call(self, stream: Stream, pipeline: Pipeline, call: Call) -> None:
        origin.suppress_spans()
        outcome = await self._caller.make(stream.name, call)
        self._completions.append(partial(self._take_outcome, stream, pipeline, outcome))
        self._wake.set()

    def _take_outcome(
        self, stream: Stream, pipeline: Pipeline, outcome: Callable[[Pipeline], None]
    ) -> None:
        stream.calls -= 1
        # The outcome of a pipeline that has failed since says nothing to its successor.
        if stream.pipeline is pipeline:
            self._guarded(stream, outcome, anyio.current_time())

    def _report_own(self, stream_name: str, error: Exception) -> None:
        text = f"stream {stream_name!r}: an error of kinesink's own, {error!r}"
        self._reporter.report(OWN_ERROR, text, anyio.current_time(), about=stream_name)


def _account(before: Statistics, past: Statistics, ledgers: list[Ledger]) -> Statistics:
    return combine(before, past, total(ledgers))


def _do_nothing() -> None:
    """Stand in for a callback that nobody has set."""
