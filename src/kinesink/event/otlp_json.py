"""Events as OTLP's JSON mapping has them.

Source: opentelemetry-proto, ``logs.proto`` and "JSON Protobuf Encoding" of the OTLP
specification: 64-bit numbers as text, trace and span ids in hexadecimal, bytes in base64,
enumerations as numbers, names in lowerCamelCase.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from kinesink.event.plain_values import plain_object, plain_value, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Json = dict[str, Any]

#: Python's names of levels, as OpenTelemetry has them.
_SEVERITY_TEXTS: Final = {"WARNING": "WARN", "CRITICAL": "FATAL"}

#: Fields of the default schema that are attributes of the resource.
_RESOURCE: Final = {
    "service": "service.name",
    "env": "deployment.environment.name",
    "version": "service.version",
    "host": "host.name",
    "pid": "process.pid",
}

#: Fields of the default schema that are attributes of the record.
_RECORD: Final = {
    "thread": "thread.name",
    "task": "asyncio.task.name",
    "file": "code.file.path",
    "line": "code.line.number",
    "function": "code.function.name",
    "stack_info": "code.stacktrace",
    "kinesink_error": "kinesink.error",
    "boot_id": "kinesink.boot_id",
    "seq": "kinesink.seq",
}

#: Attributes that number a record.
NUMBER: Final = frozenset({_RECORD["boot_id"], _RECORD["seq"]})

_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**63 - 1
_TIME_MAX: Final = 2**64 - 1  # fixed64, and not negative


def any_value(value: object) -> Json:
    """Return an AnyValue of whatever an application says."""
    for kind, write in _KINDS:
        if isinstance(value, kind):
            return write(value)
    return any_value(plain_value(value))


def _of_int(value: int) -> Json:
    number = text(int(value), None)
    return {"intValue" if _INT_MIN <= value <= _INT_MAX else "stringValue": number}


def _of_float(value: float) -> Json:
    if math.isfinite(value):
        return {"doubleValue": value}
    # As protobuf's JSON mapping spells what JSON has no number for.
    return {"doubleValue": "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"}


#: Kinds of values, the first that fits counts, and what they become.
_KINDS: Final[tuple[tuple[Any, Callable[[Any], Json]], ...]] = (
    (str, lambda value: {"stringValue": text(value, None)}),
    (bool, lambda value: {"boolValue": value}),
    (int, _of_int),
    (float, _of_float),
    (type(None), lambda _: {}),
    (bytes, lambda value: {"bytesValue": base64.b64encode(value).decode()}),
    (Mapping, lambda value: {"kvlistValue": {"values": key_values(value)}}),
    ((list, tuple), lambda value: {"arrayValue": {"values": [any_value(each) for each in value]}}),
)


def key_values(values: Mapping[Any, object]) -> list[Json]:
    """Return KeyValues of a mapping."""
    return [{"key": text(name, None), "value": any_value(value)} for name, value in values.items()]


def logs_data_of_fields(fields: Json, time_ns: int) -> Json:
    """Return a LogsData with one record, of the fields of the default schema."""
    resource = {
        new: fields[name] for name, new in _RESOURCE.items() if fields.get(name) is not None
    }
    resource.update(_shallow(fields.get("resource", {})))
    scope: Json = {"name": fields.get("logger", "")}
    told: Mapping[str, Any] = fields.get("scope", {})
    if "version" in told:
        scope["version"] = told["version"]
    if told.get("attributes"):
        scope["attributes"] = key_values(_shallow(told["attributes"]))
    of_scope: Json = {"scope": scope, "logRecords": [_record_of_fields(fields, time_ns)]}
    if "schema_url" in told:
        of_scope["schemaUrl"] = told["schema_url"]
    return {
        "resourceLogs": [
            {"resource": {"attributes": key_values(resource)}, "scopeLogs": [of_scope]}
        ]
    }


def _record_of_fields(fields: Json, time_ns: int) -> Json:
    level = fields.get("level", "")
    attributes = {
        new: fields[name] for name, new in _RECORD.items() if fields.get(name) is not None
    }
    for name, value in fields.get("exception", {}).items():
        attributes[f"exception.{name}"] = value
    attributes.update(_shallow(fields.get("attributes", {})))
    moment = str(min(max(time_ns, 0), _TIME_MAX))
    return record(
        {
            "timeUnixNano": moment,
            "observedTimeUnixNano": moment,
            "severityNumber": fields.get("severity_number", 0),
            "severityText": _SEVERITY_TEXTS.get(level, level),
            "body": any_value(fields["message"]),
            "attributes": key_values(attributes),
            "droppedAttributesCount": fields.get("dropped_attributes_count", 0),
            "flags": fields.get("trace_flags", 0),
            "traceId": fields.get("trace_id", ""),
            "spanId": fields.get("span_id", ""),
            "eventName": fields.get("event_name", ""),
        }
    )


def _shallow(values: Mapping[str, Any]) -> Json:
    """Return values as deep as plain ones go: readers of protobuf refuse a hundred levels."""
    return plain_object(values)


def record(members: Iterable[tuple[str, Any]] | Json) -> Json:
    """Return a LogRecord without the members that are at protobuf's default."""
    return {name: value for name, value in dict(members).items() if value not in ("", 0, [])}
