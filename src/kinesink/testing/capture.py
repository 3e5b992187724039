"""What an application sends by kinesink, delivered into memory and looked at by its tests."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import kinesink
from kinesink.shell.background import every_background
from kinesink.testing.captured_lines import events_in
from kinesink.testing.errors import ApiError
from kinesink.testing.exchange import Ending
from kinesink.testing.expectation import Expectation, describe_all
from kinesink.testing.explanation import what_is_pending, why_silent
from kinesink.testing.fake import FakeKinesis
from kinesink.testing.faults import AccessDenied, FailEntries, Latency, Reset, ThrottleEntries
from kinesink.testing.in_memory import in_memory
from kinesink.testing.memory_client import MemoryClient
from kinesink.testing.trouble import Trouble, lets_nothing_through

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from kinesink.config import Config
    from kinesink.core.options import Framing
    from kinesink.testing.captured_lines import Event
    from kinesink.testing.faults import Fault

__all__ = ["KinesisCapture", "capture_events"]

_PATIENCE: Final = 30.0
"""Seconds to wait for what is on its way; nothing is expected to take this long."""

_LAST_CHANCE: Final = 1.0
"""Seconds for what a test has left behind to arrive, beside what its sinks grant it at exit."""


class KinesisCapture:
    """The events that have arrived, assertions about them, and faults on demand.

    Made by :func:`capture_events` or the fixture ``kinesis_sink``. Whatever looks at events waits
    first, for at most :attr:`timeout` seconds, until what was logged before has arrived; but not
    while a fault lasts that lets nothing through. It blocks the thread: in a coroutine call
    :meth:`aflush` before.

    Every stream that the application writes to exists, with one shard unless :attr:`kinesis` was
    told otherwise.
    """

    def __init__(self) -> None:
        """Begin without streams and without events."""
        #: Where everything goes, and what can be told to split shards, to answer wrongly and more.
        self.kinesis = FakeKinesis()
        #: Longest wait for what was logged, in seconds.
        self.timeout = _PATIENCE
        self._framings: dict[str, Framing | None] = {}
        #: How many records of each stream :meth:`clear` has put aside.
        self._cleared: dict[str, int] = {}

    # -- events ----------------------------------------------------------------

    @property
    def events(self) -> list[Event]:
        """Every event that has arrived, in whatever stream, in the order of arrival.

        Each is what JSON makes of its line. A line that is no object of JSON, such as what a
        formatter of the application's has written, is ``{"message": line}``, and bytes that are
        no text are ``{"data": bytes}``.
        """
        self._wait()
        return self._arrived(self.kinesis.streams())

    def events_of(self, stream_name: str) -> list[Event]:
        """Return the events of one stream, as :attr:`events`; none if there is no such stream."""
        self._wait()
        return self._arrived([name for name in self.kinesis.streams() if name == stream_name])

    def clear(self) -> None:
        """Forget the events that have arrived."""
        self._wait()
        for name in self.kinesis.streams():
            self._cleared[name] = len(self.kinesis.records(name))

    @property
    def pending(self) -> int:
        """How many events wait or are under way, in all sinks of the process."""
        return sum(each.statistics().pending for each in every_background())

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until what was logged before has arrived or is given up, and counted.

        Also what waits in the batches of OpenTelemetry's global provider. What else holds events
        back, such as a QueueHandler of the application's, is to be flushed before.

        :param timeout: seconds to wait at most; None for :attr:`timeout`.
        :return: whether nothing of it is pending any more.
        """
        timeout = self.timeout if timeout is None else timeout
        deadline = time.monotonic() + timeout
        force_flush = _force_flush_of_opentelemetry()
        if force_flush is not None:
            force_flush(int(timeout * 1000))
        return kinesink.flush(max(0.0, deadline - time.monotonic()))

    async def aflush(self, timeout: float | None = None) -> bool:
        """Do what :meth:`flush` does without blocking the event loop, asyncio or trio."""
        from anyio import to_thread  # noqa: PLC0415 - only for those who have an event loop

        timeout = self.timeout if timeout is None else timeout
        deadline = time.monotonic() + timeout
        force_flush = _force_flush_of_opentelemetry()
        if force_flush is not None:
            await to_thread.run_sync(force_flush, int(timeout * 1000))
        return await kinesink.aflush(max(0.0, deadline - time.monotonic()))

    # -- assertions ------------------------------------------------------------

    def assert_logged(
        self,
        where: Mapping[str, object] | None = None,
        *,
        times: int | None = None,
        **fields: object,
    ) -> Event:
        """Fail unless an event with these fields has arrived; return the first one.

        A value is what the field is equal to (so ``mock.ANY`` and its kin work), a compiled
        pattern of :mod:`re` that is found in it, or a function that is true of it. ``level``,
        ``logger``, ``message`` and ``timestamp`` are found in every schema but ``otel``; other
        fields beside them, under ``attributes``, and by a path:
        ``{"exception.type": "ValueError"}``.

        :param where: fields whose names are no keywords, or are those of parameters.
        :param times: how many such events there are to be, 1 or more; None for any number.
        :raises AssertionError: shows the nearest of the events that have arrived.
        """
        __tracebackhide__ = True
        expectation = Expectation({**(where or {}), **fields})
        events = self.events
        found = [event for event in events if expectation.matches(event)]
        if found and times in {None, len(found)}:
            return found[0]
        if found:
            told = f"{expectation} was expected {_times(times)} and has arrived "
            told += f"{_times(len(found))}:\n{describe_all(found)}"
        elif events:
            told = f"{expectation} has not arrived. {expectation.explain_nearest(events)}"
        else:
            told = f"{expectation} has not arrived, nor any other."
            told += "" if self.pending else f" {why_silent()}"
        raise AssertionError(told + what_is_pending(self.kinesis.faults))

    def assert_not_logged(
        self,
        where: Mapping[str, object] | None = None,
        **fields: object,
    ) -> None:
        """Fail if an event with these fields has arrived, or if that cannot be told yet.

        :param where: as for :meth:`assert_logged`, and so are the fields; without any there is to
            be no event at all.
        :raises AssertionError: shows the events, or says what has not arrived.
        """
        __tracebackhide__ = True
        expectation = Expectation({**(where or {}), **fields})
        found = [event for event in self.events if expectation.matches(event)]
        if found:
            told = f"{expectation} has arrived {_times(len(found))}:\n{describe_all(found)}"
            raise AssertionError(told)
        pending = what_is_pending(self.kinesis.faults)
        if pending:
            raise AssertionError(f"whether {expectation} was logged cannot be told yet.{pending}")

    # -- faults ----------------------------------------------------------------

    def outage(self) -> Trouble:
        """Refuse every connection from here on."""
        return self.script(Reset(ending=Ending.REFUSE))

    def throttle(self, *, share: float = 1.0, times: int | None = None) -> Trouble:
        """Have shards refuse entries for their rate.

        :param share: of the entries, from 0 to 1.
        :param times: how many entries; None for no end.
        """
        return self.script(ThrottleEntries(share=share, times=times))

    def fail_entries(
        self, code: str = "InternalFailure", *, share: float = 1.0, times: int | None = None
    ) -> Trouble:
        """Have entries fail by themselves, with an error code of the service.

        :param share: of the entries, from 0 to 1.
        :param times: how many entries; None for no end.
        """
        return self.script(FailEntries(code=code, share=share, times=times))

    def delay(self, seconds: float, *, times: int | None = None) -> Trouble:
        """Have calls take their time before they have their effect.

        :param times: how many calls; None for no end.
        """
        return self.script(Latency(request=seconds, times=times))

    def deny(self, operation: str | None = None) -> Trouble:
        """Refuse calls for a missing permission, those of one operation or all."""
        return self.script(AccessDenied(operation=operation))

    def script(self, *faults: Fault) -> Trouble:
        """Have any faults of :mod:`kinesink.testing` strike from here on.

        They last until they are used up, :meth:`recover` is called, or the ``with`` block ends
        that this was called for::

            with kinesis_sink.outage():
                client.post("/orders")
        """
        return Trouble(self.kinesis, faults)

    def recover(self) -> None:
        """End all faults, and let calls go on that are held."""
        self.kinesis.faults.clear()
        self.kinesis.release()

    # -- what is behind it -----------------------------------------------------

    def client(self, config: Config) -> MemoryClient:
        """Return a client that talks to :attr:`kinesis`, for a sink or producer."""
        name = config.stream_name
        if self._framings.setdefault(name, config.framing) != config.framing:
            # What each record is has to be seen by its bytes.
            self._framings[name] = None
        return MemoryClient(config, self.kinesis, self._prepare)

    def _prepare(self, stream_name: str) -> None:
        if stream_name not in self.kinesis.streams():
            # Another thread may be quicker.
            with suppress(ApiError):
                self.kinesis.create_stream(stream_name)

    def _wait(self) -> None:
        if any(map(lets_nothing_through, self.kinesis.faults)):
            return
        force_flush = _force_flush_of_opentelemetry()
        if force_flush is not None:
            force_flush(int(self.timeout * 1000))
        # Who has flushed already may be in an event loop, which nothing is to block.
        if self.pending:
            self.flush()

    def _arrived(self, streams: list[str]) -> list[Event]:
        records = [
            (record.arrival, record.sequence_number, record.data, self._framings.get(name))
            for name in streams
            for record in self.kinesis.records(name)[self._cleared.get(name, 0) :]
        ]
        records.sort(key=lambda each: each[:2])
        return [event for *_, data, framing in records for event in events_in(data, framing)]


@contextmanager
def capture_events() -> Iterator[KinesisCapture]:
    """Deliver into memory what this process sends by kinesink, in whatever way, for a while.

    Handlers, processors, exporters, sinks and producers are configured as in production, before
    or inside; no credentials, no region and no network are needed, and no spool is written. In
    the end nothing is left: handlers and settings of :mod:`logging` and structlog are as before,
    handlers that came since are closed, and no thread of kinesink's runs. OpenTelemetry keeps its
    global provider, which cannot be replaced.

    Only of this process: what a child delivers is in the child's memory.

    :raises RuntimeError: if a producer that was running before does not end, or in the end one
        that was captured.
    """
    captured = KinesisCapture()

    def settle() -> None:
        captured.recover()
        captured.flush(_LAST_CHANCE)

    with in_memory(captured.client, settle, _PATIENCE):
        yield captured


def _times(number: int | None) -> str:
    return "once" if number == 1 else f"{number} times"


def _force_flush_of_opentelemetry() -> Callable[[int], object] | None:
    """Return what exports the batches of OpenTelemetry's global provider, given milliseconds."""
    library: Any = sys.modules.get("opentelemetry._logs")
    if library is None:
        return None
    # Where none is set, something stands for it that cannot do it.
    force_flush: Callable[[int], object] | None = getattr(
        library.get_logger_provider(), "force_flush", None
    )
    return force_flush
