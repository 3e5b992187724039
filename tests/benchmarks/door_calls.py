"""What a call costs through structlog's and OpenTelemetry's doors, beside what they offer.

Run it alone: ``python tests/benchmarks/door_calls.py [rounds]``. It needs no network and no
stream: the sink is the smallest that a sink can be.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import (
    BatchLogRecordProcessor,
    LogRecordExporter,
    LogRecordExportResult,
)
from opentelemetry.sdk.resources import Resource

sys.path.insert(0, str(Path(__file__).parents[2]))

from kinesink import KinesisLoggerFactory, KinesisLogRecordProcessor, KinesisProcessor
from tests.benchmarks.calls import Row, SmallestSink, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry._logs import Logger
    from opentelemetry.sdk._logs import LogRecordProcessor


def bound(logger: Any, last: Any, *, chain: bool) -> Any:  # noqa: ANN401 - structlog has no narrower types
    """Return a logger whose chain ends in ``last``, as applications configure it or bare."""
    before = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
    ]
    return structlog.wrap_logger(
        logger,
        processors=[*(before if chain else ()), last],
        wrapper_class=structlog.make_filtering_bound_logger(0),
    ).bind()


def log(logger: Any) -> None:  # noqa: ANN401 - as above
    """Log an event with three fields."""
    logger.info("user did something", user="bob", count=7, path="/a/b")


def structlog_rows(sink: SmallestSink) -> list[Row]:
    """Return rows of the usual chain and of the bare one, JSONRenderer first."""
    render = structlog.processors.JSONRenderer
    found: list[Row] = []
    for label, chain in (("usual chain", True), ("bare chain", False)):
        given = sink
        ends: list[tuple[str, Any, Any]] = [
            ("JSONRenderer", structlog.ReturnLogger(), render()),
            ("JSONRenderer, orjson", structlog.ReturnLogger(), render(serializer=orjson.dumps)),
            ("KinesisProcessor(drop)", structlog.ReturnLogger(),
             KinesisProcessor(sink=given, drop=True)),
            ("JSONRenderer, orjson → KinesisLogger", KinesisLoggerFactory(sink=given)(),
             render(serializer=orjson.dumps)),
        ]  # fmt: skip
        found += [
            Row(
                f"{name}, {label}",
                partial(log, bound(logger, last, chain=chain)),
                is_baseline=name == "JSONRenderer",
            )
            for name, logger, last in ends
        ]
    return found


class NoExporter(LogRecordExporter):
    """An exporter that does nothing."""

    def export(self, batch: Sequence[object]) -> LogRecordExportResult:
        """Do nothing."""
        del batch
        return LogRecordExportResult.SUCCESS

    def shutdown(self) -> None:
        """Do nothing."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Do nothing."""
        del timeout_millis
        return True


def emit(logger: Logger, attributes: dict[str, str | int] | None) -> None:
    """Emit a record as a handler of ``logging`` would."""
    logger.emit(
        LogRecord(
            timestamp=time.time_ns(),
            severity_number=SeverityNumber.INFO,
            severity_text="INFO",
            body="user bob did 7",
            attributes=attributes,
        )
    )


def otel_rows(sink: SmallestSink) -> tuple[list[Row], list[LoggerProvider]]:
    """Return rows with and without attributes, BatchLogRecordProcessor first."""
    processors: dict[str, LogRecordProcessor | None] = {
        "BatchLogRecordProcessor, no exporter": BatchLogRecordProcessor(NoExporter()),
        "KinesisLogRecordProcessor": KinesisLogRecordProcessor(sink=sink),
        "no processor": None,
    }
    resource = Resource.create({"service.name": "shop"})
    loggers = {}
    providers = []
    for name, processor in processors.items():
        provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
        if processor is not None:
            provider.add_log_record_processor(processor)
        loggers[name] = provider.get_logger("app.orders")
        providers.append(provider)
    given: list[tuple[str, dict[str, str | int] | None]] = [
        ("2 attributes", {"user": "bob", "count": 7}), ("none", None),
    ]  # fmt: skip
    rows = [
        Row(
            f"{name}, {label}",
            partial(emit, logger, attributes),
            is_baseline=name.startswith("Batch"),
        )
        for label, attributes in given
        for name, logger in loggers.items()
    ]
    return rows, providers


def main() -> None:
    """Print the tables."""
    sink = SmallestSink()
    print_table(structlog_rows(sink), sink)
    rows, providers = otel_rows(sink)
    # The batches of one run are exported before the next one begins.
    print_table(rows, sink, rest=0.005)
    for provider in providers:
        provider.shutdown()


if __name__ == "__main__":
    main()
