"""Each door's events, read back from kinesis-mock and compared field by field."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from kinesink import (
    KinesisHandler,
    KinesisLoggerFactory,
    KinesisLogRecordExporter,
    KinesisLogRecordProcessor,
    KinesisProcessor,
)
from tests.integration.support import (
    CALL_TIMEOUT,
    logger_of,
    records_by_shard,
    settings,
    user_data,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk._logs import LogRecordProcessor

    from kinesink import Statistics
    from kinesink.core.options import Framing
    from tests.kinesis_mock import KinesisMock

EVENTS = 40
RESOURCE = {"service.name": "shop", "team": "orders"}
MOMENT = 1767323045678901234


def expected(number: int, **differences: object) -> dict[str, Any]:
    """Return the fields of one event that do not depend on machine and moment."""
    return {
        "level": "WARNING",
        "severity_number": 13,
        "logger": "shop.orders",
        "message": f"order {number}",
        "attributes": {"number": number, "customer": f"c{number % 7}", "tags": ["a", "b"]},
        **differences,
    }


def attributes_of(number: int) -> dict[str, Any]:
    """Return what the application says of one event."""
    return {"number": number, "customer": f"c{number % 7}", "tags": ["a", "b"]}


def read_back(mock: KinesisMock, stream_name: str, framing: Framing = "kpl") -> list[bytes]:
    """Return the data of everything in the stream."""
    by_shard = records_by_shard(mock.client(), stream_name)
    return [data for records in by_shard.values() for data in user_data(records, framing)]


def events_in(mock: KinesisMock, stream_name: str) -> list[dict[str, Any]]:
    """Return the events in the stream, in the order of their numbers."""
    events = [json.loads(data) for data in read_back(mock, stream_name)]
    return sorted(events, key=lambda event: event["attributes"]["number"])


def compared(events: list[dict[str, Any]], **differences: object) -> None:
    """Compare events with what was logged, field by field."""
    assert len(events) == EVENTS
    for number, event in enumerate(events):
        for name, value in expected(number, **differences).items():
            assert event[name] == value, (name, event)


def delivered(account: Statistics) -> None:
    """Compare an account with what was logged."""
    assert (account.accepted, account.delivered, account.pending) == (EVENTS, EVENTS, 0)


@pytest.fixture(params=["asyncio", "trio"])
def parameters(kinesis_mock: KinesisMock, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return what leads to the mock, on each event loop."""
    return {**settings(kinesis_mock), "backend": request.param}


@pytest.mark.parametrize("partition_key", [None, "customer"])
def test_events_of_logging(
    kinesis_mock: KinesisMock,
    make_stream: Callable[[int], str],
    parameters: dict[str, Any],
    partition_key: str | None,
) -> None:
    """Through the handler, keyless and by a field of the event."""
    stream_name = make_stream(2)
    handler = KinesisHandler(stream_name, partition_key=partition_key, **parameters)
    with logger_of(handler, "doors") as logger:
        logger.name = "shop.orders"
        try:
            for number in range(EVENTS):
                logger.warning("order %d", number, extra=attributes_of(number))
            assert handler.flush(CALL_TIMEOUT)
        finally:
            logger.name = "kinesink.tests.integration.doors"
        delivered(handler.statistics())
    compared(events_in(kinesis_mock, stream_name), file="test_doors.py")


@pytest.mark.parametrize("partition_key", [None, "customer"])
def test_events_of_structlog_from_the_middle_of_the_chain(
    kinesis_mock: KinesisMock,
    make_stream: Callable[[int], str],
    parameters: dict[str, Any],
    partition_key: str | None,
) -> None:
    """Through the processor, with what the chain goes on to render left as it was."""
    stream_name = make_stream(2)
    processor = KinesisProcessor(stream_name, partition_key=partition_key, **parameters)
    rendered = structlog.testing.CapturingLogger()
    bound = structlog.wrap_logger(
        rendered,
        [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            processor,
            structlog.processors.JSONRenderer(),
        ],
    ).bind(logger="shop.orders")
    for number in range(EVENTS):
        bound.warning(f"order {number}", **attributes_of(number))
    assert processor.flush(CALL_TIMEOUT)
    delivered(processor.statistics())
    processor.close()
    events = events_in(kinesis_mock, stream_name)
    compared(events)
    for event, call in zip(events, rendered.calls, strict=True):
        event_dict = json.loads(call.args[0])
        assert event_dict == {
            **event["attributes"],
            "event": event["message"],
            "level": "warning",
            "logger": "shop.orders",
            "timestamp": event["timestamp"],
        }


def test_events_of_structlog_at_the_end_of_the_chain(
    kinesis_mock: KinesisMock, make_stream: Callable[[int], str], parameters: dict[str, Any]
) -> None:
    """Through the logger, verbatim as the renderer made them."""
    stream_name = make_stream(2)
    factory = KinesisLoggerFactory(stream_name, **parameters)
    bound = structlog.wrap_logger(factory("shop"), [structlog.processors.JSONRenderer()])
    for number in range(EVENTS):
        bound.warning(f"order {number}", **attributes_of(number))
    assert factory.flush(CALL_TIMEOUT)
    delivered(factory.statistics())
    factory.close()
    lines = [json.loads(data) for data in read_back(kinesis_mock, stream_name)]
    lines.sort(key=lambda line: line["number"])
    assert lines == [
        {**attributes_of(number), "event": f"order {number}"} for number in range(EVENTS)
    ]


def records_into(provider: LoggerProvider) -> None:
    """Emit the events by OpenTelemetry's API."""
    logger = provider.get_logger("shop.orders", "1.0")
    for number in range(EVENTS):
        logger.emit(
            LogRecord(
                timestamp=MOMENT + number,
                severity_number=SeverityNumber.WARN,
                severity_text="WARN",
                body=f"order {number}",
                attributes=attributes_of(number),
                event_name="order.placed",
            )
        )


OF_OPENTELEMETRY = {
    "service": "shop",
    "event_name": "order.placed",
    "scope": {"version": "1.0"},
}


def provider_of(processor: LogRecordProcessor) -> LoggerProvider:
    """Return a provider of a known resource."""
    provider = LoggerProvider(resource=Resource(RESOURCE), shutdown_on_exit=False)
    provider.add_log_record_processor(processor)
    return provider


@pytest.mark.parametrize("partition_key", [None, "customer"])
def test_records_of_opentelemetry_through_the_processor(
    kinesis_mock: KinesisMock,
    make_stream: Callable[[int], str],
    parameters: dict[str, Any],
    partition_key: str | None,
) -> None:
    """Straight into the sink; a flush of the provider waits for all of them."""
    stream_name = make_stream(2)
    processor = KinesisLogRecordProcessor(stream_name, partition_key=partition_key, **parameters)
    provider = provider_of(processor)
    records_into(provider)
    assert provider.force_flush(int(CALL_TIMEOUT * 1000))
    delivered(processor.statistics())
    events = events_in(kinesis_mock, stream_name)
    provider.shutdown()
    compared(events, resource={"team": "orders"}, **OF_OPENTELEMETRY)
    assert [event["timestamp"] for event in events] == [
        f"2026-01-02T03:04:05.{678901234 + number}Z" for number in range(EVENTS)
    ]


def test_records_of_opentelemetry_through_the_exporter(
    kinesis_mock: KinesisMock, make_stream: Callable[[int], str], parameters: dict[str, Any]
) -> None:
    """The same events; when the provider has flushed, they are in the stream."""
    stream_name = make_stream(2)
    exporter = KinesisLogRecordExporter(stream_name, export_timeout=CALL_TIMEOUT, **parameters)
    provider = provider_of(BatchLogRecordProcessor(exporter, schedule_delay_millis=60_000))
    records_into(provider)
    assert provider.force_flush()
    events = events_in(kinesis_mock, stream_name)
    delivered(exporter.statistics())
    provider.shutdown()
    compared(events, resource={"team": "orders"}, **OF_OPENTELEMETRY)


@pytest.mark.parametrize("framing", ["none", "kpl"])
def test_requests_of_otlp(
    kinesis_mock: KinesisMock,
    make_stream: Callable[[int], str],
    parameters: dict[str, Any],
    framing: Framing,
) -> None:
    """Protobuf, read by OpenTelemetry's own classes."""
    stream_name = make_stream(2)
    exporter = KinesisLogRecordExporter(
        stream_name,
        encoding="otlp_proto",
        framing=framing,
        max_event_bytes="2KiB",
        export_timeout=CALL_TIMEOUT,
        **parameters,
    )
    provider = provider_of(BatchLogRecordProcessor(exporter, schedule_delay_millis=60_000))
    records_into(provider)
    assert provider.force_flush()
    provider.shutdown()
    numbers = []
    requests = read_back(kinesis_mock, stream_name, framing)
    assert len(requests) > 1
    for data in requests:
        assert len(data) <= 2048
        request = ExportLogsServiceRequest.FromString(data)
        (of_resource,) = request.resource_logs
        assert {each.key: each.value.string_value for each in of_resource.resource.attributes} == (
            RESOURCE
        )
        (of_scope,) = of_resource.scope_logs
        assert (of_scope.scope.name, of_scope.scope.version) == ("shop.orders", "1.0")
        for record in of_scope.log_records:
            attributes = {each.key: each.value for each in record.attributes}
            number = attributes["number"].int_value
            assert record.time_unix_nano == MOMENT + number
            assert record.observed_time_unix_nano > 0
            assert record.severity_number == 13
            assert record.severity_text == "WARN"
            assert record.body.string_value == f"order {number}"
            assert record.event_name == "order.placed"
            assert attributes["customer"].string_value == f"c{number % 7}"
            tags = attributes["tags"].array_value.values
            assert [tag.string_value for tag in tags] == ["a", "b"]
            numbers.append(number)
    assert sorted(numbers) == list(range(EVENTS))


def test_all_doors_to_one_stream_share_one_account(
    kinesis_mock: KinesisMock, make_stream: Callable[[int], str], parameters: dict[str, Any]
) -> None:
    """One sink behind them, whose account is the stream's content."""
    stream_name = make_stream(2)
    handler = KinesisHandler(stream_name, **parameters)
    processor = KinesisProcessor(stream_name, drop=True, **parameters)
    of_records = KinesisLogRecordProcessor(stream_name, **parameters)
    provider = provider_of(of_records)
    bound = structlog.wrap_logger(logging.getLogger("unused"), [processor])
    with logger_of(handler, "shared") as logger:
        for number in range(EVENTS):
            logger.warning("order %d", number, extra=attributes_of(number))
            bound.warning(f"order {number}", **attributes_of(number))
        records_into(provider)
        assert handler.flush(CALL_TIMEOUT)
        account = of_records.statistics()
    assert (account.accepted, account.delivered) == (3 * EVENTS, 3 * EVENTS)
    numbers = [event["attributes"]["number"] for event in events_in(kinesis_mock, stream_name)]
    assert numbers == sorted([*range(EVENTS)] * 3)
    processor.close()
    provider.shutdown()
