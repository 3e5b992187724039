"""The events in a Kinesis record, and the fields that people look for, whatever the schema.

Law: nothing raises for what somebody else has written to the stream.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

import orjson

from kinesink.cli.tail.walk import Record
from kinesink.decode import deaggregate
from kinesink.errors import MalformedRecordError
from kinesink.event.lookup import ABSENT, look_up

Fields = Mapping[str, Any]


class Event(NamedTuple):
    """One event as it came."""

    data: bytes
    fields: Fields | None
    """What its JSON says; None if it is no JSON object. One of OTLP's JSON has the names of the
    default schema."""
    arrival: float
    """When its record came, in seconds since 1970."""


class Unreadable(NamedTuple):
    """A record that holds no events that can be read."""

    text: str


def events_of(record: Record) -> list[Event] | Unreadable:
    """Return the events of a record, in order."""
    try:
        parts = deaggregate(record.data)
    except (MalformedRecordError, ImportError) as error:
        return Unreadable(f"{error} ({record.shard_id}, sequence number {record.sequence_number})")
    return [Event(part.data, _fields(part.data), record.arrival) for part in parts]


def _fields(data: bytes) -> Fields | None:
    try:
        fields = orjson.loads(data)
    except ValueError:
        return None
    if not isinstance(fields, dict):
        return None
    return _plain_otlp(fields) or fields if "resourceLogs" in fields else fields


def find(fields: Fields, path: str) -> object:
    """Return what an event has at a path; None if nothing, as for a null."""
    found = look_up(fields, path)
    return None if found is ABSENT else found


def text_of(value: object) -> str:
    """Return a value as a text: its own, or its JSON."""
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        # It is deeper than what can be written, though not than what can be read.
        return "…"


# -- OTLP ---------------------------------------------------------------------------------------


def _plain_otlp(data: Fields) -> Fields | None:
    """Return the one log record of a LogsData by the names of the default schema."""
    try:
        (of_resource,) = data["resourceLogs"]
        (of_scope,) = of_resource["scopeLogs"]
        (record,) = of_scope["logRecords"]
        attributes = dict(_pairs(record.get("attributes", ())))
        return {
            "timestamp": _time_of(record),
            "level": record.get("severityText"),
            "logger": of_scope.get("scope", {}).get("name"),
            "message": _value(record.get("body", {})),
            "boot_id": attributes.pop("kinesink.boot_id", None),
            "seq": attributes.pop("kinesink.seq", None),
            "exception": {
                name: attributes.get(f"exception.{name}")
                for name in ("type", "message", "stacktrace")
            },
            "attributes": attributes,
        }
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return None


def _time_of(record: Fields) -> str:
    nanoseconds = int(record["timeUnixNano"])
    moment = datetime.fromtimestamp(nanoseconds // 10**9, tz=timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds % 10**9 // 1000:06}Z"


def _pairs(pairs: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - whatever came as JSON
    for pair in pairs:
        yield str(pair["key"]), _value(pair.get("value", {}))


def _value(value: Fields) -> Any:  # noqa: ANN401 - as above
    """Return what an AnyValue holds."""
    for kind, content in value.items():
        if kind == "intValue":
            return int(content)
        if kind == "kvlistValue":
            return dict(_pairs(content.get("values", ())))
        if kind == "arrayValue":
            return [_value(each) for each in content.get("values", ())]
        return content
    return None
