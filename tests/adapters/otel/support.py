"""What tests of the doors for OpenTelemetry share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from kinesink import KinesisLogRecordExporter, KinesisLogRecordProcessor
from tests.adapters.recording_sink import RecordingSink

if TYPE_CHECKING:
    from opentelemetry._logs import Logger
    from opentelemetry.context import Context
    from opentelemetry.sdk._logs import LogRecordProcessor
    from typing_extensions import Unpack

    from kinesink import Sink
    from kinesink.adapters.otlp import Encoding
    from kinesink.adapters.parameters import EventParameters
    from kinesink.testing import FakeKinesis

MOMENT = 1_767_323_045_678_901_234
TIMESTAMP = "2026-01-02T03:04:05.678901234Z"

TRACE_ID = 0x0AF7651916CD43DD8448EB211C80319C
SPAN_ID = 0x00F067AA0BA902B7

A_RESOURCE = Resource({"service.name": "shop", "cloud.region": "eu-west-1"})
A_SCOPE = InstrumentationScope("app.orders")


def in_a_span(flags: int = 1) -> Context:
    """Return a context in which a span is active."""
    span = trace.SpanContext(
        TRACE_ID, SPAN_ID, is_remote=False, trace_flags=trace.TraceFlags(flags)
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(span))


def a_log_record(body: Any = "order 7 accepted", **fields: Any) -> LogRecord:  # noqa: ANN401 - an AnyValue
    """Return a log record with a time and a severity; ``fields`` are set on it."""
    record = LogRecord(
        timestamp=MOMENT,
        observed_timestamp=MOMENT + 1,
        severity_text="INFO",
        severity_number=SeverityNumber.INFO,
        body=body,
        context=fields.pop("context", None),
    )
    for name, value in fields.items():
        setattr(record, name, value)
    return record


def readable(
    body: object = "order 7 accepted",
    *,
    resource: Resource = A_RESOURCE,
    scope: InstrumentationScope | None = A_SCOPE,
    **fields: object,
) -> ReadableLogRecord:
    """Return a record as exporters get it."""
    return ReadableLogRecord(a_log_record(body, **fields), resource, scope)


def writable(
    body: object = "order 7 accepted",
    *,
    resource: Resource = A_RESOURCE,
    scope: InstrumentationScope | None = A_SCOPE,
    attributes: object = None,
    **fields: object,
) -> ReadWriteLogRecord:
    """Return a record as processors get it; ``fields`` are set after its construction."""
    record = ReadWriteLogRecord(
        a_log_record(body, attributes=attributes, context=fields.pop("context", None)),
        resource,
        scope,
    )
    for name, value in fields.items():
        setattr(record.log_record, name, value)
    return record


def shipped(record: ReadWriteLogRecord, **options: Unpack[EventParameters]) -> dict[str, Any]:
    """Return the event that a record becomes by way of the processor."""
    sink = RecordingSink()
    KinesisLogRecordProcessor(sink=sink, **options).on_emit(record)
    return sink.event


def provider_of(processor: LogRecordProcessor, **parameters: Any) -> LoggerProvider:  # noqa: ANN401 - as LoggerProvider
    """Return a provider that nothing shuts down at exit."""
    parameters.setdefault("resource", A_RESOURCE)
    provider = LoggerProvider(shutdown_on_exit=False, **parameters)
    provider.add_log_record_processor(processor)
    return provider


def logger_of(processor: LogRecordProcessor, **parameters: Any) -> Logger:  # noqa: ANN401 - as LoggerProvider
    """Return a logger of a provider with one processor."""
    return provider_of(processor, **parameters).get_logger("app.orders")


def exported(
    encoding: Encoding, *batch: ReadableLogRecord, **options: Unpack[EventParameters]
) -> list[bytes]:
    """Return what the sink gets of a batch."""
    sink = RecordingSink()
    exporter = KinesisLogRecordExporter(encoding=encoding, acknowledge=False, sink=sink, **options)
    exporter.export(list(batch))
    return sink.lines


def events_in(fake: FakeKinesis) -> list[dict[str, Any]]:
    """Return the events that a consumer sees, in the order of arrival."""
    return [json.loads(record.data) for record in fake.user_records("app")]


def messages_in(fake: FakeKinesis) -> list[str]:
    """Return their messages, sorted."""
    return sorted(event["message"] for event in events_in(fake))


def adds_up(sink: Sink) -> bool:
    """Tell whether every event accepted is somewhere."""
    account = sink.statistics()
    return account.accepted == account.delivered + account.lost + account.pending
