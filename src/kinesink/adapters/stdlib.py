"""The adapter for :mod:`logging`: a LogRecord becomes one event of a stream."""

from __future__ import annotations

import copy
import logging
import math
import os
import threading
from contextlib import suppress
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, Literal

from kinesink.adapters import log_record
from kinesink.adapters import partition_key as keys
from kinesink.config import _QUANTITY, _UNITS_OF_BYTES, Config
from kinesink.encode import MAX_EVENT_BYTES, Encoder
from kinesink.errors import ConfigurationError
from kinesink.shell.origin import OWN, OWN_THREADS, is_own
from kinesink.shorten import MIN_EVENT_BYTES
from kinesink.statistics import Statistics

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Unpack

    from kinesink.adapters.parameters import ConfigParameters
    from kinesink.shell.sink import Sink

MAX_NESTING: Final = 3
"""A log call whose rendering logs, whose rendering logs: past this depth, only templates."""


class _Nesting(threading.local):
    """How many renderings the current thread is inside of."""

    depth = 0


_nesting: Final = _Nesting()


def _say_nothing(_: logging.LogRecord) -> None:
    """Nobody asked to hear of log calls that are wrong in themselves."""


class KinesisFormatter(logging.Formatter):
    """Renders a record in kinesink's default schema: one line of JSON, all fields kept.

    The formatter that :class:`KinesisHandler` has from the start. Another handler can
    have one, too, to print what would be shipped. Takes the arguments with which
    ``dictConfig`` and ``fileConfig`` call any formatter, but no format: the schema is it.

    Safe from any thread, signal handler and finalizer, and across forks.

    :param max_event_bytes: longest line in bytes, newline included; longer texts in an
        event are cut and the event says so. 2 KiB or more, also as text (``"256KiB"``).
    :raises ConfigurationError: if a format is given or the size cannot be used.
    """

    def __init__(
        self,
        fmt: None = None,
        datefmt: None = None,
        style: Literal["%", "{", "$"] = "%",
        validate: bool = True,  # noqa: FBT001, FBT002 - logging.config passes it by position
        *,
        max_event_bytes: int | str = MAX_EVENT_BYTES,
    ) -> None:
        for parameter, value in (("format", fmt), ("datefmt", datefmt)):
            if value is not None:
                raise ConfigurationError(
                    parameter, value, "KinesisFormatter writes JSON; for a format of your own, "
                    "give the handler a logging.Formatter",
                )  # fmt: skip
        super().__init__(style=style, validate=validate)
        self._encoder = Encoder(event_size(max_event_bytes))

    def format(self, record: logging.LogRecord) -> str:
        """Return the event as one line of JSON, without a newline."""
        return self.encode(record)[:-1].decode()

    def encode(self, record: logging.LogRecord, on_bug: log_record.OnBug = _say_nothing) -> bytes:
        """Return the event as one line of JSON in UTF-8 that ends in a newline.

        :param on_bug: called with the record, inside an ``except`` block, if the
            template and the arguments of the log call do not match. The event is
            returned all the same.
        """
        depth = _nesting.depth
        if depth >= MAX_NESTING:
            return self._encoder.encode(
                record.created, log_record.call_site(record), log_record.template(record)
            )
        _nesting.depth = depth + 1
        try:
            return self._encoder.encode(
                record.created, log_record.call_site(record), *log_record.content(record, on_bug)
            )
        finally:
            _nesting.depth = depth


class KinesisHandler(logging.Handler):
    """Ships each record of :mod:`logging` to a Kinesis stream; the log call never waits.

    Made by hand, ``basicConfig``, ``dictConfig`` or ``fileConfig``. Making one does no
    I/O and starts no thread; the first record does. Handlers of the same configuration
    share one sink, and what is pending at the end of the process is delivered then.

    With a formatter of your own its text is the event, verbatim and as one line feed
    more; it is then neither shortened nor checked.

    Records that the producer's own work causes are left out, see
    :mod:`kinesink.shell.origin`. A log call takes no lock here: it is safe from any
    thread, signal handler, finalizer and event loop, and after a fork.

    :param stream_name: the stream; None takes ``KINESINK_STREAM_NAME``.
    :param level: least level of what is shipped.
    :param partition_key: None: the sink chooses a shard. ``"logger"``, ``"process"``,
        ``"trace_id"``, ``"attr:user_id"`` (the value of that extra), or a callable of
        the record that returns a text or None: equal keys share a shard.
    :param max_event_bytes: see :class:`KinesisFormatter`; a sub-record that is larger than
        what the stream takes is dropped and counted.
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
        super().__init__(level)
        self._arguments: Final[dict[str, Any]] = {
            "stream_name": stream_name,
            "partition_key": partition_key,
            "max_event_bytes": max_event_bytes,
            "sink": sink,
            **parameters,
        }
        if sink is None:
            from kinesink.shell.sink import acquire, release  # noqa: PLC0415

            if stream_name is not None:
                parameters["stream_name"] = stream_name  # type: ignore[typeddict-unknown-key]
            config = Config.from_environment(**parameters)
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
        # Set here, because basicConfig gives a text formatter to a handler that has none.
        self.setFormatter(
            KinesisFormatter(
                max_event_bytes=_or_variable(max_event_bytes, "MAX_EVENT_BYTES", MAX_EVENT_BYTES)
            )
        )

    def handle(self, record: logging.LogRecord) -> bool:
        """Ship the record, unless a filter rejects it or the producer caused it.

        Unlike the base class's it holds no lock: handing over is one atomic operation,
        and a lock could be held by the very code that this call interrupts.

        :return: whether the record, or what a filter put in its place, went on to
            :meth:`emit`.
        """
        if OWN.get() or get_ident() in OWN_THREADS:
            if self._latest is not None:
                self._latest.count_own()
            return False
        try:
            kept: object = self.filter(record)
        except Exception:  # noqa: BLE001 - a filter is the application's code
            # Not shipped: the filter may be what keeps secrets out.
            self.handleError(record)
            return False
        if not kept:
            return False
        self.emit(kept if isinstance(kept, logging.LogRecord) else record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Render the record and hand it to the sink, past filters and origin.

        What is wrong with the rendering goes the way of :meth:`logging.Handler.handleError`.
        What becomes of the event afterwards is counted in :meth:`statistics`.
        """
        try:
            formatter = self.formatter
            if type(formatter) is KinesisFormatter:
                data = formatter.encode(record, self.handleError)
            else:
                data = self._verbatim(record)
            try:
                sink = self._sinks[0]
            except IndexError:
                sink = self._take_sink()
            if self._key_of is None:
                sink.emit(data)
            else:
                sink.emit(data, self._partition_key(record, self._key_of))
        except RecursionError:  # as the handlers of logging: reporting it would recurse as well
            raise
        except Exception:  # noqa: BLE001 - a log call raises nothing
            self.handleError(record)

    def flush(self, timeout: float | None = None) -> bool:  # type: ignore[override]
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

    def _take_sink(self) -> Sink:
        self._latest = sink = self._take()
        self._sinks.append(sink)
        return sink

    def _verbatim(self, record: logging.LogRecord) -> bytes:
        line: object = self.format(record)
        data = line if isinstance(line, bytes) else str(line).encode("utf-8", "replace")
        return data if data.endswith(b"\n") else data + b"\n"

    def _partition_key(
        self, record: logging.LogRecord, key_of: Callable[[logging.LogRecord], object]
    ) -> str | None:
        try:
            return keys.usable(key_of(record))
        except Exception:  # noqa: BLE001 - the application's code; its event goes keyless
            self.handleError(record)
            return None


def event_size(max_event_bytes: int | str) -> int:
    """Return the longest event in bytes that ``max_event_bytes`` stands for.

    :raises ConfigurationError: if it is no size or less than 2 KiB.
    """
    size: object = max_event_bytes
    if isinstance(size, str) and (match := _QUANTITY.fullmatch(size)):
        size = float(match[1]) * _UNITS_OF_BYTES.get(match[2].upper(), 0)
    if isinstance(size, (int, float)) and MIN_EVENT_BYTES <= size < math.inf and size % 1 == 0:
        return int(size)
    raise ConfigurationError(
        "max_event_bytes", max_event_bytes, "bytes, 2 KiB or more (262144, '256KiB')"
    )


def _or_variable(value: Any, name: str, default: Any) -> Any:
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
