"""LogRecord to the parts of an event; the record is read, never written.

Other handlers get the same record. So nothing is cached on it, and what another
formatter has cached there counts only where the original is gone.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from kinesink.adapters import event_dict
from kinesink.adapters.event_dict import HAS_TASKS, exception_of, translate
from kinesink.adapters.partition_key import Readers
from kinesink.event.current_span import current_span
from kinesink.event.parts import Details, TraceIds
from kinesink.event.plain_values import ExceptionFields, text, type_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.adapters.event_dict import Parts
    from kinesink.event.parts import CallSite

Attributes = dict[Any, Any]

_BLANK: Final = vars(logging.LogRecord("", 0, "", 0, "", None, None))
BLANK_SIZE: Final = len(_BLANK)
"""A record with as many fields has no extras."""

#: What formatters leave on a record is no extra, nor is what OpenTelemetry's logging
#: instrumentation notes there: the event says it in fields of its own.
_NO_EXTRAS: Final = frozenset(_BLANK) | {
    "message", "asctime", "otelTraceID", "otelSpanID", "otelTraceSampled", "otelServiceName",
}  # fmt: skip


def call_site(record: logging.LogRecord) -> CallSite:
    """Return what repeats from one record to the next."""
    return (
        record.levelname, record.levelno, record.name, record.pathname, record.lineno,
        record.funcName, record.threadName, record.process,
    )  # fmt: skip


def template(record: logging.LogRecord) -> str:
    """Return the message before its arguments are filled in; runs next to no foreign code."""
    msg: object = record.msg
    if type(msg) is dict:  # of structlog, say
        msg = msg.get("event", msg)
    return msg if isinstance(msg, str) else f"<{type_name(msg)}>"


def message(record: logging.LogRecord) -> tuple[str, Attributes | None]:
    """Return the message of a record whose message is no plain text, and its attributes.

    A mapping's items are attributes, and its ``message`` or ``event`` is the message.
    Anything else is its ``str()``, with whatever that raises.
    """
    if isinstance(record.msg, Mapping) and not record.args:
        return _mapping(record.msg)
    return record.getMessage(), None


def unformatted(record: logging.LogRecord) -> tuple[str, Attributes]:
    """Return the template as the message, and the arguments that do not fit it.

    The line that shows the bug must not be the line that is lost.
    """
    attributes: Attributes = {"args": text(record.args)} if record.args else {}
    return text(record.msg, None), attributes


def details(
    record: logging.LogRecord, attributes: Attributes | None, span: TraceIds | None
) -> Details:
    """Return what the record has beyond its message, with the message's own attributes."""
    # A copy, as a handler in another thread may be formatting the same record.
    fields = dict(record.__dict__)
    extras: Attributes = {}
    if len(fields) != BLANK_SIZE:
        extras = _extras(fields)
        if span is None and "otelTraceID" in fields:
            span = _injected(fields)
    exception = None
    if record.exc_info or record.exc_text:
        exception = exception_of(record.exc_info) or _cached_exception(record.exc_text)
    if attributes:
        extras.update(attributes)
    task = fields.get("taskName") if HAS_TASKS else None
    return Details(task, span, exception, record.stack_info, extras)


def event_dict_of(record: logging.LogRecord, message: str = "") -> Parts | None:
    """Return the parts of structlog's event dict, if the record came of one.

    ``wrap_for_formatter`` makes the dict the message and leaves marks; where the dict is
    extras, as ``render_to_log_kwargs`` and its kin have it, its level tells.

    :param message: the record's message, for the latter.
    """
    fields = record.__dict__
    said: Mapping[Any, Any]
    if "_logger" in fields and "_name" in fields and isinstance(record.msg, Mapping):
        said = record.msg
    elif fields.get("level") == record.levelname.lower() and "event" not in fields:
        said = {"event": message}
    else:
        return None
    # A copy, as a handler in another thread may be formatting the same record.
    fields = dict(fields)
    whole = {**_extras(fields), **said, "_record": record}
    # The dict often says True, and what was handled then is gone.
    whole["exc_info"] = record.exc_info or whole.get("exc_info")
    whole["stack_info"] = record.stack_info or whole.get("stack_info")
    if record.exc_text and not whole["exc_info"]:
        whole.setdefault("exception", record.exc_text)
    created, site, said_text, details = translate(
        whole, record.levelname.lower(), record.name, None
    )
    own = Details(*(details or ()))
    return created, site, said_text, own._replace(trace=own.trace or _injected(fields))


def _extras(fields: dict[Any, Any]) -> Attributes:
    """Return what a record has beyond the fields of a blank one."""
    return {
        name: value
        for name, value in fields.items()
        if name not in _NO_EXTRAS and (type(name) is not str or name[:1] != "_")
    }


def _injected(fields: dict[str, Any]) -> TraceIds | None:
    """Return the span that OpenTelemetry's logging instrumentation has noted on a record."""
    if "otelTraceID" not in fields:
        return None
    try:
        trace_id, span_id = int(fields["otelTraceID"], 16), int(fields["otelSpanID"], 16)
        sampled = int(bool(fields.get("otelTraceSampled")))
        return TraceIds(f"{trace_id:032x}", f"{span_id:016x}", sampled) if trace_id else None
    except (KeyError, TypeError, ValueError):
        return None


def _mapping(msg: Mapping[Any, object]) -> tuple[str, Attributes]:
    attributes = dict(msg)
    for name in ("message", "event"):
        if name in attributes:
            return text(attributes.pop(name), None), attributes
    return "", attributes


def _cached_exception(stacktrace: str | None) -> ExceptionFields | None:
    return ExceptionFields(None, None, stacktrace) if stacktrace else None


def _attribute(record: logging.LogRecord, name: str) -> object:
    value = None if name in _BLANK else getattr(record, name, None)
    if value is None and isinstance(record.msg, Mapping):
        return record.msg.get(name)
    return value


def _trace_id(record: logging.LogRecord) -> str | None:
    span = current_span() or _injected(record.__dict__)
    return span and span.trace_id


#: Fields of the default schema by their names in a record.
_FIELDS: Final = {
    "level": "levelname",
    "logger": "name",
    "pid": "process",
    "thread": "threadName",
    "task": "taskName",
    "file": "filename",
    "line": "lineno",
    "function": "funcName",
}


def _field(record: logging.LogRecord, name: str) -> object:
    return getattr(record, _FIELDS.get(name, ""), None)


def _either(
    of_parts: Callable[..., object], of_record: Callable[..., object]
) -> Callable[..., object]:
    """Return what reads an event dict of structlog's where there is one, else the record."""

    def read(record: logging.LogRecord, *name: str) -> object:
        parts = event_dict_of(record)
        return of_record(record, *name) if parts is None else of_parts(parts, *name)

    return read


READERS: Final[Readers[logging.LogRecord]] = Readers(
    logger=_either(event_dict.READERS.logger, lambda record: record.name),
    pid=_either(event_dict.READERS.pid, lambda record: record.process),
    trace_id=_either(event_dict.READERS.trace_id, _trace_id),
    attribute=_either(event_dict.READERS.attribute, _attribute),
    field=_either(event_dict.READERS.field, _field),
)
"""What a partition key can be made of."""
