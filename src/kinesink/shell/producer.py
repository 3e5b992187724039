"""The one task that drains the intake, performs the core's effects, and sleeps.

Law: the core decides, this file does what it says. There is one task for the loop
and one per call to Kinesis; none per event. Whatever a call, a callback or a stage
raises, the task goes on.
"""

from __future__ import annotations

import math
import random
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import anyio

from kinesink.core import limits
from kinesink.core.effects import (
    DescribeStream,
    Delivered,
    Dropped,
    Effect,
    ListShards,
    Report,
    SendRequest,
)
from kinesink.core.hash_key import check_partition_key
from kinesink.core.pipeline import Pipeline
from kinesink.core.records import Chunk, DropReason, Failure, UserRecord
from kinesink.errors import ClosedError
from kinesink.shell import origin
from kinesink.shell.account import total
from kinesink.shell.admission import check_record
from kinesink.shell.intake import EVENT_OVERHEAD_BYTES, Intake, KeyedEvent
from kinesink.shell.kinesis import KinesisClient
from kinesink.shell.outcome import Outcome
from kinesink.shell.reporter import Reporter
from kinesink.shell.wakeup import WakeUp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType

    from anyio.abc import TaskGroup
    from typing_extensions import Self

    from kinesink.config import Config
    from kinesink.core.records import Content
    from kinesink.shell.intake import Item
    from kinesink.statistics import Statistics

Result = TypeVar("Result")

#: While events flow the intake is looked at this often, so that callers need not wake
#: anybody: a fraction of the linger, at most this many seconds.
_LONGEST_NAP: Final = 0.02
_NAP_PER_LINGER: Final = 0.2

#: Seconds the loop rests after an error of its own, so that it cannot spin.
_REST_AFTER_ERROR: Final = 0.1

#: Seconds for closing connections at the end.
_CLOSE_TIMEOUT: Final = 1.0

#: The code of failures that are kinesink's own.
_INTERNAL: Final = "InternalError"


class _Flush:
    """A flush under way: what must have ended before it is done."""

    def __init__(self, epochs: dict[Pipeline, int], done: Callable[[], None]) -> None:
        self.epochs = epochs
        self.done = done

    def ended(self) -> bool:
        return all(pipeline.ledger.ended(epoch) for pipeline, epoch in self.epochs.items())


class Producer:
    """Sends user records to Kinesis from one event loop, asyncio or trio.

    Use it as an async context manager; leaving it delivers what is pending within
    ``config.shutdown_timeout`` and accounts for the rest. Belongs to the loop and the
    task that entered it; :meth:`put` may be called from any task of that loop.

    .. code-block:: python

        async with Producer(Config("app-logs")) as producer:
            outcome = await producer.put(b"...", partition_key="customer-17")
            result = await outcome.wait()
    """

    def __init__(
        self,
        config: Config,
        *,
        intake: Intake | None = None,
        client: KinesisClient | None = None,
    ) -> None:
        """Do nothing yet: no connection, no credentials, no task.

        :param config: see :class:`kinesink.Config`.
        :param intake: where another thread hands events over; the sink's.
        :param client: instead of one made from the configuration; closed at the end.
        """
        self.config = config
        self._client = client or KinesisClient(config)
        self._intake = intake or Intake(config.max_pending_bytes, wake=_nobody)
        self._pipelines: dict[str, Pipeline] = {}
        self._reporter = Reporter(config.on_error)
        self._flushes: list[_Flush] = []
        self._nap = min(_LONGEST_NAP, config.linger * _NAP_PER_LINGER)
        self._attentive = False
        self._closing = False
        self._closed = False
        #: Outcomes of calls, to be taken in by the next turn.
        self._completions: deque[Callable[[], None]] = deque()
        #: Odd while a turn changes the account; whoever reads it from another thread
        #: reads again when this was odd or has changed.
        self.version = 0

    # -- life ------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Start the task."""
        if self._closed:
            msg = "this producer was closed; make a new one"
            raise ClosedError(msg)
        origin.install_filter()
        self._wake = WakeUp()
        self._room = anyio.Event()
        self._intake.wake = self._wake
        self._tasks: TaskGroup = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._run)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take nothing more, deliver what is pending, account for the rest."""
        if self._closed:
            return
        self._closing = True
        self._let_in()
        try:
            if exc_type is None or issubclass(exc_type, Exception):
                await self.flush(self.config.shutdown_timeout)
        finally:
            self._closed = True
            self._abandon()
            self._tasks.cancel_scope.cancel()
            try:
                # Without the exception of the body: it goes on by itself, not in a group.
                await self._tasks.__aexit__(None, None, None)
            finally:
                with anyio.move_on_after(_CLOSE_TIMEOUT, shield=True):
                    await self._client.aclose()

    # -- for callers in the same loop ------------------------------------------

    async def put(
        self,
        data: bytes,
        partition_key: str | None = None,
        explicit_hash_key: int | str | None = None,
        stream_name: str | None = None,
    ) -> Outcome:
        """Accept a user record and return what its result can be awaited on.

        Waits only while ``max_pending_bytes`` are pending. Without a partition key the
        record goes to whichever shard has room. A cancelled call has accepted nothing.

        :param data: what to send, in bytes; may be empty.
        :param stream_name: another stream than the configured one.
        :raises TypeError: if ``data`` or a key is of the wrong type.
        :raises InvalidRecordError: if Kinesis can never take it; nothing has changed.
        :raises ClosedError: if the producer is closed or closes while this waits.
        """
        hash_key = check_record(
            data, partition_key, explicit_hash_key, self.record_max_bytes(stream_name)
        )
        while True:
            if self._closing:
                msg = f"the producer of {self.config.stream_name!r} is closed"
                raise ClosedError(msg)
            if self._has_room(len(data)):
                break
            await self._room.wait()
        outcome = Outcome()
        now = anyio.current_time()
        record = UserRecord(
            bytes(data),
            arrival=now,
            partition_key=_key_for(partition_key, hash_key),
            explicit_hash_key=hash_key,
            ticket=outcome,
        )
        self._pipeline(stream_name, now).add([record], now)
        if not self._attentive:
            self._wake.set()
        return outcome

    async def flush(self, timeout: float | None = None) -> bool:
        """Send everything accepted before now without lingering.

        :param timeout: seconds to wait at most; None waits as long as it takes.
        :returns: whether all of it was delivered or accounted for in time.
        """
        done = anyio.Event()
        self._intake.command(partial(self.begin_flush, done.set))
        with anyio.move_on_after(math.inf if timeout is None else timeout):
            await done.wait()
        return done.is_set()

    def record_max_bytes(self, stream_name: str | None = None) -> int:
        """Return the largest record (data and partition key) a stream takes, in bytes."""
        pipeline = self._pipelines.get(stream_name or self.config.stream_name)
        if pipeline is not None:
            return pipeline.record_max_bytes
        return self.config.record_max_bytes or limits.RECORD_DEFAULT_BYTES

    @property
    def last_error(self) -> str | None:
        """The last failure of a call to Kinesis, in words."""
        errors = [pipeline.last_error for pipeline in self._pipelines.values()]
        return next((error for error in errors if error), None)

    def statistics(self) -> Statistics:
        """Return the account over all streams. Call it in the producer's loop."""
        return total(pipeline.ledger for pipeline in list(self._pipelines.values()))

    # -- the task --------------------------------------------------------------

    async def _run(self) -> None:
        origin.OWN.set(True)
        while True:
            try:
                deadline = self._turn()
            except Exception as error:  # noqa: BLE001 - the task must survive any stage
                self._report_own(error)
                deadline = anyio.current_time() + _REST_AFTER_ERROR
            await self._wake.wait_until(deadline)

    def _turn(self) -> float:
        """Do all there is to do now; return when to look again."""
        now = anyio.current_time()
        self.version += 1
        try:
            events = self._take_in(now)
            while self._completions:
                self._completions.popleft()()
            for pipeline in list(self._pipelines.values()):
                self._perform(pipeline, pipeline.effects(now), now)
        finally:
            self.version += 1
        self._finish_flushes()
        self._intake.held_bytes = self._held_bytes()
        self._let_in()
        deadline = min((p.deadline(now) for p in self._pipelines.values()), default=math.inf)
        self._attentive = events > 0 and self._nap > 0
        if self._attentive:
            return min(deadline, now + self._nap)
        self._intake.awake = False
        if self._intake.waiting:
            self._intake.awake = True
            return now
        return deadline

    def _take_in(self, now: float) -> int:
        """Move the intake into the pipelines; return the number of events."""
        commands = self._intake.take_commands()
        items = self._intake.drain()
        refused = self._intake.take_refused()
        if items or refused:
            self._add_items(self._pipeline(None, now), items, now)
        for reason in refused:
            self._pipeline(None, now).ledger.refused(reason)
            self._lost(reason, 1, "it was refused when it was logged", now)
        for command in commands:
            command()
        return len(items)

    def _add_items(self, pipeline: Pipeline, items: list[Item], now: float) -> None:
        keyless = [item for item in items if type(item) is bytes]
        contents: list[Content] = [Chunk(keyless, now)] if keyless else []
        if len(keyless) < len(items):
            for item in items:
                if isinstance(item, KeyedEvent):
                    contents += self._keyed(pipeline, item, now)
        pipeline.add(contents, now)

    def _keyed(self, pipeline: Pipeline, event: KeyedEvent, now: float) -> list[Content]:
        try:
            if event.partition_key is not None:
                check_partition_key(event.partition_key)
        except (TypeError, ValueError) as error:
            pipeline.ledger.refused(DropReason.INVALID)
            self._lost(DropReason.INVALID, 1, str(error), now)
            return []
        return [
            UserRecord(
                event.data,
                arrival=now,
                partition_key=_key_for(event.partition_key, event.explicit_hash_key),
                explicit_hash_key=event.explicit_hash_key,
            )
        ]

    def begin_flush(self, done: Callable[[], None]) -> None:
        """Let nothing linger that was taken in; ``done`` is called when it has ended."""
        epochs = {pipeline: pipeline.flush() for pipeline in self._pipelines.values()}
        self._flushes.append(_Flush(epochs, done))

    def _perform(self, pipeline: Pipeline, effects: Sequence[Effect], now: float) -> None:
        for effect in effects:
            match effect:
                case SendRequest():
                    self._tasks.start_soon(self._send, pipeline, effect)
                case ListShards():
                    self._tasks.start_soon(self._list_shards, pipeline)
                case DescribeStream():
                    self._tasks.start_soon(self._describe_stream, pipeline)
                case Delivered():
                    if effect.record.ticket is not None:
                        effect.record.ticket.resolve(effect.result)
                case Dropped():
                    self._dropped(effect, now)
                case Report():
                    self._reporter.report(effect.kind, effect.text, now)

    def _dropped(self, drop: Dropped, now: float) -> None:
        for content in drop.contents:
            if isinstance(content, UserRecord) and content.ticket and drop.result:
                content.ticket.resolve(drop.result)
        if drop.result is None:
            self._lost(drop.reason, sum(map(len, drop.contents)), drop.error, now)

    def _lost(self, reason: DropReason, events: int, error: str, now: float) -> None:
        what = "1 event" if events == 1 else f"{events} events"
        stream = self.config.stream_name
        self._reporter.report(
            f"dropped:{reason.value}", f"stream {stream!r}: {what} dropped, {error}", now
        )

    # -- calls to Kinesis ------------------------------------------------------

    async def _send(self, pipeline: Pipeline, effect: SendRequest) -> None:
        request = effect.request
        call = partial(
            self._client.put_records, pipeline.stream_name, request.wire, timeout=effect.timeout
        )
        outcome = await self._outcome_of(call)
        self._complete(partial(pipeline.request_done, request, outcome, anyio.current_time()))

    async def _list_shards(self, pipeline: Pipeline) -> None:
        timeout = self.config.request_timeout
        call = partial(self._client.list_shards, pipeline.stream_name, timeout=timeout)
        outcome = await self._outcome_of(call)
        self._complete(partial(pipeline.shards_listed, outcome, anyio.current_time()))

    async def _describe_stream(self, pipeline: Pipeline) -> None:
        timeout = self.config.request_timeout
        call = partial(self._client.describe_stream_summary, pipeline.stream_name, timeout=timeout)
        outcome = await self._outcome_of(call)
        self._complete(partial(pipeline.stream_described, outcome, anyio.current_time()))

    async def _outcome_of(self, call: Callable[[], Awaitable[Result]]) -> Result | Failure:
        """Await a call; a question whose answer never came would never be asked again."""
        origin.OWN.set(True)
        try:
            return await call()
        except Exception as error:  # noqa: BLE001 - see above
            return self._report_own(error)

    def _complete(self, completion: Callable[[], None]) -> None:
        self._completions.append(completion)
        self._wake.set()

    def _report_own(self, error: Exception) -> Failure:
        text = f"stream {self.config.stream_name!r}: an error of kinesink's own, {error!r}"
        self._reporter.report(_INTERNAL, text, anyio.current_time())
        return Failure(_INTERNAL, repr(error))

    # -- bounds and ends -------------------------------------------------------

    def _pipeline(self, stream_name: str | None, now: float) -> Pipeline:
        name = stream_name or self.config.stream_name
        pipeline = self._pipelines.get(name)
        if pipeline is None:
            pipeline = self._pipelines[name] = Pipeline(
                self.config,
                stream_name=name,
                now=now,
                jitter=random.random,
                wall_offset=time.time() - now,
            )
        return pipeline

    def _held_bytes(self) -> int:
        ledgers = [pipeline.ledger for pipeline in self._pipelines.values()]
        data = sum(ledger.pending_bytes for ledger in ledgers)
        return data + EVENT_OVERHEAD_BYTES * sum(ledger.pending for ledger in ledgers)

    def _has_room(self, data_bytes: int) -> bool:
        held = self._held_bytes()
        size = data_bytes + EVENT_OVERHEAD_BYTES
        # One record is always let in, so that none larger than the bound waits for ever.
        return held == 0 or held + size <= self.config.max_pending_bytes

    def _let_in(self) -> None:
        """Wake the callers that wait for room."""
        room, self._room = self._room, anyio.Event()
        room.set()

    def _finish_flushes(self) -> None:
        for flush in [flush for flush in self._flushes if flush.ended()]:
            self._flushes.remove(flush)
            flush.done()

    def _abandon(self) -> None:
        now = anyio.current_time()
        self._take_in(now)
        for pipeline in self._pipelines.values():
            error = f"not delivered within {self.config.shutdown_timeout} s of closing"
            if pipeline.last_error:
                error += f"; last error: {pipeline.last_error}"
            pipeline.abandon(DropReason.SHUTDOWN, error, now)
            self._perform(pipeline, _ends_only(pipeline.effects(now)), now)


def _key_for(partition_key: str | None, explicit_hash_key: int | None) -> str | None:
    """Return a partition key for a record that has only an explicit hash key."""
    if partition_key is None and explicit_hash_key is not None:
        return "0"
    return partition_key


def _ends_only(effects: Sequence[Effect]) -> list[Effect]:
    return [effect for effect in effects if isinstance(effect, (Delivered, Dropped, Report))]


def _nobody() -> None:
    """Do nothing: the place of a callback that nobody has set."""
