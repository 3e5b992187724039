"""The adapter for structlog: a processor in its chain, and a logger at its end.

Law: whatever happens here, the chain goes on: the event dict is read and returned as it
came, and no error of ours reaches the log call.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, TypeVar

from structlog import BoundLoggerBase, DropEvent
from structlog.stdlib import ProcessorFormatter

from kinesink.adapters import partition_key as keys
from kinesink.adapters.door import Door
from kinesink.adapters.double_shipping import warn_of_handlers
from kinesink.adapters.event_dict import READERS, level_of, translate
from kinesink.adapters.nesting import DEPTHS, MAX_NESTING
from kinesink.adapters.this_process import THIS_PROCESS
from kinesink.event.plain_values import type_name
from kinesink.shell.origin import OWN, OWN_THREADS

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from typing_extensions import Self, Unpack

    from kinesink.adapters.event_dict import Parts
    from kinesink.adapters.parameters import Parameters
    from kinesink.event.parts import Lines
    from kinesink.readiness import Health
    from kinesink.shell.sink import Sink
    from kinesink.statistics import Statistics

__all__ = ["KinesisLogger", "KinesisLoggerFactory", "KinesisProcessor"]

T = TypeVar("T")


class _Shipper:
    """What processor and logger have in common: an event goes through the door."""

    def __init__(self, door: Door) -> None:
        self.door: Final = door
        # The same list: each event looks there first.
        self._sinks: Final = door.sinks
        self._encode: Final = door.encoder().encode
        of_parts = door.key_of(READERS)
        given = door.options.partition_key
        # A callable of the application's gets what structlog has, not our parts of it.
        self._key_of: Final[Callable[[Any, Parts], object] | None] = (
            (lambda value, _: given(value))
            if callable(given)
            else of_parts and (lambda _, parts: of_parts(parts))
        )

    def ship(  # noqa: PLR0912 - a call for any part of it would be a tenth of an event
        self,
        value: object,
        method_name: str,
        logger: object,
    ) -> None:
        """Ship an event dict, or what a renderer has made of one; raise nothing.

        :param logger: what the chain ends in; its name counts where the dict has none.
        """
        thread = get_ident()
        if (thread in OWN_THREADS or OWN.get()) and self.door.is_own():
            return
        depth = DEPTHS.get(thread, 0)
        DEPTHS[thread] = depth + 1
        name: str | None = None
        lines: Lines | None = None
        parts: Parts | None
        try:
            given = getattr(logger, "name", None)
            # Some loggers have a method of whatever name they are asked for.
            name = given if type(given) is str else None
            try:
                sink = self._sinks[0]
            except IndexError:
                sink = self.door.take()
            if sink.pressure.high and sink.turns_away(_level(value, method_name)):
                return
            if depth >= MAX_NESTING:
                # Without a key, too: reading one may run the application's code.
                lines = self._bare(value, method_name, name)
                self.door.hand_over(lines)
                return
            if type(value) is dict:
                parts = translate(value, method_name, name, THIS_PROCESS.id)
                lines = self._encode(*parts)
            else:
                lines, parts = self._other(value, method_name, name)
            if self._key_of is None and type(lines) is bytes:
                sink.emit(lines)
            else:
                parts = parts or translate({}, method_name, name, THIS_PROCESS.id)
                self.door.hand_over(lines, self._key(value, parts), _level(value, method_name))
        except Exception as error:  # noqa: BLE001 - a log call raises nothing
            self.door.trouble("structlog", error)
            if lines is None:
                self.door.hand_over(self._bare(value, method_name, name))
        finally:
            if depth:
                DEPTHS[thread] = depth
            else:
                del DEPTHS[thread]

    def _other(
        self,
        value: object,
        method_name: str,
        name: str | None,
    ) -> tuple[Lines, Parts | None]:
        """Return the lines of what is no plain dict; of what a renderer has made no parts."""
        if isinstance(value, (str, bytes, bytearray)):
            return _verbatim(value), None
        # Whatever is no event dict at all is the event itself.
        event_dict = value if isinstance(value, Mapping) else {"event": value}
        parts = translate(event_dict, method_name, name, THIS_PROCESS.id)
        return self._encode(*parts), parts

    def _bare(self, value: object, method_name: str, logger_name: str | None) -> Lines:
        """Return an event for which none of the application's code needs to run."""
        message = value.get("event") if type(value) is dict else value
        if type(message) is not str:
            message = f"<{type_name(message)}>"
        bare = translate({"event": message}, method_name, logger_name, THIS_PROCESS.id)
        return self._encode(*bare)

    def _key(self, value: object, parts: Parts) -> str | None:
        if self._key_of is None:
            return None
        try:
            return keys.usable(self._key_of(value, parts))
        except Exception as error:  # noqa: BLE001 - the application's code; its event goes keyless
            self.door.trouble("partition_key", error)
            return None


def _level(value: object, method_name: str) -> int:
    """Return the number that :mod:`logging` has for the level of an event."""
    level = value.get("level") if type(value) is dict else None
    return level_of(level if type(level) is str else method_name)[1]


def _verbatim(rendered: str | bytes | bytearray) -> bytes:
    """Return what a renderer has made, as one line."""
    data = rendered.encode("utf-8", "replace") if isinstance(rendered, str) else bytes(rendered)
    return data if data.endswith(b"\n") else data + b"\n"


class _Open:
    """What a user does with a processor or a logger besides logging."""

    _door: Door

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until what was logged before is delivered or given up, and counted.

        Blocks the thread, an event loop included; see :meth:`aflush`.

        :param timeout: longest wait in seconds; None takes ``shutdown_timeout``.
        :return: whether nothing of it is pending any more.
        """
        return self._door.flush(timeout)

    async def aflush(self, timeout: float | None = None) -> bool:
        """Do what :meth:`flush` does without blocking the event loop, asyncio or trio."""
        return await self._door.aflush(timeout)

    def close(self) -> None:
        """Flush and let go of the sink, which goes on sending. An event takes it again."""
        self._door.close()

    def statistics(self) -> Statistics:
        """Return the account of the sink, which everything of one configuration shares."""
        return self._door.statistics()

    def health(self) -> Health:
        """Return how the sink fares, see :meth:`kinesink.Sink.health`; never waits."""
        return self._door.health()

    def __deepcopy__(self, _: dict[int, Any]) -> Self:
        # What it was made with is shared: a sink, say.
        return copy.copy(self)


class KinesisProcessor(_Open):
    """A processor that ships each event to a Kinesis stream and hands it on as it came.

    It stands anywhere before the final renderer, best behind those that add to the event
    (``merge_contextvars``, ``add_log_level``, ``TimeStamper``, ``StackInfoRenderer``). What
    it ships is a snapshot: later processors may change the event dict. Behind a renderer
    it ships the rendered text or bytes verbatim. It may also stand in the processors of a
    ``ProcessorFormatter``.

    Making one does no I/O and starts no thread; the first event does. Everything of the
    same configuration shares one sink. Safe from any thread, signal handler and finalizer,
    with cached loggers, and across forks.

    :param stream_name: the stream; None takes ``KINESINK_STREAM_NAME``.
    :param drop: end the chain here, because Kinesis is the only output: raises
        ``structlog.DropEvent`` when the event is handed over (not inside a
        ``ProcessorFormatter``, where that would reach the application).
    :param sink: hand over to this one; then there are no parameters of
        :class:`kinesink.Config`, and whoever made it closes it.
    :param parameters: those of :class:`kinesink.Config` and :class:`kinesink.EventOptions`;
        what is left out comes from ``KINESINK_`` variables. A ``partition_key`` that is a
        callable gets the event dict, which it must not change.
    :raises ConfigurationError: if a value cannot work or a parameter is unknown.
    """

    def __init__(
        self,
        stream_name: str | None = None,
        *,
        drop: bool = False,
        sink: Sink | None = None,
        **parameters: Unpack[Parameters],
    ) -> None:
        self._door = Door(stream_name, sink, parameters)
        self._drop: Final = drop
        self._ship: Final = _Shipper(self._door).ship
        self._warned = False

    def __call__(self, logger: object, method_name: str, event_dict: T) -> T:
        """Ship the event; return it as it came, or raise ``DropEvent`` to end the chain."""
        value: Any = event_dict
        if type(value) is tuple:
            value = _first_argument(value)
        self._ship(value, method_name, logger)
        # Asked here first, because that is where it nearly always is.
        if self._drop and (sys._getframe(1).f_code is _CHAIN or _is_in_chain()):  # noqa: SLF001 - its caller
            raise DropEvent
        if not self._warned:
            self._warned = True
            warn_of_handlers(self._door, logger, value)
        return event_dict

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), {**self._door.arguments, "drop": self._drop})

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._door}>"


def _first_argument(arguments: tuple[Any, ...]) -> object:
    """Return what the logger's method is called with: by ``wrap_for_formatter`` the event dict."""
    first = arguments[0] if arguments else None
    return first[0] if type(first) is tuple and first else arguments


#: The code that calls processors. A logger's chain catches ``DropEvent``, a formatter's does not.
_CHAIN: Final = BoundLoggerBase._process_event.__code__  # noqa: SLF001 - public to custom wrappers
_FORMAT: Final = ProcessorFormatter.format.__code__


def _is_in_chain() -> bool:
    """Tell whether the processor was called in a logger's chain, and not in a formatter's.

    Not by what the event dict holds: earlier processors may have taken out or rendered it.
    """
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - whoever called the processor
    while frame is not None:
        if frame.f_code is _CHAIN:
            return True
        if frame.f_code is _FORMAT:
            return False
        frame = frame.f_back
    return True


class _NamedShipper(_Open):
    """What a logger is made of, whoever has made its way to the stream."""

    def __init__(self, shipper: _Shipper, name: str | None) -> None:
        #: What ``add_logger_name`` finds.
        self.name: Final = name
        self._door = shipper.door
        self._shipper: Final = shipper


def _logger_of(shipper: _Shipper, name: str | None) -> KinesisLogger:
    """Return a logger that shares a way to the stream."""
    logger = KinesisLogger.__new__(KinesisLogger)
    _NamedShipper.__init__(logger, shipper, name)
    return logger


class KinesisLogger(_NamedShipper):
    """A logger for the end of structlog's chain: what the chain made is the event.

    Text and bytes are shipped verbatim, with a newline. If the chain ends without a
    renderer, the event dict is written as :class:`KinesisProcessor` writes it. Holds no
    lock, thread or loop, so it can be cached, pickled, copied and forked.

    Usually made by :class:`KinesisLoggerFactory`; the parameters are the same.

    :param name: what ``add_logger_name`` and ``partition_key="logger"`` find.
    """

    def __init__(
        self,
        stream_name: str | None = None,
        *,
        name: str | None = None,
        sink: Sink | None = None,
        **parameters: Unpack[Parameters],
    ) -> None:
        super().__init__(_Shipper(Door(stream_name, sink, parameters)), name)

    def _log(self, method_name: str, event: object, event_dict: Mapping[str, Any]) -> None:
        if isinstance(event, (str, bytes, bytearray)) and not event_dict:
            value: Any = event
        else:
            value = dict(event_dict) if event is None else {"event": event, **event_dict}
        self._shipper.ship(value, method_name, self)

    def debug(self, event: object = None, /, **event_dict: object) -> None:
        """Ship the event."""
        self._log("debug", event, event_dict)

    def info(self, event: object = None, /, **event_dict: object) -> None:
        """Ship the event."""
        self._log("info", event, event_dict)

    def warning(self, event: object = None, /, **event_dict: object) -> None:
        """Ship the event."""
        self._log("warning", event, event_dict)

    def error(self, event: object = None, /, **event_dict: object) -> None:
        """Ship the event."""
        self._log("error", event, event_dict)

    def critical(self, event: object = None, /, **event_dict: object) -> None:
        """Ship the event."""
        self._log("critical", event, event_dict)

    msg = log = info
    warn = warning
    err = failure = exception = error
    fatal = critical

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), {**self._door.arguments, "name": self.name})

    def __copy__(self) -> KinesisLogger:
        return _logger_of(self._shipper, self.name)

    def __repr__(self) -> str:
        name = "" if self.name is None else f" {self.name!r}"
        return f"<{type(self).__name__}{name} to {self._door}>"


class KinesisLoggerFactory(_Open):
    """Makes the loggers of one stream, for ``structlog.configure(logger_factory=…)``.

    Its loggers share one way to the stream. The first positional argument of
    ``structlog.get_logger`` is a logger's name. A callable ``partition_key`` gets the text
    or bytes that the chain ends in; parameters are those of :class:`KinesisProcessor`.
    """

    def __init__(
        self,
        stream_name: str | None = None,
        *,
        sink: Sink | None = None,
        **parameters: Unpack[Parameters],
    ) -> None:
        self._shipper: Final = _Shipper(Door(stream_name, sink, parameters))
        self._door = self._shipper.door

    def __call__(self, *args: Any) -> KinesisLogger:  # noqa: ANN401 - as structlog calls it
        """Return a logger, named by the first argument if there is one."""
        return _logger_of(self._shipper, args[0] if args else None)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self._door.arguments)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._door}>"


def _rebuild(kind: Callable[..., T], arguments: dict[str, Any]) -> T:
    return kind(**arguments)
