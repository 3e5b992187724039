"""The adapter for :mod:`logging`: a LogRecord becomes one event of a stream."""

from __future__ import annotations

import copy
import logging
from threading import get_ident
from typing import TYPE_CHECKING, Any

from kinesink.adapters import log_record
from kinesink.adapters import partition_key as keys
from kinesink.adapters.door import Door
from kinesink.adapters.formatter import KinesisFormatter
from kinesink.adapters.nesting import DEPTHS, MAX_NESTING
from kinesink.shell.origin import OWN, OWN_THREADS

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Unpack

    from kinesink.adapters.parameters import Parameters
    from kinesink.config import Config
    from kinesink.event.parts import Lines
    from kinesink.readiness import Health
    from kinesink.shell.sink import Sink
    from kinesink.statistics import Statistics

__all__ = ["KinesisFormatter", "KinesisHandler"]


class KinesisHandler(logging.Handler):
    """Ships each record of :mod:`logging` to a Kinesis stream; the log call never waits.

    Made by hand, ``basicConfig``, ``dictConfig`` or ``fileConfig``. Making one does no
    I/O and starts no thread; the first record does. Handlers of the same configuration
    share one sink, and what is pending at the end of the process is delivered then.

    With a formatter of your own, its text is the event, verbatim but for a newline at the
    end; it is then neither shortened nor checked.

    Records that the producer's own work causes are left out, see
    :mod:`kinesink.shell.origin`. A log call takes no lock here: it is safe from any
    thread, signal handler, finalizer and event loop, and after a fork.

    :param stream_name: the stream; None takes ``KINESINK_STREAM_NAME``.
    :param level: least level of what is shipped.
    :param sink: hand over to this one; then there are no parameters of
        :class:`kinesink.Config`, and whoever made it closes it.
    :param parameters: those of :class:`kinesink.Config` and :class:`kinesink.EventOptions`,
        all as plain text if need be. What is left out comes from ``KINESINK_`` variables.
    :raises ConfigurationError: if a value cannot work or a parameter is unknown.
    """

    def __init__(
        self,
        stream_name: str | None = None,
        *,
        level: int | str = logging.NOTSET,
        sink: Sink | None = None,
        **parameters: Unpack[Parameters],
    ) -> None:
        self._door = Door(stream_name, sink, parameters)
        # The same list: a log call looks there first.
        self._sinks = self._door.sinks
        self._key_of = self._door.key_of(log_record.READERS)
        self._own_formatter = KinesisFormatter.of(self._door.encoder())
        # Asking the base class whether it has no filters costs a call.
        self._filters_itself = type(self).filter is not logging.Handler.filter
        # Last, because it makes the handler known: logging would flush half a handler at exit.
        super().__init__(level)
        # At once, because basicConfig gives a text formatter to a handler that has none.
        self.setFormatter(self._own_formatter)

    def handle(self, record: logging.LogRecord) -> bool:
        """Ship the record, unless a filter rejects it or the producer caused it.

        Unlike the base class's it holds no lock: handing over is one atomic operation,
        and a lock could be held by the very code that this call interrupts.

        :return: whether the record, or what a filter put in its place, went on to
            :meth:`emit`.
        """
        thread = get_ident()
        if (thread in OWN_THREADS or OWN.get()) and self._door.is_own():
            return False
        if self.filters or self._filters_itself:
            try:
                kept: object = self.filter(record)
            except Exception:  # noqa: BLE001 - a filter is the application's code
                # Not shipped: the filter may be what keeps secrets out.
                self.handleError(record)
                return False
            if not kept:
                return False
            if isinstance(kept, logging.LogRecord):
                record = kept
        if thread in DEPTHS:
            self._emit_nested(record, thread)
            return True
        DEPTHS[thread] = 1
        try:
            self.emit(record)
        finally:
            del DEPTHS[thread]
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Render the record and hand it to the sink, past filters and origin.

        A log call that is wrong in itself goes the way of
        :meth:`logging.Handler.handleError`; its event is shipped unformatted. What becomes
        of events afterwards is counted in :meth:`statistics`.
        """
        data: Lines | None = None
        try:
            try:
                sink = self._sinks[0]
            except IndexError:
                sink = self._door.take()
            if sink.pressure.high and sink.turns_away(record.levelno):
                return
            formatter = self.formatter
            if type(formatter) is KinesisFormatter:
                data = formatter.encode(record)
            else:
                data = self._verbatim(record)
            if self._key_of is None and type(data) is bytes:
                sink.emit(data)
            else:
                self._hand_over(record, data)
        except RecursionError:  # as the handlers of logging: reporting it would recurse as well
            raise
        except Exception:  # noqa: BLE001 - a log call raises nothing
            self.handleError(record)
            if data is None and isinstance(self.formatter, KinesisFormatter):
                self._hand_over(record, self.formatter.encode_unformatted(record))

    def _emit_nested(self, record: logging.LogRecord, thread: int) -> None:
        """Emit a record that was logged while this thread renders another one."""
        depth = DEPTHS[thread]
        if depth >= MAX_NESTING:
            # Without a key, too: reading one may run the application's code.
            self._door.hand_over(self._bare(record))
            return
        DEPTHS[thread] = depth + 1
        try:
            self.emit(record)
        finally:
            DEPTHS[thread] = depth

    def _bare(self, record: logging.LogRecord) -> Lines:
        """Return an event for which none of the application's code needs to run."""
        if isinstance(self.formatter, KinesisFormatter):
            return self.formatter.encode_template(record)
        return log_record.template(record).encode("utf-8", "replace") + b"\n"

    def _verbatim(self, record: logging.LogRecord) -> bytes:
        """Return what a formatter of the application's makes of the record, as one line."""
        line: object = self.format(record)
        data = line if isinstance(line, bytes) else str(line).encode("utf-8", "replace")
        return data if data.endswith(b"\n") else data + b"\n"

    def _hand_over(self, record: logging.LogRecord, data: Lines) -> None:
        key = None if self._key_of is None else self._partition_key(record, self._key_of)
        self._door.hand_over(data, key, record.levelno)

    def _partition_key(
        self, record: logging.LogRecord, key_of: Callable[[logging.LogRecord], object]
    ) -> str | None:
        try:
            return keys.usable(key_of(record))
        except Exception:  # noqa: BLE001 - the application's code; its event goes keyless
            self.handleError(record)
            return None

    def flush(self, timeout: float | None = None) -> bool:  # type: ignore[override]  # more than the base promises
        """Wait until what was logged before is delivered or given up, and counted.

        Blocks the thread, an event loop included. Where waiting could never end it
        returns False at once: on behalf of a producer, and while this thread is inside
        ``dictConfig`` or ``fileConfig``, whose lock a sending thread may need.

        :param timeout: longest wait in seconds; None takes ``shutdown_timeout``.
        :return: whether nothing of it is pending any more.
        """
        return self._door.flush(timeout)

    async def aflush(self, timeout: float | None = None) -> bool:
        """Do what :meth:`flush` does without blocking the event loop, asyncio or trio."""
        return await self._door.aflush(timeout)

    def close(self) -> None:
        """Flush as :meth:`flush` does and let go of the sink, which goes on sending.

        May be called again. A record that comes later takes the sink again, because
        ``dictConfig`` closes handlers that stay attached to their loggers.
        """
        self._door.close()
        super().close()

    def ships_to(self, config: Config) -> bool:
        """Tell whether its records go to the sink of a configuration."""
        return self._door.config == config

    def statistics(self) -> Statistics:
        """Return the account of the sink, which everything of one configuration shares.

        All zero before the first record; the last one counts after :meth:`close`.
        """
        return self._door.statistics()

    def health(self) -> Health:
        """Return how the sink fares, see :meth:`kinesink.Sink.health`; never waits."""
        return self._door.health()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._door} ({logging.getLevelName(self.level)})>"

    def __reduce__(self) -> tuple[Any, ...]:
        state: dict[str, Any] = {"level": self.level, "filters": self.filters}
        if self.formatter is not self._own_formatter:
            # A copy has one of its own, which tells of trouble by the copy's sink.
            state["formatter"] = self.formatter
        return _rebuild, (type(self), self._door.arguments), state

    def __setstate__(self, state: dict[str, Any]) -> None:
        # The name stays behind, because logging finds handlers by name.
        self.setLevel(state["level"])
        self.filters = list(state["filters"])
        self.setFormatter(state.get("formatter", self._own_formatter))

    def __deepcopy__(self, _: dict[int, Any]) -> KinesisHandler:
        return copy.copy(self)


def _rebuild(kind: type[KinesisHandler], arguments: dict[str, Any]) -> KinesisHandler:
    return kind(**arguments)
