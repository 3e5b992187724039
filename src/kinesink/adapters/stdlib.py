"""The adapter for :mod:`logging`: a LogRecord becomes one event of a stream."""

from __future__ import annotations

import copy
import logging
import os
from contextlib import suppress
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, TypeVar

from kinesink.adapters import log_record
from kinesink.adapters import partition_key as keys
from kinesink.adapters.formatter import KinesisFormatter
from kinesink.config import Config
from kinesink.encode import MAX_EVENT_BYTES
from kinesink.errors import ConfigurationError
from kinesink.shell.origin import OWN, OWN_THREADS, is_own
from kinesink.shell.sink import acquire, release
from kinesink.statistics import Statistics

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Unpack

    from kinesink.adapters.parameters import ConfigParameters
    from kinesink.shell.sink import Sink

__all__ = ["KinesisFormatter", "KinesisHandler"]

T = TypeVar("T")

MAX_NESTING: Final = 3
"""Past so many log calls inside of one another, a record is shipped as its template."""

_depths: Final[dict[int, int]] = {}
"""How many renderings a thread is inside of, by its identity; absent for none. Exact
without a lock, as a thread touches only its own entry, and cheaper than a thread-local."""


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
    :param partition_key: None: the sink chooses a shard. ``"logger"``, ``"process"``,
        ``"trace_id"``, ``"attr:user_id"`` (the value of that extra), or a callable of
        the record that returns a text or None: equal keys share a shard.
    :param max_event_bytes: see :class:`KinesisFormatter`; None takes 256 KiB.
    :param sink: hand over to this one; then there are no further parameters, and
        whoever made it closes it.
    :param parameters: those of :class:`kinesink.Config`, all as plain text if need be.
        What is left out comes from ``KINESINK_`` variables, as do ``partition_key`` and
        ``max_event_bytes``.
    :raises ConfigurationError: if a value cannot work or a parameter is unknown.
    """

    def __init__(
        self,
        stream_name: str | None = None,
        *,
        level: int | str = logging.NOTSET,
        partition_key: keys.PartitionKey = None,
        max_event_bytes: int | str | None = None,
        sink: Sink | None = None,
        **parameters: Unpack[ConfigParameters],
    ) -> None:
        self._arguments: Final[dict[str, Any]] = {
            "stream_name": stream_name,
            "partition_key": partition_key,
            "max_event_bytes": max_event_bytes,
            "sink": sink,
            **parameters,
        }
        if sink is None:
            named = {} if stream_name is None else {"stream_name": stream_name}
            config = Config.from_environment(**named, **parameters)
            self._target: object = config.stream_name
            self._take: Callable[[], Sink] = partial(acquire, config)
            self._let_go: Callable[[Sink], object] = release
        else:
            if stream_name is not None or parameters:
                raise ConfigurationError(
                    "sink", sink, "it has its own configuration; give no other"
                )
            self._target = sink
            self._take = lambda: sink
            self._let_go = _leave_open
        # Each time the sink is taken it is put here once: append and pop are atomic, so two
        # threads that log first at the same time need no lock to agree.
        self._sinks: list[Sink] = []
        self._latest = sink
        self._key_of = keys.key_of(_or_variable(partition_key, "PARTITION_KEY", None))
        formatter = KinesisFormatter(
            max_event_bytes=_or_variable(max_event_bytes, "MAX_EVENT_BYTES", MAX_EVENT_BYTES)
        )
        # Asking the base class whether it has no filters costs a call.
        self._filters_itself = type(self).filter is not logging.Handler.filter
        # Last, because it makes the handler known: logging would flush half a handler at exit.
        super().__init__(level)
        # At once, because basicConfig gives a text formatter to a handler that has none.
        self.setFormatter(formatter)

    def handle(self, record: logging.LogRecord) -> bool:
        """Ship the record, unless a filter rejects it or the producer caused it.

        Unlike the base class's it holds no lock: handing over is one atomic operation,
        and a lock could be held by the very code that this call interrupts.

        :return: whether the record, or what a filter put in its place, went on to
            :meth:`emit`.
        """
        thread = get_ident()
        if thread in OWN_THREADS or OWN.get():
            if self._latest is not None:
                self._latest.count_own()
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
        if thread in _depths:
            self._emit_nested(record, thread)
            return True
        _depths[thread] = 1
        try:
            self.emit(record)
        finally:
            del _depths[thread]
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Render the record and hand it to the sink, past filters and origin.

        A log call that is wrong in itself goes the way of
        :meth:`logging.Handler.handleError`; its event is shipped unformatted. What becomes
        of events afterwards is counted in :meth:`statistics`.
        """
        data = None
        try:
            formatter = self.formatter
            if type(formatter) is KinesisFormatter:
                data = formatter.encode(record)
            else:
                data = self._verbatim(record)
            if self._key_of is None:
                try:
                    sink = self._sinks[0]
                except IndexError:
                    sink = self._take_sink()
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
        depth = _depths[thread]
        if depth >= MAX_NESTING:
            self._hand_over(record, self._bare(record))
            return
        _depths[thread] = depth + 1
        try:
            self.emit(record)
        finally:
            _depths[thread] = depth

    def _bare(self, record: logging.LogRecord) -> bytes:
        """Return an event for which none of the application's code needs to run."""
        if isinstance(self.formatter, KinesisFormatter):
            return self.formatter.encode_template(record)
        return log_record.template(record).encode("utf-8", "replace") + b"\n"

    def _verbatim(self, record: logging.LogRecord) -> bytes:
        """Return what a formatter of the application's makes of the record, as one line."""
        line: object = self.format(record)
        data = line if isinstance(line, bytes) else str(line).encode("utf-8", "replace")
        return data if data.endswith(b"\n") else data + b"\n"

    def _hand_over(self, record: logging.LogRecord, data: bytes) -> None:
        try:
            sink = self._sinks[0]
        except IndexError:
            sink = self._take_sink()
        sink.emit(data, None if self._key_of is None else self._partition_key(record, self._key_of))

    def _take_sink(self) -> Sink:
        self._latest = sink = self._take()
        self._sinks.append(sink)
        return sink

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
        sink = self._latest
        if sink is None:
            return True
        if is_own() or _owns_logging_lock():
            sink.flush(0)
            return False
        return sink.flush(timeout)

    def close(self) -> None:
        """Flush as :meth:`flush` does and let go of the sink, which goes on sending.

        May be called again. A record that comes later takes the sink again, because
        ``dictConfig`` closes handlers that stay attached to their loggers.
        """
        self.flush()
        with suppress(IndexError):
            while True:
                self._let_go(self._sinks.pop())
        super().close()

    def statistics(self) -> Statistics:
        """Return the account of the sink, which handlers of one configuration share.

        All zero before the first record; the last one counts after :meth:`close`.
        """
        return Statistics() if self._latest is None else self._latest.statistics()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._target} ({logging.getLevelName(self.level)})>"

    def __reduce__(self) -> tuple[Any, ...]:
        state = {"level": self.level, "filters": self.filters, "formatter": self.formatter}
        return _rebuild, (type(self), self._arguments), state

    def __setstate__(self, state: dict[str, Any]) -> None:
        # The name stays behind, because logging finds handlers by name.
        self.setLevel(state["level"])
        self.filters = list(state["filters"])
        self.setFormatter(state["formatter"])

    def __deepcopy__(self, _: dict[int, Any]) -> KinesisHandler:
        return copy.copy(self)


def _or_variable(value: T | None, name: str, default: T) -> T | str:
    """Return ``value``, or if it is None the variable, or if that is empty the default."""
    return value if value is not None else os.environ.get(f"KINESINK_{name}") or default


def _leave_open(_: Sink) -> None:
    """Whoever made a sink closes it."""


def _rebuild(kind: type[KinesisHandler], arguments: dict[str, Any]) -> KinesisHandler:
    return kind(**arguments)


def _owns_logging_lock() -> bool:
    """Return whether this thread is inside ``dictConfig`` or its kin; False if unknown."""
    is_owned = getattr(getattr(logging, "_lock", None), "_is_owned", None)
    return is_owned is not None and bool(is_owned())
