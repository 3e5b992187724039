"""Batches of log records as OTLP has them: ExportLogsServiceRequest, in protobuf or JSON.

Law: a request is about one resource, as the collector's awskinesis exporter writes them,
and no larger than asked for unless it is a single record. Every record ends up in exactly
one request, whatever is in it: what OTLP cannot hold is replaced by what it can, and nothing
is said through :mod:`logging`, which could come back as a record.

The messages are made here and not by OpenTelemetry's own encoder: that one is private by
name, logs what it leaves out, and gives up a whole batch for one body.

Sources: opentelemetry-proto (collector/logs/v1, logs/v1) and the OTLP specification's
"JSON Protobuf Encoding"; awskinesisexporter of opentelemetry-collector-contrib: one Kinesis
record per ResourceLogs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import orjson

from kinesink.adapters.otel_record import level_of
from kinesink.event.otlp_json import any_value, key_values
from kinesink.event.otlp_json import record as without_defaults
from kinesink.event.plain_values import MAX_DEPTH, plain_value, text, type_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from kinesink.event.redaction import RedactNames

Encoding = Literal["json", "otlp_proto", "otlp_json"]

OnTrouble = Callable[[Exception], None]

_NONE: Final[Mapping[str, Any]] = {}

_INT64: Final = range(-(2**63), 2**63)

_ATOMS: Final = (bool, float, bytes, type(None))


class LogRecord(NamedTuple):
    """A log record of which each part is of its type and within its bounds."""

    time: int = 0
    observed_time: int = 0
    severity_number: int = 0
    severity_text: str = ""
    body: Any = None
    attributes: Mapping[str, Any] = _NONE
    dropped_attributes: int = 0
    flags: int = 0
    trace_id: int = 0
    span_id: int = 0
    event_name: str = ""


class Origin(NamedTuple):
    """A resource, or an instrumentation scope, of which the same holds."""

    attributes: Mapping[str, Any] = _NONE
    schema_url: str = ""
    name: str = ""
    version: str = ""


Scoped = tuple[Origin, Any]
"""A scope, and a record of it in its format."""


class Format(NamedTuple):
    """How requests are written."""

    record: Callable[[LogRecord], Any]
    """Returns a record as :attr:`request` takes it."""
    request: Callable[[Origin, Sequence[Scoped]], bytes]
    """Returns the request of a resource and its records."""


def format_of(encoding: Encoding) -> Format:
    """Return how an encoding is written.

    :raises ImportError: if ``otlp_proto`` lacks its extra; names it.
    """
    if encoding == "otlp_json":
        return Format(_json_record, _json_request)
    protobuf = _Protobuf()
    return Format(protobuf.record, protobuf.request)


def requests(
    batch: Sequence[ReadableLogRecord],
    form: Format,
    max_bytes: int,
    redact: RedactNames | None,
    on_trouble: OnTrouble,
) -> list[bytes]:
    """Return the requests that together hold a batch, in its order within each resource.

    :param on_trouble: called with what reading a record has raised; it is sent without its
        attributes.
    """
    known: dict[int, Origin] = {}
    # By their text: objects of OpenTelemetry's may be of equal content, and not hashable.
    names: dict[str, Origin] = {}

    def origin_of(given: Resource | InstrumentationScope | None) -> Origin:
        origin = known.get(id(given))
        if origin is None:
            origin = _origin(given)
            origin = known[id(given)] = names.setdefault(repr(origin), origin)
        return origin

    by_resource: dict[int, tuple[Origin, list[Scoped]]] = {}
    for each in batch:
        resource = origin_of(each.resource)
        _, scoped = by_resource.setdefault(id(resource), (resource, []))
        try:
            record = form.record(_log_record(each, redact))
        except Exception as error:  # noqa: BLE001 - whatever is in it, it is sent, and its neighbours
            on_trouble(error)
            record = form.record(_bare(each))
        scoped.append((origin_of(each.instrumentation_scope), record))
    found: list[bytes] = []
    for resource, scoped in by_resource.values():
        _split(resource, scoped, form, max_bytes, found)
    return found


def _split(
    resource: Origin, scoped: list[Scoped], form: Format, max_bytes: int, found: list[bytes]
) -> None:
    data = form.request(resource, scoped)
    if len(data) <= max_bytes or len(scoped) == 1:
        found.append(data)
        return
    half = len(scoped) // 2
    _split(resource, scoped[:half], form, max_bytes, found)
    _split(resource, scoped[half:], form, max_bytes, found)


# -- what OpenTelemetry has, as what OTLP can hold --------------------------------------------


def _origin(given: Any) -> Origin:  # noqa: ANN401 - a resource or a scope
    try:
        return Origin(
            _attributes(given.attributes),
            _text(given.schema_url),
            _text(getattr(given, "name", None)),
            _text(getattr(given, "version", None)),
        )
    except Exception:  # noqa: BLE001 - there is none, or it is none
        return Origin()


def _log_record(given: ReadableLogRecord, redact: RedactNames | None) -> LogRecord:
    log_record = given.log_record
    attributes: Any = log_record.attributes or {}
    body: Any = log_record.body
    if redact is not None:
        attributes = redact(attributes)
        if type(body) is not str and type(body) not in _ATOMS:
            body = redact({"": body})[""]
    return LogRecord(
        _number(log_record.timestamp, 64),
        _number(log_record.observed_timestamp, 64),
        level_of(None, log_record.severity_number)[1],
        _text(log_record.severity_text),
        _value(body),
        _attributes(attributes),
        given.dropped_attributes,
        _number(log_record.trace_flags, 32),
        _number(log_record.trace_id, 128),
        _number(log_record.span_id, 64),
        _text(log_record.event_name),
    )


def _bare(given: ReadableLogRecord) -> LogRecord:
    """Return what there is of a record without looking into anything of it."""
    body = given.log_record.body
    said = _text(body) if type(body) is str else f"<{type_name(body)}>"
    return LogRecord(observed_time=time.time_ns(), body=said)


def _attributes(given: Mapping[Any, Any]) -> dict[str, Any]:
    return {_text(name): _value(value) for name, value in given.items()}


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if type(value) is str and _is_valid(value) else text(value, None)


def _number(value: object, bits: int) -> int:
    """Return a number of so many bits; 0, which is none, for what is no such number."""
    return int(value) if isinstance(value, int) and 0 <= value < 1 << bits else 0


def _value(value: object) -> object:
    return value if _is_valid(value) else plain_value(value)


def _is_valid(value: Any, depth: int = 1) -> bool:  # noqa: ANN401 - known by its exact type
    """Tell whether OTLP can hold a value as it is, and readers of protobuf so deep a one."""
    kind = type(value)
    if kind is str:
        return value.isascii() or _is_unicode(value)
    if kind is int:
        return value in _INT64
    if kind in _ATOMS:
        return True
    if depth >= MAX_DEPTH:
        return False
    if kind in {list, tuple}:
        return all(_is_valid(each, depth + 1) for each in value)
    return kind is dict and all(
        type(name) is str and _is_valid(name) and _is_valid(inner, depth + 1)
        for name, inner in value.items()
    )


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


# -- JSON -------------------------------------------------------------------------------------


def _json_record(record: LogRecord) -> dict[str, Any]:
    return without_defaults(
        {
            "timeUnixNano": str(record.time or ""),
            "observedTimeUnixNano": str(record.observed_time or ""),
            "severityNumber": int(record.severity_number),
            "severityText": record.severity_text,
            "body": any_value(record.body),
            "attributes": key_values(record.attributes),
            "droppedAttributesCount": record.dropped_attributes,
            "flags": record.flags,
            "traceId": f"{record.trace_id:032x}" if record.trace_id else "",
            "spanId": f"{record.span_id:016x}" if record.span_id else "",
            "eventName": record.event_name,
        }
    )


def _json_request(resource: Origin, scoped: Sequence[Scoped]) -> bytes:
    """Return a request on one line."""
    of_resource = {
        "resource": {"attributes": key_values(resource.attributes)},
        "scopeLogs": [
            without_defaults(
                {
                    "scope": without_defaults(
                        {
                            "name": scope.name,
                            "version": scope.version,
                            "attributes": key_values(scope.attributes),
                        }
                    ),
                    "logRecords": records,
                    "schemaUrl": scope.schema_url,
                }
            )
            for scope, records in _by_scope(scoped)
        ],
        "schemaUrl": resource.schema_url,
    }
    request = {"resourceLogs": [without_defaults(of_resource)]}
    return orjson.dumps(request, option=orjson.OPT_APPEND_NEWLINE)


def _by_scope(scoped: Sequence[Scoped]) -> Iterable[tuple[Origin, list[Any]]]:
    """Return the records of each scope, in their order."""
    found: dict[int, tuple[Origin, list[Any]]] = {}
    for scope, record in scoped:
        found.setdefault(id(scope), (scope, []))[1].append(record)
    return found.values()


# -- protobuf ---------------------------------------------------------------------------------


#: Where an AnyValue keeps a value of a kind, if not among arrays.
_FIELDS: Final = {
    str: "string_value",
    bool: "bool_value",
    int: "int_value",
    float: "double_value",
    bytes: "bytes_value",
    dict: "kvlist_value",
}


class _Protobuf:
    """Writes the messages of opentelemetry-proto."""

    def __init__(self) -> None:
        try:
            from opentelemetry.proto.collector.logs.v1 import (  # noqa: PLC0415 - needs an extra
                logs_service_pb2 as service,
            )
            from opentelemetry.proto.common.v1 import common_pb2 as common  # noqa: PLC0415 - as above
            from opentelemetry.proto.logs.v1 import logs_pb2 as logs  # noqa: PLC0415 - as above
            from opentelemetry.proto.resource.v1 import resource_pb2 as resource  # noqa: PLC0415 - as above
        except ModuleNotFoundError as error:
            msg = (
                f"encoding='otlp_proto' needs {error.name!r}, which is not installed: "
                "pip install 'kinesink[otlp]'"
            )
            raise ImportError(msg, name=error.name) from error
        self._service: Final[Any] = service
        self._common: Final[Any] = common
        self._logs: Final[Any] = logs
        self._resource: Final[Any] = resource

    def record(self, record: LogRecord) -> object:
        """Return a LogRecord."""
        trace_id, span_id = record.trace_id, record.span_id
        return self._logs.LogRecord(
            time_unix_nano=record.time,
            observed_time_unix_nano=record.observed_time,
            severity_number=record.severity_number,
            severity_text=record.severity_text,
            body=self._any_value(record.body),
            attributes=self._key_values(record.attributes),
            dropped_attributes_count=record.dropped_attributes,
            flags=record.flags,
            trace_id=trace_id.to_bytes(16, "big") if trace_id else b"",
            span_id=span_id.to_bytes(8, "big") if span_id else b"",
            event_name=record.event_name,
        )

    def request(self, resource: Origin, scoped: Sequence[Scoped]) -> bytes:
        """Return an ExportLogsServiceRequest."""
        of_resource = self._logs.ResourceLogs(
            resource=self._resource.Resource(attributes=self._key_values(resource.attributes)),
            scope_logs=[
                self._logs.ScopeLogs(
                    scope=self._common.InstrumentationScope(
                        name=scope.name,
                        version=scope.version,
                        attributes=self._key_values(scope.attributes),
                    ),
                    log_records=records,
                    schema_url=scope.schema_url,
                )
                for scope, records in _by_scope(scoped)
            ],
            schema_url=resource.schema_url,
        )
        request = self._service.ExportLogsServiceRequest(resource_logs=[of_resource])
        data: bytes = request.SerializeToString()
        return data

    def _key_values(self, values: Mapping[str, Any]) -> list[Any]:
        key_value, any_value = self._common.KeyValue, self._any_value
        return [key_value(key=name, value=any_value(value)) for name, value in values.items()]

    def _any_value(self, value: Any) -> Any:  # noqa: ANN401 - what _value has returned
        common = self._common
        kind = type(value)
        if kind is int and not _is_valid(value):
            kind, value = str, str(value)
        if kind is dict:
            value = common.KeyValueList(values=self._key_values(value))
        elif value is None:
            return common.AnyValue()
        elif kind not in _FIELDS:
            value = common.ArrayValue(values=[self._any_value(each) for each in value])
        return common.AnyValue(**{_FIELDS.get(kind, "array_value"): value})
