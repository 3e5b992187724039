"""The same event through logging, structlog and OpenTelemetry: the same fields, one sink."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from kinesink import (
    KinesisHandler,
    KinesisLoggerFactory,
    KinesisLogRecordExporter,
    KinesisLogRecordProcessor,
    KinesisProcessor,
)
from kinesink.event.parts import FIELDS
from tests.adapters.recording_sink import RecordingSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Unpack

    from kinesink.adapters.parameters import EventParameters
    from kinesink.event.options import SchemaName
    from tests.adapters.conftest import Registry

ENVIRONMENT = {
    "OTEL_SERVICE_NAME": "shop",
    "OTEL_RESOURCE_ATTRIBUTES": (
        "deployment.environment.name=prod,service.version=1.2.3,host.name=ip-10-0-0-1"
    ),
}


@pytest.fixture(autouse=True)
def process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name service, environment, version and host, as an operator does."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def in_a_span() -> Iterator[None]:
    """Run the test inside a span that is sampled."""
    provider = TracerProvider(shutdown_on_exit=False)
    with provider.get_tracer("tests").start_as_current_span("a request"):
        yield
    provider.shutdown()


def failed() -> BaseException:
    """Return an exception that was raised and caught."""
    try:
        int("a dozen")
    except ValueError as error:
        return error
    raise AssertionError


def by_logging(sink: RecordingSink, **options: Unpack[EventParameters]) -> None:
    """Log the event through logging's door."""
    logger = logging.Logger("app.orders")  # noqa: LOG001 - out of reach
    logger.addHandler(KinesisHandler(sink=sink, **options))
    logger.error("order %s failed", 17, exc_info=failed(), extra={"amount": 12.5, "tags": ["a"]})


def by_structlog(sink: RecordingSink, **options: Unpack[EventParameters]) -> None:
    """Log the event through structlog's door."""
    parameters = structlog.processors.CallsiteParameter
    chain: list[Any] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.CallsiteParameterAdder(
            {
                parameters.FILENAME,
                parameters.LINENO,
                parameters.FUNC_NAME,
                parameters.THREAD_NAME,
                parameters.PROCESS,
            }
        ),
        KinesisProcessor(sink=sink, drop=True, **options),
    ]
    logger = structlog.wrap_logger(logging.Logger("app.orders"), chain)  # noqa: LOG001 - as above
    logger.error("order 17 failed", exc_info=failed(), amount=12.5, tags=["a"])


def by_opentelemetry(sink: RecordingSink, **options: Unpack[EventParameters]) -> None:
    """Log the event through OpenTelemetry's door."""
    provider = LoggerProvider(resource=Resource.create(), shutdown_on_exit=False)
    provider.add_log_record_processor(KinesisLogRecordProcessor(sink=sink, **options))
    error = failed()
    frame = sys._getframe()
    provider.get_logger("app.orders").emit(
        LogRecord(
            severity_number=SeverityNumber.ERROR,
            severity_text="ERROR",
            body="order 17 failed",
            attributes={
                "amount": 12.5,
                "tags": ["a"],
                "code.file.path": __file__,
                "code.line.number": frame.f_lineno,
                "code.function.name": frame.f_code.co_name,
                "thread.name": "MainThread",
                "exception.type": type(error).__name__,
                "exception.message": str(error),
                "exception.stacktrace": "Traceback …",
            },
        )
    )


DOORS: list[Callable[..., None]] = [by_logging, by_structlog, by_opentelemetry]

#: What only one library knows.
OF_TASKS = {"task"}
OF_OPENTELEMETRY = {"resource"}

#: What differs from call to call, or from library to library, by its nature.
DIFFERENT = {"timestamp", "line", "function", "exception", "task", "resource"}


def events_of_all_doors(**options: Unpack[EventParameters]) -> list[dict[str, Any]]:
    """Return the event as each door ships it."""
    events = []
    for door in DOORS:
        sink = RecordingSink()
        door(sink, **options)
        events.append(sink.event)
    return events


class TestOneEvent:
    """What a consumer sees does not depend on the library that logged."""

    @pytest.mark.usefixtures("in_a_span")
    def test_the_default_schema_has_the_same_fields(self) -> None:
        """Names and values, in the order of the schema."""
        events = events_of_all_doors()
        names = [[name for name in event if name not in DIFFERENT] for event in events]
        assert names[0] == names[1] == names[2]
        assert [name for name in FIELDS if name in events[0]] == list(events[0])
        same = [{name: event[name] for name in names[0]} for event in events]
        assert same[0] == same[1] == same[2]
        assert same[0]["message"] == "order 17 failed"
        assert same[0]["service"] == "shop"
        assert same[0]["attributes"] == {"amount": 12.5, "tags": ["a"]}
        assert len(same[0]["trace_id"]) == 32
        for event in events:
            assert event["exception"]["type"] == "ValueError"
            assert set(event["exception"]) == {"type", "message", "stacktrace"}

    @pytest.mark.usefixtures("in_a_span")
    @pytest.mark.parametrize("schema", ["default", "ecs", "datadog", "structlog", "otel"])
    def test_every_schema_has_the_same_fields(self, schema: SchemaName) -> None:
        """Whatever the names are, they are the same for all doors."""
        events = [names_in(event) for event in events_of_all_doors(schema=schema)]
        extra = {name for name in events[2] - events[0] if "telemetry.sdk" in name}
        extra |= {name for name in events[2] - events[0] if name.startswith("resource")}
        tasks = {name for name in events[0] - events[1] if "task" in name}
        assert events[0] - tasks == events[1]
        assert events[2] - extra - of_the_instance(events[2]) == events[1]

    def test_options_mean_the_same(self) -> None:
        """Renamed, static, redacted and flat fields as well."""
        events = events_of_all_doors(
            rename={"message": "msg", "logger": "log"},
            static_fields={"team": "orders", "env": "staging"},
            redact="amount",
            extra="flat",
        )
        for event in events:
            assert (event["msg"], event["log"]) == ("order 17 failed", "app.orders")
            assert (event["team"], event["env"]) == ("orders", "staging")
            assert (event["amount"], event["tags"]) == ("[redacted]", ["a"])

    def test_a_callable_schema_gets_the_same_fields(self) -> None:
        """By the names of the default schema."""

        def schema(fields: dict[str, Any]) -> dict[str, Any]:
            return {"what": fields["message"], "how": fields["level"], "more": fields["attributes"]}

        events = events_of_all_doors(schema=schema)
        assert events == [
            {
                "what": "order 17 failed",
                "how": "ERROR",
                "more": {"amount": 12.5, "tags": ["a"]},
            }
        ] * len(DOORS)

    @pytest.mark.parametrize(
        ("partition_key", "key"),
        [
            ("logger", "app.orders"),
            ("amount", "12.5"),
            ("attr:amount", "12.5"),
            ("level", None),
            ("attr:nothing", None),
        ],
    )
    def test_a_partition_key_is_the_same(self, partition_key: str, key: str | None) -> None:
        """So that what belongs together shares a shard, whoever logged it."""
        keys = []
        for door in DOORS:
            sink = RecordingSink()
            door(sink, partition_key=partition_key)
            keys += sink.partition_keys
        if partition_key == "level":
            assert {str(each).upper() for each in keys} == {"ERROR"}
        else:
            assert keys == [key] * len(DOORS)

    @pytest.mark.usefixtures("in_a_span")
    def test_a_trace_is_a_partition_key(self) -> None:
        """The events of one trace share a shard."""
        keys = []
        for door in DOORS:
            sink = RecordingSink()
            door(sink, partition_key="trace_id")
            keys += sink.partition_keys
        assert len(set(keys)) == 1
        assert keys[0] is not None


def names_in(event: object, above: str = "") -> set[str]:
    """Return the paths of all values; of OTLP's attributes their keys."""
    if isinstance(event, dict):
        if set(event) == {"key", "value"}:
            return {f"{above}{event['key']}"}
        return {name for key, value in event.items() for name in names_in(value, f"{above}{key}.")}
    if isinstance(event, list):
        return {name for value in event for name in names_in(value, above)}
    return {above}


def of_the_instance(names: set[str]) -> set[str]:
    """Return what newer SDKs say of every service by themselves."""
    return {name for name in names if "service.instance.id" in name}


class TestOneSink:
    """Everything of one configuration shares a sink, and nothing else does."""

    def test_all_doors_of_one_configuration_share_it(self, registry: Registry) -> None:
        """One thread, one pool of connections, one account."""
        provider = LoggerProvider(shutdown_on_exit=False)
        provider.add_log_record_processor(KinesisLogRecordProcessor("app-logs"))
        exporter = KinesisLogRecordExporter("app-logs", acknowledge=False)
        batches = LoggerProvider(shutdown_on_exit=False)
        batches.add_log_record_processor(BatchLogRecordProcessor(exporter))
        handler = KinesisHandler("app-logs")
        processor = KinesisProcessor("app-logs", schema="ecs")
        logger = KinesisLoggerFactory("app-logs")()
        handler.handle(logging.makeLogRecord({"msg": "one"}))
        processor(None, "info", {"event": "two"})
        logger.info("three")
        provider.get_logger("app").emit(LogRecord(body="four"))
        batches.get_logger("app").emit(LogRecord(body="five"))
        batches.shutdown()
        assert len(registry.sink.lines) == 5
        assert handler.statistics().accepted == processor.statistics().accepted == 5
        assert logger.statistics() == exporter.statistics() == handler.statistics()

    def test_each_counts_as_a_holder_until_it_is_closed(self, registry: Registry) -> None:
        """The last one to close lets the thread end; a later event takes the sink again."""
        handler, processor = KinesisHandler("app-logs"), KinesisProcessor("app-logs")
        exporter = KinesisLogRecordProcessor("app-logs")
        provider = LoggerProvider(shutdown_on_exit=False)
        provider.add_log_record_processor(exporter)
        handler.handle(logging.makeLogRecord({"msg": "one"}))
        processor(None, "info", {"event": "two"})
        provider.get_logger("app").emit(LogRecord(body="three"))
        assert registry.held == [registry.sink] * 3
        handler.close()
        processor.close()
        assert registry.held == [registry.sink]
        provider.shutdown()
        assert registry.held == []
        processor(None, "info", {"event": "again"})
        assert registry.held == [registry.sink]
        assert len(registry.sink.lines) == 4

    def test_other_streams_have_sinks_of_their_own(self, registry: Registry) -> None:
        """As have other parameters of the way there; those of the event do not matter."""
        for stream_name in ("app-logs", "audit"):
            KinesisHandler(stream_name).handle(logging.makeLogRecord({"msg": stream_name}))
        KinesisProcessor("audit", linger=1)(None, "info", {"event": "patient"})
        KinesisProcessor("audit", static_fields={"team": "x"})(None, "info", {"event": "static"})
        messages = {
            (config.stream_name, config.linger): [event["message"] for event in sink.events]
            for config, sink in registry.sinks.items()
        }
        assert messages == {
            ("app-logs", 0.1): ["app-logs"],
            ("audit", 0.1): ["audit", "static"],
            ("audit", 1): ["patient"],
        }
