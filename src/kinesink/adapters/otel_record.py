"""A log record of OpenTelemetry to the parts of an event; the record is read, never written.

Law: what OpenTelemetry knows is kept. What the default schema has a field for goes there
(so that an event looks the same whatever door it came by), the rest under ``resource``,
``scope`` and ``attributes``.

Names of attributes are those of OpenTelemetry's semantic conventions: exception, code,
thread, service, deployment, host and process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import orjson

from kinesink.adapters.double_shipping import warn_of_bridge
from kinesink.adapters.partition_key import Readers
from kinesink.adapters.this_process import THIS_PROCESS
from kinesink.event.parts import Severity, TraceIds
from kinesink.event.plain_values import ExceptionFields, plain_object, plain_value, text, type_name
from kinesink.event.process_facts import ProcessFacts

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry._logs import LogRecord
    from opentelemetry.sdk._logs import ReadableLogRecord, ReadWriteLogRecord
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from kinesink.adapters.door import Door
    from kinesink.event.parts import CallSite, Lines

    Record = ReadableLogRecord | ReadWriteLogRecord

Kind = TypeVar("Kind")

_MOST_REMEMBERED: Final = 64
"""Resources, scopes and severities whose text is kept; a process has a handful."""

#: Python's names, which the other doors have, of what OpenTelemetry calls otherwise.
_LEVELS: Final = {"WARN": "WARNING", "FATAL": "CRITICAL"}

#: By a quarter of the severity number.
_LEVELS_BY_NUMBER: Final = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

_EXCEPTION: Final = ("exception.type", "exception.message", "exception.stacktrace")

#: Each newest name first.
_FILE: Final = ("code.file.path", "code.filepath")
_LINE: Final = ("code.line.number", "code.lineno")
_FUNCTION: Final = ("code.function.name", "code.function")
_THREAD: Final = ("thread.name",)
_STACK: Final = ("code.stacktrace",)

_SPECIAL: Final = frozenset({*_EXCEPTION, *_FILE, *_LINE, *_FUNCTION, *_THREAD, *_STACK})

#: What the SDK says of a service that nobody has named.
_UNKNOWN_SERVICE: Final = "unknown_service"


class _Source(NamedTuple):
    """What is the same for every record of one Resource."""

    resource: Resource | None
    """Kept, so that its identity stays its own."""
    encode: Callable[..., Lines]


class _Scope(NamedTuple):
    """What is the same for every record of one logger."""

    scope: InstrumentationScope | None
    """Kept, so that its identity stays its own."""
    name: str
    more: dict[str, Any] | None
    """What it says besides its name, None if nothing."""


_NO_SITE: Final[tuple[object, _Scope | None, CallSite]] = (
    None, None, ("", 0, "", None, None, None, None, 0),
)  # fmt: skip


class RecordEncoder:
    """Writes log records for one door. Safe from any thread and across forks."""

    def __init__(self, door: Door) -> None:
        self._door: Final = door
        # Looked for by identity: to compare resources and scopes takes longer than to write
        # an event. The last ones are looked at first.
        self._sources: dict[int, _Source] = {}
        self._of_none: Final = _Source(None, door.encoder(*of_resource({})).encode_nanoseconds)
        self._source = self._of_none
        self._scopes: dict[int, _Scope] = {}
        self._scope = _Scope(None, "", None)
        self._warned = False
        self._sites: dict[str | None, tuple[object, _Scope | None, CallSite]] = {}

    def encode(self, record: Record) -> Lines:
        """Return the event of a record."""
        log_record: LogRecord = record.log_record
        given: Any = log_record.attributes
        dropped = 0
        attributes: dict[Any, Any] | None = None
        exception, place = None, _NOWHERE
        if given is not None:
            try:
                # Those of the SDK, whose copy is a dictionary, and made at once.
                attributes, dropped = given.copy(), given.dropped
            except AttributeError:
                attributes = dict(given)
            if not _SPECIAL.isdisjoint(attributes):
                exception, place = _take_special(attributes)
        message: Any = log_record.body
        if type(message) is not str:
            message, attributes = _message(message, attributes)
        trace_id = log_record.trace_id
        trace = None
        if trace_id:
            trace = TraceIds(
                f"{trace_id:032x}",
                f"{log_record.span_id or 0:016x}",
                int(log_record.trace_flags or 0),
            )
        scope = self._scope
        if scope.scope is not record.instrumentation_scope:
            scope = self._find_scope(record.instrumentation_scope)
        source = self._source
        if source.resource is not record.resource:
            source = self._find_source(record.resource)
        severity_text, severity_number = log_record.severity_text, log_record.severity_number
        number, of_scope, site = self._sites.get(severity_text) or _NO_SITE
        if number is not severity_number or of_scope is not scope or site[-1] != THIS_PROCESS.id:
            site = self._new_site(severity_text, severity_number, scope)
        stack = None
        if place is not _NOWHERE:
            path, line, function, thread, stack = place
            site = (*site[:3], path, line, function, thread, site[-1])
        details = (
            None, trace, exception, stack, attributes, log_record.event_name, scope.more, dropped,
        )  # fmt: skip
        moment = log_record.timestamp or log_record.observed_timestamp or time.time_ns()
        return source.encode(moment, site, message, details)

    def _new_site(
        self, severity_text: str | None, severity_number: object, scope: _Scope
    ) -> CallSite:
        """Return the call site of a record that says no more than level and logger."""
        level, number = level_of(severity_text, severity_number)
        pid = THIS_PROCESS.id
        site: CallSite = (level, number, scope.name, None, None, None, None, pid)
        _remember(self._sites, severity_text, (severity_number, scope, site))
        return site

    def encode_bare(self, record: Record) -> Lines:
        """Return an event for which none of the application's code needs to run."""
        body = record.log_record.body
        message = body if type(body) is str else f"<{type_name(body)}>"
        site: CallSite = ("", Severity(0), "", None, None, None, None, THIS_PROCESS.id)
        try:
            source = self._find_source(record.resource)
        except Exception:  # noqa: BLE001 - it is no resource
            source = self._of_none
        return source.encode(time.time_ns(), site, message)

    def _find_source(self, resource: Resource | None) -> _Source:
        source = self._sources.get(id(resource))
        if source is None:
            told = of_resource({} if resource is None else resource.attributes)
            source = _Source(resource, self._door.encoder(*told).encode_nanoseconds)
            _remember(self._sources, id(resource), source)
        self._source = source
        return source

    def _find_scope(self, scope: InstrumentationScope | None) -> _Scope:
        found = self._scopes.get(id(scope))
        if found is None:
            found = _Scope(scope, "" if scope is None else text(scope.name), more_of(scope))
            _remember(self._scopes, id(scope), found)
            self._warned = self._warned or warn_of_bridge(self._door, found.name)
        self._scope = found
        return found


def more_of(scope: InstrumentationScope | None) -> dict[str, Any] | None:
    """Return what a scope says besides its name, None if nothing."""
    if scope is None:
        return None
    told = {
        "version": scope.version,
        "schema_url": scope.schema_url,
        "attributes": plain_object(scope.attributes or {}),
    }
    return {name: value for name, value in told.items() if value} or None


def _remember(known: dict[Any, Any], key: object, value: object) -> None:
    if len(known) >= _MOST_REMEMBERED:
        known.clear()
    known[key] = value


def level_of(severity_text: object, severity_number: object) -> tuple[str, Severity]:
    """Return a level by Python's name and OpenTelemetry's number."""
    number = getattr(severity_number, "value", severity_number)
    severity = Severity(number if isinstance(number, int) and 0 <= number <= 24 else 0)  # noqa: PLR2004 - FATAL4
    if severity_text:
        level = text(severity_text).upper()
        return _LEVELS.get(level, level), severity
    return (_LEVELS_BY_NUMBER[(severity - 1) // 4] if severity else ""), severity


def of_resource(attributes: Mapping[str, Any]) -> tuple[ProcessFacts, dict[str, Any]]:
    """Return what a resource says of the process, and what else it says.

    What it does not say comes from the environment.
    """
    rest = dict(attributes)
    known = ProcessFacts.read()

    def take(*names: str) -> str | None:
        found = [value for name in names if (value := rest.pop(name, None))]
        return text(found[0], None) if found else None

    service = take("service.name")
    if service is None or service.startswith(_UNKNOWN_SERVICE):
        service = known.service or service
    facts = ProcessFacts(
        service=service,
        env=take("deployment.environment.name", "deployment.environment") or known.env,
        version=take("service.version") or known.version,
        host=take("host.name") or known.host,
    )
    # Every event has the process it came from.
    rest.pop("process.pid", None)
    return facts, rest


class _Place(NamedTuple):
    """Where a record was logged, if its attributes say."""

    file: str | None = None
    line: int | None = None
    function: str | None = None
    thread: str | None = None
    stack: str | None = None


_NOWHERE: Final = _Place()


def _take_special(attributes: dict[Any, Any]) -> tuple[ExceptionFields | None, _Place]:
    """Take out what the default schema has fields for."""

    def take(names: tuple[str, ...], kind: type[Kind]) -> Kind | None:
        for name in names:
            value = attributes.get(name)
            if isinstance(value, kind):
                del attributes[name]
                return value
        return None

    exception = ExceptionFields(*(take((name,), str) for name in _EXCEPTION))
    place = _Place(
        file=take(_FILE, str),
        line=take(_LINE, int),
        function=take(_FUNCTION, str),
        thread=take(_THREAD, str),
        stack=take(_STACK, str),
    )
    return exception if any(exception) else None, place


def _message(body: object, attributes: dict[Any, Any] | None) -> tuple[str, dict[Any, Any] | None]:
    """Return the message of a body that is no text, and all attributes.

    A mapping's items are attributes, and its ``message`` or ``event`` is the message.
    """
    if body is None:
        return "", attributes
    if isinstance(body, Mapping):
        items = dict(body)
        message = ""
        for name in ("message", "event"):
            if name in items:
                message = text(items.pop(name), None)
                break
        if not attributes:
            return message, items
        # Of two values by one name the attribute has the name, and the other is kept beside.
        taken = {name: items.pop(name) for name in attributes if name in items}
        if taken:
            items["body"] = {"body": items["body"], **taken} if "body" in items else taken
        return message, {**items, **attributes}
    plain = plain_value(body)
    return plain if isinstance(plain, str) else orjson.dumps(plain).decode(), attributes


def _attribute(record: Record, name: str) -> object:
    attributes = record.log_record.attributes
    value = attributes.get(name) if attributes else None
    body = record.log_record.body
    if value is None and isinstance(body, Mapping):
        return body.get(name)
    return value


def _logger(record: Record) -> str | None:
    scope = record.instrumentation_scope
    return None if scope is None else scope.name


def _trace_id(record: Record) -> str | None:
    trace_id = record.log_record.trace_id
    return f"{trace_id:032x}" if trace_id else None


def _first(record: Record, names: tuple[str, ...]) -> object:
    attributes = record.log_record.attributes or {}
    return next((attributes[name] for name in names if name in attributes), None)


def _file(record: Record) -> object:
    path = _first(record, _FILE)
    return os.path.basename(path) if isinstance(path, str) else path  # noqa: PTH119 - as logging itself


def _level(record: Record) -> str:
    return level_of(record.log_record.severity_text, record.log_record.severity_number)[0]


#: Fields of the default schema.
_READ_FIELD: Final[dict[str, Callable[[Any], object]]] = {
    "level": _level,
    "logger": _logger,
    "pid": lambda _: THIS_PROCESS.id,
    "event_name": lambda record: record.log_record.event_name,
    "file": _file,
    "line": lambda record: _first(record, _LINE),
    "function": lambda record: _first(record, _FUNCTION),
    "thread": lambda record: _first(record, _THREAD),
}


def _field(record: Record, name: str) -> object:
    read = _READ_FIELD.get(name)
    return read and read(record)


READERS: Final[Readers[Any]] = Readers(
    logger=_logger,
    pid=lambda _: THIS_PROCESS.id,
    trace_id=_trace_id,
    attribute=_attribute,
    field=_field,
)
"""What a partition key can be made of."""
