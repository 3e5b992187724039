"""Batches of log records as OTLP has them: ExportLogsServiceRequest, in protobuf or JSON.

Law: a request is about one resource, as the collector's awskinesis exporter writes them,
and no larger than asked for unless it is a single record. Every record ends up in exactly
one request.

Sources: opentelemetry-proto (collector/logs/v1, logs/v1) and the OTLP specification's
"JSON Protobuf Encoding"; awskinesisexporter of opentelemetry-collector-contrib: one Kinesis
record per ResourceLogs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk._logs import ReadableLogRecord

from kinesink.event.otlp_json import any_value, key_values, record
from kinesink.event.plain_values import plain_value

if TYPE_CHECKING:
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from kinesink.event.redaction import RedactNames

Batch = Sequence[ReadableLogRecord]
Encode = Callable[[Batch], bytes]

Encoding = Literal["json", "otlp_proto", "otlp_json"]

#: Levels of nesting that OTLP's own encoder is given; deeper values are named as such.
_PLAIN: Final = (bool, str, int, float, bytes, type(None))


def encoder_of(encoding: Encoding) -> Encode:
    """Return what writes a batch of one resource.

    :raises ImportError: if ``otlp_proto`` lacks its extra; names it.
    """
    if encoding == "otlp_json":
        return _json
    try:
        # Private by name, and what OpenTelemetry's own exporters use; a test holds it.
        from opentelemetry.exporter.otlp.proto.common._log_encoder import (  # noqa: PLC0415 - needs an extra
            encode_logs,
        )
    except ModuleNotFoundError as error:
        msg = (
            "encoding='otlp_proto' needs 'opentelemetry-exporter-otlp-proto-common', which is "
            "not installed: pip install 'kinesink[otlp]'"
        )
        raise ImportError(msg, name=error.name) from error

    def encode(batch: Batch) -> bytes:
        data: bytes = encode_logs(batch).SerializeToString()
        return data

    return encode


def requests(
    batch: Batch, encode: Encode, max_bytes: int, redact: RedactNames | None = None
) -> list[bytes]:
    """Return the requests that together hold a batch, in its order within each resource."""
    by_resource: dict[Any, list[ReadableLogRecord]] = {}
    for each in batch:
        by_resource.setdefault(each.resource, []).append(_checked(each, redact))
    found: list[bytes] = []
    for records in by_resource.values():
        _split(records, encode, max_bytes, found)
    return found


def _split(records: Batch, encode: Encode, max_bytes: int, found: list[bytes]) -> None:
    data = encode(records)
    if len(data) <= max_bytes or len(records) == 1:
        found.append(data)
        return
    half = len(records) // 2
    _split(records[:half], encode, max_bytes, found)
    _split(records[half:], encode, max_bytes, found)


def _checked(given: ReadableLogRecord, redact: RedactNames | None) -> ReadableLogRecord:
    """Return a record that OTLP can hold, redacted; the caller's own if nothing is amiss."""
    log_record = given.log_record
    attributes, body = log_record.attributes or {}, log_record.body
    clean_attributes: Mapping[str, Any] = attributes
    if redact is not None and attributes:
        clean_attributes = redact(attributes)
    elif not all(map(_is_valid, attributes.values())):
        clean_attributes = {str(name): _valid(value) for name, value in attributes.items()}
    clean_body: Any = body
    if redact is not None and isinstance(body, Mapping):
        clean_body = redact(body)
    elif not _is_valid(body):
        clean_body = _valid(body)
    if clean_attributes is attributes and clean_body is body and log_record.trace_id is not None:
        return given
    clean = copy.copy(log_record)
    clean.attributes = _counted(clean_attributes, given)
    clean.body = clean_body
    # What OTLP's encoder takes for none.
    clean.trace_id = log_record.trace_id or 0
    clean.span_id = log_record.span_id or 0
    return ReadableLogRecord(
        log_record=clean,
        resource=given.resource,
        instrumentation_scope=given.instrumentation_scope,
        limits=given.limits,
    )


def _counted(attributes: Mapping[str, Any], given: ReadableLogRecord) -> Mapping[str, Any]:
    """Return attributes that still know how many were dropped."""
    bounded = given.log_record.attributes
    if attributes is bounded or not isinstance(bounded, BoundedAttributes):
        return attributes
    # Without it, SDKs before 1.40 take no nested values.
    nested: Any = {"extended_attributes": True}
    replaced = BoundedAttributes(attributes=attributes, immutable=False, **nested)
    replaced.dropped = bounded.dropped
    return replaced


def _is_valid(value: object) -> bool:
    kind = type(value)
    if kind in _PLAIN:
        return kind is not int or -(2**63) <= value < 2**63  # type: ignore[operator]  # as just seen
    if kind in {list, tuple}:
        return all(map(_is_valid, value))  # type: ignore[call-overload]  # as just seen
    return isinstance(value, dict) and all(
        type(name) is str and _is_valid(inner) for name, inner in value.items()
    )


def _valid(value: object) -> Any:  # noqa: ANN401 - an AnyValue
    if _is_valid(value):
        return value
    plain = plain_value(value)
    return plain if _is_valid(plain) else str(plain)


def _json(batch: Batch) -> bytes:
    """Return a request in OTLP's JSON mapping, on one line."""
    by_scope: dict[Any, list[dict[str, Any]]] = {}
    for each in batch:
        by_scope.setdefault(each.instrumentation_scope, []).append(_log_record(each))
    resource = batch[0].resource
    of_resource: dict[str, Any] = {
        "resource": {"attributes": key_values(resource.attributes)},
        "scopeLogs": [_of_scope(scope, records) for scope, records in by_scope.items()],
    }
    if resource.schema_url:
        of_resource["schemaUrl"] = resource.schema_url
    return orjson.dumps({"resourceLogs": [of_resource]}, option=orjson.OPT_APPEND_NEWLINE)


def _of_scope(scope: InstrumentationScope | None, records: list[dict[str, Any]]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if scope is not None:
        told = {"name": scope.name}
        if scope.version:
            told["version"] = scope.version
        if scope.attributes:
            told["attributes"] = key_values(scope.attributes)
    found: dict[str, Any] = {"scope": told, "logRecords": records}
    if scope is not None and scope.schema_url:
        found["schemaUrl"] = scope.schema_url
    return found


def _log_record(given: ReadableLogRecord) -> dict[str, Any]:
    log_record = given.log_record
    number = log_record.severity_number
    return record(
        {
            "timeUnixNano": str(log_record.timestamp or ""),
            "observedTimeUnixNano": str(log_record.observed_timestamp or ""),
            "severityNumber": 0 if number is None else number.value,
            "severityText": log_record.severity_text or "",
            "body": any_value(log_record.body),
            "attributes": key_values(log_record.attributes or {}),
            "droppedAttributesCount": given.dropped_attributes,
            "flags": int(log_record.trace_flags or 0),
            "traceId": f"{log_record.trace_id:032x}" if log_record.trace_id else "",
            "spanId": f"{log_record.span_id:016x}" if log_record.span_id else "",
            "eventName": log_record.event_name or "",
        }
    )
