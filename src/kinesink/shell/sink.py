"""What adapters hold: one sink per process and configuration.

Law: handing an event over does no I/O, waits on nothing and raises nothing, from
any thread, signal handler, finalizer or event loop. Importing this module imports no
event loop, HTTP client or AWS library.
"""

from __future__ import annotations

import time
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from kinesink.core import limits
from kinesink.core.records import DropReason
from kinesink.errors import ClosedError
from kinesink.event.sequence import Sequence
from kinesink.readiness import Condition, judge
from kinesink.shell import origin
from kinesink.shell.admission import check_record
from kinesink.shell.background import Background
from kinesink.shell.elsewhere import kept_elsewhere
from kinesink.shell.flush import await_flush, begin_flush
from kinesink.shell.fork import in_each_child
from kinesink.shell.intake import KeyedEvent, new_intake
from kinesink.shell.members import members
from kinesink.shell.process_exit import process_exit
from kinesink.shell.submission import failed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from kinesink.config import Config
    from kinesink.core.records import RecordResult
    from kinesink.readiness import Health
    from kinesink.shell.background import ClientFactory
    from kinesink.shell.losses import Loss
    from kinesink.statistics import Statistics


#: Every sink of this process that is in use or may be again.
SINKS: Final[weakref.WeakSet[Sink]] = weakref.WeakSet()


def every_sink() -> list[Sink]:
    """Return every sink of this process that is in use or may be again. From any thread."""
    return members(SINKS)


class Sink:
    """Takes events from any thread and has a background producer deliver them.

    The thread starts with the first event and needs no event loop of the application.
    What is pending when the interpreter exits is delivered then. A forked child begins
    with an empty sink; what was pending is the parent's.

    :param config: see :class:`kinesink.Config`.
    :param make_client: returns the client to talk to Kinesis with, for tests.
    """

    def __init__(self, config: Config, *, make_client: ClientFactory | None = None) -> None:
        """Do nothing yet: no I/O, no thread."""
        self.config = config
        work_by = kept_elsewhere(config)
        self._intake = new_intake(work_by, wake=_never)
        self._background = Background(work_by, self._intake, make_client)
        self._intake.wake = self._background.start
        self._closed = False
        self._own = 0
        #: Numbers the events that are written for this sink.
        self.sequence = Sequence()
        #: Whether room is scarce; then :meth:`turns_away` is to be asked before an event is
        #: written.
        self.pressure = self._intake.pressure
        #: Who shares it; see :mod:`kinesink.shell.registry`.
        self.holders: weakref.WeakSet[object] = weakref.WeakSet()
        SINKS.add(self)

    # -- events ----------------------------------------------------------------

    def emit(
        self,
        data: bytes,
        partition_key: str | None = None,
        explicit_hash_key: int | None = None,
        level: int | None = None,
    ) -> bool:
        """Take an event, or count it as dropped; never raise.

        Never waits, but with ``overflow="block"`` where there is no room.

        After :meth:`close` the sink opens again: loggers go on using handlers that a
        reconfiguration has closed.

        :param level: as in :mod:`logging`: what is given up first where room is scarce. An
            event without one gives way to no other.
        :returns: False if the event was dropped at once.
        """
        self._closed = False
        if partition_key is None and explicit_hash_key is None:
            return self._intake.put(data, len(data), level)
        event = KeyedEvent(data, partition_key, explicit_hash_key)
        return self._intake.put(event, len(data), level)

    def turns_away(self, level: int | None) -> bool:
        """Tell whether there is no room for an event that is still to be written.

        Then it counts as dropped, and has taken a number of :attr:`sequence`. Waits as
        :meth:`emit` does.
        """
        if not self._intake.turns_away(level):
            return False
        self.sequence.next()
        return True

    def tell_losses_by(self, write: Callable[[Loss], tuple[bytes, ...]]) -> None:
        """Tell what is lost in the stream itself, in lines that ``write`` makes; the first counts.

        :param write: called in the producer's thread; must not raise.
        """
        losses = self._background.teller.losses
        if losses.write is None and self.config.loss_records:
            losses.write = write

    @contextmanager
    def one_wake_up(self) -> Iterator[None]:
        """Wake the producer once for all events that are emitted inside, in the end.

        So that they travel together, also where each would be served alone: when the exit of
        the process is over. Events of other threads may wait for that, too.
        """
        self._intake.awake = True
        try:
            yield
        finally:
            # In this order, as the producer: who comes after the flag is cleared wakes it.
            self._intake.awake = False
            if self._intake.waiting:
                self._intake.awake = True
                self._intake.wake()

    def put(
        self,
        data: bytes,
        partition_key: str | None = None,
        explicit_hash_key: int | str | None = None,
    ) -> bool:
        """Take a user record; refuse at once what Kinesis can never take.

        :param data: what to send, in bytes; may be empty.
        :param partition_key: 1 to 256 characters; None for whichever shard has room.
        :param explicit_hash_key: 0 to 2**128 - 1, overrides the partition key's hash.
        :returns: False if ``max_pending_bytes`` or ``max_pending_events`` are pending; it
            then counts as dropped.
        :raises TypeError: if something is of the wrong type.
        :raises InvalidRecordError: if a key or the size is out of bounds, or if it is
            several lines where ``framing`` is ``lines``; nothing has changed.
        :raises ClosedError: after :meth:`close`.
        """
        hash_key = self._check(data, partition_key, explicit_hash_key)
        return self.emit(bytes(data), partition_key, hash_key)

    def submit(
        self,
        data: bytes,
        partition_key: str | None = None,
        explicit_hash_key: int | str | None = None,
    ) -> Future[RecordResult]:
        """Take a user record, and return the future of its result; never wait.

        The future never raises for what Kinesis says: its result tells, with every
        attempt. It has one exactly once, at the latest when the thread ends; at once, as
        a failure for :attr:`DropReason.QUEUE_FULL`, if ``max_pending_bytes`` or
        ``max_pending_events`` are pending. Wait for it in any thread, with
        ``asyncio.wrap_future`` in asyncio, and in trio with
        ``trio.to_thread.run_sync(future.result)``.

        Done-callbacks run one after the other in a thread that does nothing else: one that
        hangs holds up later ones, those of ``asyncio.wrap_future`` among them, but no
        delivery and no result; later ones then wait in memory, any number of them. One
        that is added when the result is there is called at once, by whoever adds it.
        Nothing can be called back once it was handed over, so ``future.cancel()`` returns
        False. In a forked child the futures of records that the parent has pending raise
        :class:`ClosedError`.

        :param data: what to send, in bytes; may be empty.
        :param partition_key: 1 to 256 characters; None for whichever shard has room.
        :param explicit_hash_key: 0 to 2**128 - 1, overrides the partition key's hash.
        :raises TypeError, InvalidRecordError, ClosedError: as :meth:`put`.
        """
        hash_key = self._check(data, partition_key, explicit_hash_key)
        data = bytes(data)
        future = self._background.submissions.begin()
        if not self._intake.put(KeyedEvent(data, partition_key, hash_key, future), len(data)):
            future.resolve(failed(DropReason.QUEUE_FULL, "too much is pending already"))
        return future

    def _check(self, data: object, partition_key: object, explicit_hash_key: object) -> int | None:
        if self._closed:
            raise ClosedError(f"the sink of stream {self.config.stream_name!r} is closed")
        return check_record(
            data, partition_key, explicit_hash_key, self.record_max_bytes, self.config.framing
        )

    def refuse(self, reason: DropReason, level: int | None = None) -> None:
        """Count an event that was dropped before it could be handed over; never wait.

        Starts no thread for that: where none runs the event counts, and is told with the
        next one that is handed over.
        """
        self._intake.refuse(reason, level, wake=self._background.is_running)

    def report(self, kind: str, text: str) -> None:
        """Tell of trouble by ``on_error``, at most once a minute and kind; never wait."""
        self._background.report(kind, text)

    def count_own(self) -> None:
        """Count a log record that the producer's own work caused and that is not shipped."""
        self._own += 1

    @property
    def record_max_bytes(self) -> int:
        """Largest record (data and partition key) in bytes; 1 MiB until it is known."""
        known = self._background.record_max_bytes
        return known or self.config.record_max_bytes or limits.RECORD_DEFAULT_BYTES

    # -- waiting ---------------------------------------------------------------

    def flush(self, timeout: float | None = None) -> bool:
        """Send everything accepted before now without lingering, and wait for it.

        Blocks the calling thread; in an event loop ``await`` :meth:`aflush` instead. On
        behalf of a producer (an ``on_error`` that flushes) it does not wait.

        :param timeout: seconds to wait at most; None for ``config.shutdown_timeout``. While
            the process exits, what is left of its one deadline is the limit as well.
        :returns: whether all of it was delivered or accounted for in time.
        """
        return begin_flush(self._background)(self._usual(timeout))

    async def aflush(self, timeout: float | None = None) -> bool:
        """Do what :meth:`flush` does without blocking the event loop, asyncio or trio."""
        return await await_flush(self._background, self._usual(timeout))

    def close(self, timeout: float | None = None) -> bool:
        """Flush, end the thread and close the connections. Idempotent.

        :param timeout: seconds to wait at most; None for ``config.shutdown_timeout``.
        :returns: whether everything was delivered or accounted for in time; if not, the
            thread goes on delivering until ``config.shutdown_timeout`` and then ends.
        """
        self._closed = True
        patience = process_exit.within(self._usual(timeout), self.config.shutdown_timeout)
        deadline = time.monotonic() + patience
        flushed = self.flush(patience)
        self._background.stop()
        if flushed and not origin.is_own():
            self._background.wait_ended(max(0.0, deadline - time.monotonic()))
            # Who closes what it has submitted to expects its callbacks to have been called.
            self._background.submissions.wait_called_back(max(0.0, deadline - time.monotonic()))
        return flushed

    def retire(self) -> None:
        """Let the thread deliver what is pending and end, without waiting for it."""
        self._background.stop()

    def __del__(self) -> None:
        self._background.forsake()

    def _usual(self, timeout: float | None) -> float:
        return self.config.shutdown_timeout if timeout is None else timeout

    def health(self) -> Health:
        """Return how this sink fares, for a readiness probe; never waits.

        ``failing`` if nothing was delivered for a minute while events wait, or the producer
        does not run; ``degraded`` if events were given up within the last minute, wait for
        15 s, or take 70 % of the room.
        """
        account = self.statistics()
        return judge(Condition(
            vitals=self._background.vitals,
            waiting=self._intake.waiting,
            fill=self._intake.fill,
            lost=account.dropped_in_words,
            linger=self.config.linger,
            now=time.monotonic(),
        ))  # fmt: skip

    def statistics(self) -> Statistics:
        """Return the account of this process since the sink was made, or since the fork."""
        return self._intake.statistics(own=self._own)


def _renew_sequences() -> None:
    for sink in every_sink():
        sink.sequence.renew()


in_each_child(_renew_sequences)


def _never() -> None:
    """Stand in for the wake-up until there is a background."""
