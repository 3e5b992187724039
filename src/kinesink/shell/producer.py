"""The producer for asynchronous programs: one object, one loop, one task.

Law: a call of :meth:`Producer.put` has accepted everything or nothing, whatever
cancels it; and an outcome it has returned resolves, at the latest when the producer
closes. What happens in between is in :mod:`kinesink.shell.producer_task`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import anyio
import anyio.lowlevel

from kinesink.core import limits
from kinesink.errors import ClosedError
from kinesink.readiness import Vitals
from kinesink.shell import origin
from kinesink.shell.admission import check_record, check_stream_name
from kinesink.shell.arrivals import new_record
from kinesink.shell.elsewhere import client_elsewhere
from kinesink.shell.exit_safe import run_in_thread
from kinesink.shell.flush import Flush
from kinesink.shell.intake import Intake
from kinesink.shell.kinesis import KinesisClient
from kinesink.shell.outcome import Outcome
from kinesink.shell.producer_task import ProducerTask
from kinesink.shell.reporter import Reporter
from kinesink.shell.room import Room
from kinesink.shell.teller import Teller
from kinesink.statistics import Statistics

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from kinesink.config import Config
    from kinesink.shell.spooler import Spooler

#: Seconds between two looks whether all that goes to disk is there.
_LOOK_AGAIN: Final = 0.005

#: Seconds for closing connections, for telling of losses and for the disk at the end.
_CLOSE_TIMEOUT: Final = 1.0


class Producer:
    """Sends user records to Kinesis from one event loop, asyncio or trio.

    Use it once, as an async context manager. Leaving it takes nothing more, delivers what
    is pending, retries included, within ``config.shutdown_timeout``, accounts for the
    rest, and closes the connections last. Leaving it by cancellation or by
    KeyboardInterrupt waits for nothing: every outcome resolves, no task is left. It is
    entered and left in one task; its methods may be called from any task of that loop.

    One producer writes to any number of streams of its account and region. They share
    connections and memory, and none waits for another: not for one that is denied,
    throttled or hangs.

    .. code-block:: python

        async with Producer(Config("app-logs")) as producer:
            outcome = await producer.put(b"...", partition_key="customer-17")
            result = await outcome.wait()
    """

    def __init__(  # noqa: PLR0913 - what the sink has made, each by its name
        self,
        config: Config,
        *,
        intake: Intake | None = None,
        client: KinesisClient | None = None,
        reporter: Reporter | None = None,
        teller: Teller | None = None,
        spooler: Spooler | None = None,
    ) -> None:
        """Do nothing yet: no connection, no credentials, no task.

        :param config: see :class:`kinesink.Config`.
        :param intake: where another thread hands events over; the sink's.
        :param client: instead of one made from the configuration; closed at the end.
        :param reporter: who tells of trouble.
        :param spooler: where events go that memory is no place for; the sink's.
        :param teller: who tells of trouble and of losses; the sink's.
        """
        self.config = config
        #: Seconds to wait for what is pending on leaving.
        self.shutdown_timeout = config.shutdown_timeout
        self._client = client or client_elsewhere(config) or KinesisClient(config)
        self._intake = intake or Intake(config.max_pending_bytes, wake=_nobody)
        self._spooler = spooler
        self._teller = teller or Teller(config, reporter or Reporter(config.on_error))
        self._task: ProducerTask | None = None
        self._open = False
        self._ended = False

    async def __aenter__(self) -> Self:
        """Start the task."""
        if self._task is not None:
            raise ClosedError("a producer is entered once; make a new one")
        origin.install_filter()
        self._task = ProducerTask(
            self.config, self._client, self._intake, self._teller, self._spooler
        )
        self._room = Room(self.config, self._task.streams)
        self._task.turned = self._room.let_in
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._task.run)
        self._open = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take nothing more, deliver what is pending, account for the rest."""
        if self._ended or self._task is None:
            return
        try:
            if exc_type is None or issubclass(exc_type, Exception):
                await self.aclose()
        finally:
            self._ended = True
            try:
                self._stop_taking(self._task)
                self._task.abandon(self.shutdown_timeout)
            finally:
                await self._end(self._task)

    async def aclose(self) -> None:
        """Take nothing more, deliver what is pending, account for the rest.

        What leaving does by itself; to be called where that is too late, from any task of
        the loop. Connections stay open until the producer is left. When this is cancelled
        what is still pending is given up. Idempotent.
        """
        if self._ended or self._task is None:
            return
        try:
            self._stop_taking(self._task)
            await self.flush(self.shutdown_timeout)
            with anyio.move_on_after(_CLOSE_TIMEOUT):
                while self._task.is_spooling:  # noqa: ASYNC110 - several jobs, one after the other
                    await anyio.sleep(_LOOK_AGAIN)
        finally:
            self._task.abandon(self.shutdown_timeout)

    def _stop_taking(self, task: ProducerTask) -> None:
        self._open = False
        self._room.let_in()
        task.close_intake()

    async def _end(self, task: ProducerTask) -> None:
        task.stop()
        try:
            # Without the exception of the body: it goes on by itself, not in a group.
            await self._tasks.__aexit__(None, None, None)
        finally:
            self._teller.readings.hand_over(self._intake.statistics)
            with anyio.move_on_after(_CLOSE_TIMEOUT, shield=True):
                await self._client.aclose()
                if not self._teller.idle:
                    # The process may end next, and with it the thread that tells of losses.
                    await run_in_thread(self._teller.wait_told, _CLOSE_TIMEOUT)

    # -- for callers in the same loop ------------------------------------------

    async def put(
        self,
        data: bytes,
        partition_key: str | None = None,
        explicit_hash_key: int | str | None = None,
        stream_name: str | None = None,
    ) -> Outcome:
        """Accept a user record and return what its result can be awaited on.

        Waits while ``max_pending_bytes`` or ``max_pending_events`` are pending, and then in
        line; yields to the event loop whenever the producer's task is due. Without a
        partition key the record goes to whichever shard has room. A cancelled call has
        accepted nothing.

        :param data: what to send, in bytes; may be empty.
        :param partition_key: 1 to 256 characters; None for whichever shard has room.
        :param explicit_hash_key: 0 to 2**128 - 1, overrides the partition key's hash.
        :param stream_name: another stream than the configured one, in the same account
            and region.
        :raises TypeError: if something is of the wrong type.
        :raises InvalidRecordError: if Kinesis can never take it, or if it is several lines
            where ``framing`` is ``lines``; nothing has changed.
        :raises ClosedError: if the producer is not open or closes while this waits.
        """
        task = self._opened()
        name = self._name_of(stream_name)
        hash_key = check_record(
            data,
            partition_key,
            explicit_hash_key,
            self._record_max_bytes(name),
            self.config.framing,
        )
        data = bytes(data)
        now = anyio.current_time()
        if now >= task.looks_at:
            await anyio.lowlevel.checkpoint()
            now = anyio.current_time()
        # Nothing below is a checkpoint once there is room.
        if not self._room.is_free(name, len(data)):
            await self._room.wait_free(name, len(data), lambda: self._open)
            now = anyio.current_time()
        task = self._opened()
        outcome = Outcome()
        task.add(new_record(data, partition_key, hash_key, now, outcome), outcome, name, now)
        return outcome

    async def flush(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - its end is a result, not an exception
        """Send everything accepted before now without lingering, to every stream.

        :param timeout: seconds to wait at most; None waits as long as it takes.
        :returns: whether all of it was delivered or accounted for in time. Without a
            task, before entering and after leaving, nothing is pending: True.
        """
        if self._task is None or self._ended:
            return True
        done = anyio.Event()
        flush = Flush(done.set)
        if self._open:
            self._intake.command(lambda task: task.begin_flush(flush))
        else:
            self._task.begin_flush(flush)
        try:
            with anyio.move_on_after(math.inf if timeout is None else timeout):
                await done.wait()
        finally:
            flush.given_up = True
        return done.is_set()

    def record_max_bytes(self, stream_name: str | None = None) -> int:
        """Return the largest record (data and partition key) a stream takes, in bytes."""
        return self._record_max_bytes(self._name_of(stream_name))

    def _record_max_bytes(self, name: str) -> int:
        known = None if self._task is None else self._task.record_max_bytes(name)
        return known or self.config.record_max_bytes or limits.RECORD_DEFAULT_BYTES

    @property
    def vitals(self) -> Vitals:
        """What the task notes about itself, for a verdict on its health; from any thread."""
        return self._task.pulse.vitals if self._task else Vitals()

    @property
    def last_error(self) -> str | None:
        """The last failure of a call to Kinesis, in words."""
        return self._task.last_error if self._task else None

    def statistics(self, stream_name: str | None = None) -> Statistics:
        """Return the account of one stream, or over all of them.

        Call it in the producer's loop. Of streams that were not used for long, the account
        of the 1,000 used last is kept one by one; the sum is always complete.
        """
        return self._task.statistics(stream_name) if self._task else Statistics()

    def _opened(self) -> ProducerTask:
        if self._task is None or not self._open:
            raise ClosedError(f"the producer of {self.config.stream_name!r} is not open")
        return self._task

    def _name_of(self, stream_name: str | None) -> str:
        if stream_name is None:
            return self.config.stream_name
        if self._task is None or self._task.streams.get(stream_name) is None:
            check_stream_name(stream_name)
        return stream_name


def _nobody() -> None:
    """Do nothing: the place of a wake-up before there is somebody to wake."""
