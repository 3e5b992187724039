"""Under overload each door's events are accounted for in the stream itself, in any schema."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import pytest
import structlog
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor

from kinesink import (
    KinesisHandler,
    KinesisLogRecordExporter,
    KinesisLogRecordProcessor,
    KinesisProcessor,
)
from kinesink.testing import check_completeness
from tests.shell.support import landed, make_fake
from tests.testing.overload import EVENTS, overload, small_sink, tell_soon

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Unpack

    from kinesink import Sink
    from kinesink.adapters.parameters import EventParameters
    from kinesink.event.options import SchemaName

    Log = Callable[[int], object]

SCHEMAS: list[SchemaName] = ["default", "ecs", "otel", "datadog", "structlog"]


@pytest.fixture(autouse=True)
def signed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests be signed."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell of losses at once, and again."""
    tell_soon(monkeypatch)


def by_logging(sink: Sink, **options: Unpack[EventParameters]) -> Log:
    """Return what logs through logging's door."""
    logger = logging.Logger("app.orders")  # noqa: LOG001 - out of reach
    logger.addHandler(KinesisHandler(sink=sink, **options))
    return lambda number: logger.info("order %d accepted", number)


def by_structlog(sink: Sink, **options: Unpack[EventParameters]) -> Log:
    """Return what logs through structlog's door."""
    processor = KinesisProcessor(sink=sink, drop=True, **options)
    logger = structlog.wrap_logger(
        structlog.ReturnLogger(),
        processors=[structlog.stdlib.add_log_level, processor],
        wrapper_class=structlog.make_filtering_bound_logger(0),
    )
    return lambda number: logger.info("order accepted", number=number)


def emitting(provider: LoggerProvider) -> Log:
    """Return what emits records of OpenTelemetry's."""
    logger = provider.get_logger("app.orders")
    return lambda number: logger.emit(
        LogRecord(
            body=f"order {number} accepted",
            severity_number=SeverityNumber.INFO,
            severity_text="INFO",
        )
    )


def by_processor(sink: Sink, **options: Unpack[EventParameters]) -> Log:
    """Return what logs through OpenTelemetry's processor."""
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(KinesisLogRecordProcessor(sink=sink, **options))
    return emitting(provider)


def by_exporter(sink: Sink, **options: Unpack[EventParameters]) -> Log:
    """Return what logs through OpenTelemetry's exporter, inside each log call."""
    exporter = KinesisLogRecordExporter(sink=sink, **options)
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    return emitting(provider)


DOORS: Final = {
    "logging": by_logging,
    "structlog": by_structlog,
    "processor": by_processor,
    "exporter": by_exporter,
}


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("door", ["structlog", "processor", "exporter"])
def test_after_the_pressure_each_event_is_accounted_for(
    door: str, schema: SchemaName, anyio_backend: str
) -> None:
    """The loss record arrives, and tells exactly how many of the door's numbers are missing."""
    fake = make_fake()
    sink = small_sink(fake, backend=anyio_backend)
    report = overload(fake, sink, DOORS[door](sink, schema=schema))
    assert sink.close()
    (writer,) = report.writers
    assert writer.verdict == "accounted"
    assert writer.missing_events == writer.lost.events == sink.statistics().lost > 0
    assert report.unnumbered == 0


def test_doors_that_share_a_sink_share_its_numbers(anyio_backend: str) -> None:
    """Whatever each of them writes, the stream has one sequence."""
    fake = make_fake()
    sink = small_sink(fake, backend=anyio_backend)
    logs = [
        open_door(sink, schema=schema)
        for open_door, schema in zip(DOORS.values(), SCHEMAS, strict=False)
    ]
    report = overload(fake, sink, lambda number: logs[number % 3](number))
    logs[3](EVENTS - 1)
    assert sink.close()
    assert len(report.writers) == 1
    assert report.verdict == "accounted"
    assert report.missing_events == report.lost.events > 0
    last = check_completeness(landed(fake))
    assert (last.events, last.missing_events) == (report.events + 1, report.missing_events)
