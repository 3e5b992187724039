"""The one task that drains the intake, performs the core's effects, and sleeps.

Law: there is one task for the loop and one per call to Kinesis; none per event. Whatever a
call, a callback or a stage raises, the task goes on. After an idle moment it sleeps until a
deadline of the core or until it is woken.
"""

from __future__ import annotations

import math
import sys
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from kinesink.core.effects import Dropped
from kinesink.core.pipeline import Pipeline
from kinesink.core.records import DropReason
from kinesink.shell import origin
from kinesink.shell.account import total
from kinesink.shell.arrivals import contents_of
from kinesink.shell.intake import EVENT_OVERHEAD_BYTES, KeyedEvent
from kinesink.shell.overflow import HELD_SHARE, excess_bytes
from kinesink.shell.process_exit import process_exit
from kinesink.shell.pulse import Pulse
from kinesink.shell.reporter import not_delivered, not_told_yet
from kinesink.shell.resting import rest
from kinesink.shell.stream import ends_only
from kinesink.shell.stream_work import REST_AFTER_ERROR, StreamWork
from kinesink.shell.streams import Streams
from kinesink.shell.submission import failed
from kinesink.shell.wakeup import WakeUp
from kinesink.statistics import Statistics, combine

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.config import Config
    from kinesink.core.ledger import Ledger
    from kinesink.core.records import Content, Ticket, UserRecord
    from kinesink.shell.flush import Flush
    from kinesink.shell.intake import Intake, Item
    from kinesink.shell.kinesis import KinesisClient
    from kinesink.shell.spooler import Spooler
    from kinesink.shell.stream import Stream
    from kinesink.shell.teller import Teller

#: While events flow the intake is looked at this often, so that callers need not wake
#: anybody: a fraction of the linger, at most this many seconds.
_LONGEST_NAP: Final = 0.02
_NAP_PER_LINGER: Final = 0.2


#: Seconds until events are looked for again that can be given up, when there were none.
_NO_ROOM_INTERVAL: Final = 1.0


class ProducerTask:
    """Everything that happens in the producer's own task. Not thread-safe."""

    def __init__(
        self,
        config: Config,
        client: KinesisClient,
        intake: Intake,
        teller: Teller,
        spooler: Spooler | None = None,
    ) -> None:
        """Bind to the running event loop; :meth:`run` must follow."""
        self._config = config
        self._intake = intake
        self._reporter = teller.reporter
        self._teller = teller
        #: How the producer fares.
        self.pulse = Pulse(anyio.current_time)
        teller.begin(self.pulse, anyio.current_time())
        #: The streams in use, by name.
        self.streams = Streams(config)
        self._nap = min(_LONGEST_NAP, config.linger * _NAP_PER_LINGER)
        #: What previous producers over the same intake have settled.
        self._past = intake.settled()
        #: When to look next for events that can be given up.
        self._room_at = -math.inf
        self._takes_in = True
        self._added = False
        self._attentive = False
        self._life = anyio.CancelScope(shield=True)
        self._wake = WakeUp()
        use = partial(self.streams.use, config.stream_name)
        self._work = StreamWork(config, client, teller, use, self._wake.set)
        if spooler is not None:
            self._work.spool_by(spooler)
        #: Called at the end of each turn.
        self.turned: Callable[[], None] = _do_nothing
        #: When the task will look again by itself; infinite when it must be woken.
        self.looks_at = -math.inf
        intake.attach(self._wake)

    # -- for the producer, in the same loop ------------------------------------

    async def run(self) -> None:
        """Work until :meth:`stop`, whatever is cancelled around the caller."""
        origin.OWN.set(True)
        # Shielded: cancelled with the body of `async with` it could resolve nothing, and a
        # task that waits for its outcome in a shield of its own would wait for ever.
        with self._life:
            async with anyio.create_task_group() as self._work.tasks:
                while True:
                    await self._wake.wait_until(self._guarded_turn())

    def stop(self) -> None:
        """End the task and every call under way."""
        self._life.cancel()

    def add(self, record: UserRecord, ticket: Ticket, stream_name: str, now: float) -> None:
        """Take a user record in; its ticket will be resolved."""
        stream = self.streams.use(stream_name, now)
        self.streams.hold(stream, record)
        self._added = True
        stream.expect(record, ticket)
        self._work.add(stream, [record], now)
        if not self._attentive:
            self.looks_at = now
            self._wake.set()

    def close_intake(self) -> None:
        """Take in what is there, and nothing that comes later: that is the next task's."""
        if self._takes_in:
            now = anyio.current_time()
            self._take_in(now)
            self._tell_losses(now, last=True)
            self._takes_in = False

    def begin_flush(self, flush: Flush) -> None:
        """Let nothing linger that was taken in; ``flush.done`` is called when it has ended."""
        now = anyio.current_time()
        if process_exit.leaving:
            self._tell_losses(now, last=True)
        self._work.begin_flush(flush, self.streams, now)
        self._wake.set()

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
        account = self.streams.statistics(stream_name)
        if stream_name in {None, self._config.stream_name}:
            return combine(account, self._intake.refused())
        return account

    def abandon(self, timeout: float) -> None:
        """Give up all that is pending, and say how much that is.

        :param timeout: seconds that it has been waited for.
        """
        now = anyio.current_time()
        spooling = self._work.spooling
        self._leave()
        # The exit hook has told of everything that had been accepted until then.
        accepted = self._intake.statistics().accepted
        untold = accepted - self._teller.left_told_at if process_exit.over else sys.maxsize
        self._teller.left_told_at = accepted
        for stream in self.streams:
            ledger, last_error = stream.pipeline.ledger, stream.pipeline.last_error
            lost, lost_bytes = ledger.pending, ledger.pending_bytes
            kept = 0 if spooling is None else spooling.kept
            self._abandon(stream, timeout, now)
            self._leave()
            kept = 0 if spooling is None else spooling.kept - kept
            news, size = not_told_yet(lost, lost_bytes, untold)
            if news:
                text = not_delivered(news, size, stream.name, timeout, last_error)
                if kept:
                    text += f"; {kept} of them kept in {self._config.spool_path}"
                if process_exit.leaving:
                    # No later report would tell of it.
                    self._reporter.say("shutdown", text)
                else:
                    self._reporter.report("shutdown", text, about=stream.name)
        if spooling is not None:
            spooling.close()
        self._settle()
        self._work.finish_flushes()

    def leave_behind(self) -> None:
        """Save all that is pending, or else give it up, without a word: the process ends."""
        now = anyio.current_time()
        self._take_in(now)
        # First, for what the disk refuses comes back.
        self._leave()
        for stream in self.streams:
            self._abandon(stream, self._config.shutdown_timeout, now)
        self._leave()
        self._settle()

    def _leave(self) -> None:
        if self._work.spooling is not None:
            self._work.spooling.leave()

    @property
    def is_spooling(self) -> bool:
        """Whether events are on their way to or from the disk."""
        return self._work.spooling is not None and self._work.spooling.is_busy

    def _abandon(self, stream: Stream, timeout: float, now: float) -> None:
        error = f"not delivered within {timeout:g} s of closing"
        if stream.pipeline.last_error:
            error += f"; last error: {stream.pipeline.last_error}"
        give_up = partial(Pipeline.abandon, reason=DropReason.SHUTDOWN, error=error, now=now)
        # Twice, because a pipeline that fails at this leaves its events to another one.
        for _ in range(2):
            self._work.guarded(stream, give_up, now)
            effects = self._work.guarded(stream, partial(Pipeline.effects, now=now), now) or []
            for effect in ends_only(effects):
                if not isinstance(effect, Dropped) or effect.result is not None:
                    self._work.perform(stream, effect, now)
                elif self._work.spooling is None or not self._work.spooling.rescues(stream, effect):
                    # How many they are is told to the operator in one sum.
                    self._teller.abandoned(effect, now)

    # -- the task --------------------------------------------------------------

    def _guarded_turn(self) -> float:
        try:
            self.looks_at = self._turn()
        except Exception as error:  # noqa: BLE001 - the task must survive whatever it is
            self._work.report_own(self._config.stream_name, error)
            self.looks_at = anyio.current_time() + REST_AFTER_ERROR
        return self.looks_at

    def _turn(self) -> float:
        """Do all there is to do now; return when to look again."""
        now = anyio.current_time()
        busy = (self._takes_in and self._take_in(now)) or self._added
        self._added = False
        rest()
        self._work.take_outcomes()
        rest()
        deadline = min(
            (self._work.advance(stream, now) for stream in self.streams), default=math.inf
        )
        deadline = min(deadline, self._tell_losses(now))
        deadline = min(deadline, self._teller.readings.take(self._intake.statistics, now))
        if self._work.spooling is not None:
            # The disk may have time now. Not before what was given up has gone where it goes:
            # this settles the account.
            self._make_room(now)
            deadline = min(deadline, self._work.spooling.turn(now, self._intake.fill))
        self.streams.tidy(now)
        self._settle()
        self.pulse.beat(self.streams, now, self.last_error)
        self._work.finish_flushes()
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
        items = self._intake.take()
        if items:
            self._take_events(self.streams.use(self._config.stream_name, now), items, now)
            self._make_room(now)
        self._settle()
        for reason, level, events in self._intake.take_refusals():
            stream = self.streams.use(self._config.stream_name, now)
            self._teller.lost(stream, reason, {level: events}, "refused when logged", now)
        for command in commands:
            command(self)
        return bool(items)

    def _make_room(self, now: float) -> None:
        """Give up the oldest events for those that come in, if that is what is wanted."""
        config, streams, spooling = self._config, self.streams, self._work.spooling
        if spooling is None and config.overflow != "drop_oldest":
            return
        self._settle()
        held = streams.held_bytes, streams.held_events
        stream = streams.use(config.stream_name, now)
        if spooling is not None and spooling.relieve(stream, *held, config, now):
            return
        size = min(excess_bytes(*held, config, HELD_SHARE), stream.held_bytes)
        if size and config.overflow == "drop_oldest" and now >= self._room_at:
            drop = partial(
                Pipeline.drop_oldest, size=size, reason=DropReason.QUEUE_FULL,
                error="the oldest, for want of room", now=now,
                event_overhead=EVENT_OVERHEAD_BYTES,
            )  # fmt: skip
            if not self._work.guarded(stream, drop, now):
                # All of it is under way. To look through it again at once would find the same.
                self._room_at = now + _NO_ROOM_INTERVAL

    def _take_events(self, stream: Stream, items: list[Item], now: float) -> None:
        try:
            contents, errors = contents_of(items, now)
        except Exception as error:  # noqa: BLE001 - what was taken out must be in the account
            self._give_up(stream, items, error, now)
            return
        stream.expect_all(contents)
        self._work.add(stream, contents, now)
        for _ in errors:
            stream.pipeline.ledger.refused(DropReason.INVALID)
        # Counted before anybody is told, so that telling cannot cost an event.
        self._settle()
        if errors:
            self._teller.lost(stream, DropReason.INVALID, {None: len(errors)}, errors[0], now)

    def _give_up(self, stream: Stream, items: list[Item], error: Exception, now: float) -> None:
        """Count what was taken out and cannot be taken in."""
        for _ in items:
            stream.pipeline.ledger.refused(DropReason.INTERNAL)
        self._settle()
        self._work.report_own(stream.name, error)
        text = f"an error of kinesink's own, {error!r}"
        self._teller.lost(stream, DropReason.INTERNAL, {None: len(items)}, text, now)
        for item in items:
            if isinstance(item, KeyedEvent) and item.ticket is not None:
                item.ticket.resolve(failed(DropReason.INTERNAL, text))

    def _settle(self) -> None:
        """Publish the account for other threads, and what is held."""
        spooled = Statistics() if self._work.spooling is None else self._work.spooling.settle()
        account = partial(_account, self._past, self.streams.past, self.streams.settle(), spooled)
        self._intake.settle(account, self.streams.held_bytes, self.streams.held_events)

    def _tell_losses(self, now: float, *, last: bool = False) -> float:
        """Tell in the stream what was lost, if that is due; return when to look again.

        :param last: whether there is no later opportunity.
        """
        stream = self.streams.get(self._config.stream_name)
        if stream is None:
            return math.inf
        due_at = self._teller.due_at(stream)
        if now < due_at and not last:
            return due_at
        records: list[Content] = [*self._teller.records(stream, now, anyio.current_time)]
        stream.expect_all(records)
        self._work.add(stream, records, now)
        return now


def _account(
    before: Statistics, past: Statistics, ledgers: list[Ledger], spooled: Statistics
) -> Statistics:
    return combine(before, past, total(ledgers), spooled)


def _do_nothing() -> None:
    """Stand in for a callback that nobody has set."""
