"""The schemas other than the default one: fields by the names that other tools expect.

Law: a schema gets the fields of the default schema, as a dictionary of its own, and
returns what the stream gets. It says by its row in :data:`SCHEMAS` where attributes go.

Sources: Elastic Common Schema and ecs-logging (elastic.co/guide/en/ecs), Datadog's
standard attributes (docs.datadoghq.com/standard-attributes), structlog's JSONRenderer,
OTLP (opentelemetry-proto 1.x, logs.proto and its JSON mapping).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from kinesink.event import otlp_json
from kinesink.event.parts import FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable

Fields = dict[str, Any]

Placement = Literal["nested", "flat", "dotted", "own"]
"""Where attributes go: under ``attributes``, beside the other fields, beside them with dots
as levels, or where the schema has put them."""

ECS_VERSION: Final = "8.11.0"
"""The version of the Elastic Common Schema that the fields are named by."""


class SchemaSpec(NamedTuple):
    """How one schema is written."""

    build: Callable[[Fields, int], Fields]
    """Takes fields and nanoseconds since 1970; may keep the fields."""
    extras: Placement
    """Where attributes go unless the options say otherwise."""
    names: tuple[str, ...]
    """The outermost names it may use, which no attribute and no static field takes."""
    kept: frozenset[str]
    """Of those, what stays longest in an event that is too large."""
    defaults: frozenset[str] = frozenset()
    """Of those, what a static field may replace, for it has a value of the schema's own."""


def default(fields: Fields, _: int) -> Fields:
    """Return the fields as they are."""
    return fields


def ecs(fields: Fields, _: int) -> Fields:
    """Return the fields as Elastic Common Schema has them."""
    error = fields.get("exception", {})
    origin = {
        "file": _some(name=fields.get("file"), line=fields.get("line")),
        "function": fields.get("function"),
    }
    named = {
        "@timestamp": f"{fields['timestamp'][:23]}Z",
        "log.level": _lower(fields),
        "message": fields["message"],
        "ecs.version": ECS_VERSION,
        "log": _some(logger=fields.get("logger"), origin=_some(**origin)),
        "service": _some(
            name=fields.get("service"),
            environment=fields.get("env"),
            version=fields.get("version"),
        ),
        "host": _some(hostname=fields.get("host")),
        "process": _some(pid=fields.get("pid"), thread=_some(name=fields.get("thread"))),
        "event": _some(action=fields.get("event_name"), severity=fields.get("severity_number")),
        "trace": _some(id=fields.get("trace_id")),
        "span": _some(id=fields.get("span_id")),
        "error": _some(
            type=error.get("type"),
            message=error.get("message"),
            stack_trace=error.get("stacktrace"),
        ),
    }
    return _with_rest(named, fields)


def datadog(fields: Fields, _: int) -> Fields:
    """Return the fields as Datadog's standard attributes."""
    error = fields.get("exception", {})
    tags = [f"{name}:{fields[name]}" for name in ("env", "version") if fields.get(name)]
    named = {
        "timestamp": fields["timestamp"],
        "status": _lower(fields),
        "message": fields["message"],
        "logger": _some(
            name=fields.get("logger"),
            thread_name=fields.get("thread"),
            method_name=fields.get("function"),
        ),
        "service": fields.get("service"),
        "env": fields.get("env"),
        "version": fields.get("version"),
        "host": fields.get("host"),
        "ddsource": "python",
        "ddtags": ",".join(tags),
        "dd": _some(
            trace_id=_low_64_bits(fields.get("trace_id")),
            span_id=_low_64_bits(fields.get("span_id")),
        ),
        "error": _some(
            kind=error.get("type"), message=error.get("message"), stack=error.get("stacktrace")
        ),
        "pid": fields.get("pid"),
        "file": fields.get("file"),
        "line": fields.get("line"),
        "event_name": fields.get("event_name"),
    }
    return _with_rest(named, fields)


def structlog(fields: Fields, _: int) -> Fields:
    """Return the fields as structlog's JSONRenderer names them."""
    error = fields.get("exception", {})
    exception: Any = error.get("stacktrace") or ": ".join(
        error[name] for name in ("type", "message") if name in error
    )
    attributes = fields.get("attributes", {})
    if isinstance(attributes.get("exception"), list):
        exception = attributes["exception"]
        rest = {name: value for name, value in attributes.items() if name != "exception"}
        fields = {**fields, "attributes": rest}
    named = {
        "event": fields["message"],
        "level": _lower(fields),
        "timestamp": fields["timestamp"],
        "logger": fields.get("logger"),
        "service": fields.get("service"),
        "env": fields.get("env"),
        "version": fields.get("version"),
        "host": fields.get("host"),
        "process": fields.get("pid"),
        "thread_name": fields.get("thread"),
        "filename": fields.get("file"),
        "lineno": fields.get("line"),
        "func_name": fields.get("function"),
        "event_name": fields.get("event_name"),
        "trace_id": fields.get("trace_id"),
        "span_id": fields.get("span_id"),
        "exception": exception,
        "stack": fields.get("stack_info"),
    }
    return _with_rest(named, fields)


def otel(fields: Fields, time_ns: int) -> Fields:
    """Return the fields as one LogsData of OTLP's JSON mapping."""
    return otlp_json.logs_data_of_fields(fields, time_ns)


#: What a schema without a name of its own for them leaves as the default schema has them.
_REST: Final = (
    "task",
    "scope",
    "resource",
    "dropped_attributes_count",
    "boot_id",
    "seq",
    "kinesink_error",
    "attributes",
)

MARKS: Final = ("truncated", "original_bytes", "cut", "chunk_id", "chunk", "chunks", "split")
"""What an event that was too large says of itself, in any schema."""

ECS_OBJECTS: Final = (
    "log", "service", "host", "process", "event", "trace", "span", "error", "ecs",
)  # fmt: skip
"""Names of the Elastic Common Schema below which there is room for more."""

SCHEMAS: Final[dict[str, SchemaSpec]] = {
    "default": SchemaSpec(
        default, "nested",
        FIELDS,
        frozenset({
            "timestamp", "level", "severity_number", "logger", "message", "trace_id", "span_id",
            "exception", "attributes", "boot_id", "seq",
        }),
    ),
    "ecs": SchemaSpec(
        ecs, "dotted",
        ("@timestamp", "log.level", "message", "ecs.version", *ECS_OBJECTS, "stack_info",
         *_REST, *MARKS),
        frozenset({
            "@timestamp", "log.level", "message", "ecs.version", "log", "trace", "span", "error",
            "attributes", "boot_id", "seq",
        }),
    ),
    "datadog": SchemaSpec(
        datadog, "flat",
        ("timestamp", "status", "message", "logger", "service", "env", "version", "host",
         "ddsource", "ddtags", "dd", "error", "pid", "file", "line", "event_name", "stack_info",
         *_REST, *MARKS),
        frozenset({
            "timestamp", "status", "message", "logger", "dd", "error", "attributes", "boot_id",
            "seq",
        }),
        frozenset({"ddsource", "ddtags"}),
    ),
    "structlog": SchemaSpec(
        structlog, "flat",
        ("event", "level", "timestamp", "logger", "service", "env", "version", "host", "process",
         "thread_name", "filename", "lineno", "func_name", "event_name", "trace_id", "span_id",
         "exception", "stack", *_REST, *MARKS),
        frozenset({
            "event", "level", "timestamp", "logger", "trace_id", "span_id", "exception",
            "attributes", "boot_id", "seq",
        }),
    ),
    "otel": SchemaSpec(otel, "own", (*FIELDS, "resourceLogs"), frozenset({"resourceLogs"})),
}  # fmt: skip


def spec_of(schema: str | Callable[[Fields], Mapping[str, Any]]) -> SchemaSpec:
    """Return the row of a schema, also of one that is the application's own."""
    if not callable(schema):
        return SCHEMAS[schema]

    def build(fields: Fields, _: int) -> Fields:
        event = schema(fields)
        if isinstance(event, Mapping):
            return dict(event)
        raise TypeError(f"it returned {type(event).__name__}, no mapping")

    return SchemaSpec(build, "own", FIELDS, frozenset())


def _with_rest(named: Fields, fields: Fields) -> Fields:
    """Return named fields without those that are absent, and what has no other name."""
    event = {name: value for name, value in named.items() if value not in ({}, None, "")}
    if "stack" not in named and "stack_info" in fields:
        event["stack_info"] = fields["stack_info"]
    for name in _REST:
        if fields.get(name):
            event[name] = fields[name]
    # An empty message is one.
    for name in ("message", "event"):
        if name in named and name not in event and named[name] == "":
            event[name] = ""
    return event


def _some(**values: object) -> Fields:
    """Return the values that are there."""
    return {name: value for name, value in values.items() if value not in ({}, None, "")}


def _lower(fields: Fields) -> str | None:
    level = fields.get("level")
    return level and level.lower()


def _low_64_bits(hexadecimal: str | None) -> str | None:
    return None if hexadecimal is None else str(int(hexadecimal[-16:], 16))
