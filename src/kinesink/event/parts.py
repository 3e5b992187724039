"""The parts of an event, as every adapter hands them to an encoder.

Law: whatever library an event comes from, it is these parts, and they are text, numbers
and one dictionary of whatever else the application said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from kinesink.event.plain_values import ExceptionFields

FIELDS: Final = (
    "timestamp", "level", "severity_number", "logger", "message", "service", "env", "version",
    "host", "pid", "thread", "task", "file", "line", "function", "event_name", "trace_id",
    "span_id", "trace_flags", "exception", "stack_info", "scope", "attributes",
    "dropped_attributes_count", "resource", "boot_id", "seq", "truncated", "original_bytes",
    "cut", "chunk_id", "chunk", "chunks", "split", "kinesink_error",
)  # fmt: skip
"""The names of the default schema, in their order in a line."""

CallSite = tuple[
    str, int, str, str | None, int | None, str | None, str | None, int | None
]  # fmt: skip
"""What repeats from event to event: level, its number (as in :mod:`logging`, or a
:class:`Severity`), logger, path of the file, line, function, thread name, process id. It
includes the process id, so nothing needs to be rebuilt after a fork."""


class Nanoseconds(int):
    """A moment in nanoseconds since 1970, where a float of seconds would be too coarse."""

    __slots__ = ()


class Severity(int):
    """OpenTelemetry's number for a level, 1 to 24, where no level of :mod:`logging` is."""

    __slots__ = ()


class TraceIds(NamedTuple):
    """The span that an event belongs to, as OpenTelemetry names it."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    trace_flags: int
    """As in W3C Trace Context: the lowest bit says that the trace is sampled."""


class Details(NamedTuple):
    """What most events do not have."""

    task: str | None = None
    """Name of the asyncio task."""
    trace: TraceIds | None = None
    """The span."""
    exception: ExceptionFields | None = None
    """What went wrong, as text."""
    stack_info: str | None = None
    """The stack of the log call, if it was asked for."""
    attributes: dict[Any, Any] | None = None
    """Everything else the application said."""
    event_name: str | None = None
    """The kind of event, as OpenTelemetry has it."""
    scope: dict[str, Any] | None = None
    """What OpenTelemetry says of the instrumentation scope besides its name."""
    dropped_attributes: int = 0
    """Attributes that OpenTelemetry's limits have taken away."""


DetailsTuple = tuple[
    str | None, TraceIds | None, "ExceptionFields | None", str | None, dict[Any, Any] | None,
    str | None, dict[str, Any] | None, int,
]  # fmt: skip
"""A :class:`Details` in its order: a plain tuple is made in a quarter of the time."""

Lines = bytes | tuple[bytes, ...]
"""What an event becomes: one line; several, or none, where it was too large for one."""
