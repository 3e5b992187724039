"""One adapter's way into the stream: its sink, how it writes events, and what to wait for.

Law: whatever library an event comes through, it goes by the same door. A door takes the
process's sink for its configuration with the first event, shares it with every other door
of that configuration, and gives it back when it is closed; an event that comes later takes
it again.
"""

from __future__ import annotations

from dataclasses import fields
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakSet

from kinesink.adapters import partition_key as keys
from kinesink.aws_options import Hidden
from kinesink.config import Config
from kinesink.core.records import DropReason
from kinesink.errors import ConfigurationError
from kinesink.event.losses import loss_lines
from kinesink.event.options import EventOptions
from kinesink.event.plain_values import text, type_name
from kinesink.event.shaped import ShapedEncoder, new_encoder
from kinesink.readiness import Health
from kinesink.shell.members import members
from kinesink.shell.origin import is_own
from kinesink.shell.overflow import owns_logging_lock
from kinesink.shell.registry import acquire, release
from kinesink.statistics import Statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kinesink.adapters.partition_key import Readers
    from kinesink.event.encoder import Encoder
    from kinesink.event.parts import Lines
    from kinesink.event.process_facts import ProcessFacts
    from kinesink.shell.sink import Sink

R = TypeVar("R")


class Door:
    """The parts of an adapter that are the same for every library.

    Making one does no I/O and starts nothing. Everything but :meth:`flush`, :meth:`aflush`
    and :meth:`close` is safe from any thread, signal handler and finalizer, and across
    forks.

    :param stream_name: the stream; None takes ``KINESINK_STREAM_NAME``.
    :param sink: hand over to this one, which whoever made it closes; then there are no
        parameters of :class:`~kinesink.Config`.
    :param parameters: those of :class:`~kinesink.Config` and of
        :class:`~kinesink.event.options.EventOptions`.
    :raises ConfigurationError: if a value cannot work or a parameter is unknown.
    """

    def __init__(
        self, stream_name: str | None, sink: Sink | None, parameters: Mapping[str, Any]
    ) -> None:
        #: What makes another one like this.
        self.arguments: Final[dict[str, Any]] = {
            "stream_name": stream_name,
            "sink": sink,
            **parameters,
        }
        of_events = EventOptions.names()
        _check_names(parameters, of_events)
        about_events = {name: parameters[name] for name in of_events if name in parameters}
        about_sink = {name: value for name, value in parameters.items() if name not in about_events}
        self._given: Final = sink
        self.config: Final = _config(stream_name, sink, about_sink)
        self.options: Final = EventOptions.from_environment(**about_events)
        #: The sink while it is taken. Each time it is taken it is put here once more: append
        #: and clear are atomic, so threads that log first at the same time need no lock.
        self.sinks: Final[list[Sink]] = []
        #: The sink that was taken last, or was given; None before the first event.
        self.latest = sink
        #: Whether the stream is told of losses in events as this door writes them.
        self.tells_losses = True
        #: What writes events here; numbered by the sink's sequence as soon as it is taken.
        self._encoders: Final[WeakSet[Encoder | ShapedEncoder]] = WeakSet()

    # -- events ----------------------------------------------------------------

    def encoder(
        self, facts: ProcessFacts | None = None, resource: Mapping[str, Any] | None = None
    ) -> Encoder | ShapedEncoder:
        """Return what writes events for this door; parameters as of :class:`Encoder`."""
        encoder = new_encoder(self.options, facts, resource)
        if isinstance(encoder, ShapedEncoder):
            encoder.on_trouble = self.trouble
        # Known before the sink is looked at: who takes one meanwhile numbers it.
        self._encoders.add(encoder)
        if self.latest is not None:
            self._number(encoder, self.latest)
        return encoder

    def key_of(self, readers: Readers[R]) -> Callable[[R], object] | None:
        """Return what reads the partition key of a record; None for keyless events."""
        return keys.key_of(self.options.partition_key, readers)

    def take(self) -> Sink:
        """Return the sink, taking it if this door does not have it."""
        try:
            return self.sinks[0]
        except IndexError:
            pass
        sink = acquire(self.config, self) if self._given is None else self._given
        self.latest = sink
        for encoder in members(self._encoders):
            self._number(encoder, sink)
        if self.tells_losses:
            numbers = sink.sequence if self.options.sequence else None
            sink.tell_losses_by(partial(loss_lines, self.options, numbers))
        self.sinks.append(sink)
        return sink

    def _number(self, encoder: Encoder | ShapedEncoder, sink: Sink) -> None:
        if self.options.sequence:
            encoder.sequence = sink.sequence

    def hand_over(
        self, lines: Lines, partition_key: str | None = None, level: int | None = None
    ) -> None:
        """Hand an event over: its line, or its several ones; none counts as dropped."""
        sink = self.take()
        if isinstance(lines, bytes):
            sink.emit(lines, partition_key, level=level)
        elif lines:
            for line in lines:
                sink.emit(line, partition_key, level=level)
        else:
            sink.refuse(DropReason.TOO_LARGE, level)

    def refuse(self, reason: DropReason) -> None:
        """Count an event as dropped, without taking a sink that was given back."""
        (self.latest or self.take()).refuse(reason)

    def is_own(self) -> bool:
        """Tell whether the producer's own work logs this, and count it if so."""
        if not is_own():
            return False
        if self.latest is not None:
            self.latest.count_own()
        return True

    def trouble(self, what: str, error: BaseException) -> None:
        """Tell of an error in the application's code, at most once a minute and kind."""
        # Not by its repr, which is the application's code, too.
        said = f"{type_name(error)}: {text(error)}"
        self.take().report(what, f"{what} raised {said}; the event was shipped as far as possible")

    # -- waiting ---------------------------------------------------------------

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until what was handed over before is delivered or given up, and counted.

        Blocks the thread, an event loop included. Where waiting could never end it
        returns False at once: on behalf of a producer, and while this thread is inside
        ``dictConfig`` or ``fileConfig``, whose lock a sending thread may need.

        :param timeout: longest wait in seconds; None takes ``shutdown_timeout``.
        :return: whether nothing of it is pending any more.
        """
        sink = self.latest
        if sink is None:
            return True
        if is_own() or owns_logging_lock():
            sink.flush(0)
            return False
        return sink.flush(timeout)

    async def aflush(self, timeout: float | None = None) -> bool:
        """Do what :meth:`flush` does without blocking the event loop, asyncio or trio."""
        return True if self.latest is None else await self.latest.aflush(timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Flush, and let go of the sink, which goes on sending. May be called again."""
        flushed = self.flush(timeout)
        # Given back first: whoever takes it after that holds it again.
        if self.latest is not None and self._given is None:
            release(self.latest, self)
        self.sinks.clear()
        return flushed

    def statistics(self) -> Statistics:
        """Return the account of the sink, which doors of one configuration share.

        All zero before the first event; the last one counts after :meth:`close`.
        """
        return Statistics() if self.latest is None else self.latest.statistics()

    def health(self) -> Health:
        """Return how the sink fares; ``ok`` before the first event. Never waits."""
        return Health("ok", "", 0.0) if self.latest is None else self.latest.health()

    def __repr__(self) -> str:
        return self.config.stream_name if self._given is None else repr(self._given)


def _check_names(parameters: Iterable[str], of_events: list[str]) -> None:
    """Refuse a parameter that resembles one about events; Config knows but its own."""
    known = {spec.name for spec in fields(Config)}.union(of_events)
    for name in parameters:
        if name not in known and (near := get_close_matches(name, known)):
            # Its value may be a secret.
            hint = f"there is no such parameter; did you mean {' or '.join(near)}?"
            raise ConfigurationError(name, Hidden(), hint)


def _config(stream_name: str | None, sink: Sink | None, parameters: dict[str, Any]) -> Config:
    if sink is None:
        named = {} if stream_name is None else {"stream_name": stream_name}
        return Config.from_environment(**named, **parameters)
    if stream_name is not None or parameters:
        raise ConfigurationError("sink", sink, "it has its own configuration; give no other")
    return sink.config
