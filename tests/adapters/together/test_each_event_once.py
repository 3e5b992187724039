"""A process in which structlog, logging and OpenTelemetry are chained: each event arrives once.

Each composition that the documentation recommends, and what happens where all doors are open.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from opentelemetry.sdk._logs import LoggerProvider

from kinesink import KinesisHandler, KinesisLogRecordProcessor, KinesisProcessor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.adapters.conftest import Registry

NAME = "kinesink.tests.once"


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """Return a logger of its own, which no other handler listens to."""
    logger = logging.getLogger(NAME)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield logger
    for handler in logger.handlers[:]:
        logger.removeHandler(handler)
        handler.close()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


def bridged(logger: logging.Logger, *processors: Any) -> Any:  # noqa: ANN401 - structlog has no narrower types
    """Return a structlog logger in front of one of logging's."""
    return structlog.wrap_logger(
        logger,
        processors=[
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            *processors,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def to_opentelemetry(logger: logging.Logger) -> LoggerProvider:
    """Put OpenTelemetry's handler on a logger, as its instrumentation does on the root."""
    handler = pytest.importorskip("opentelemetry.instrumentation.logging.handler")
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(KinesisLogRecordProcessor("app-logs"))
    logger.addHandler(handler.LoggingHandler(logger_provider=provider))
    return provider


WRAPPED = structlog.stdlib.ProcessorFormatter.wrap_for_formatter
AS_ARGUMENTS = structlog.stdlib.render_to_log_kwargs


class TestRecommended:
    """One door on each way to the stream."""

    @pytest.mark.parametrize("last", [WRAPPED, AS_ARGUMENTS], ids=["wrapped", "as arguments"])
    def test_structlog_by_way_of_the_handler(
        self,
        registry: Registry,
        logger: logging.Logger,
        last: object,
    ) -> None:
        """The handler ships what both libraries log, as they meant it."""
        logger.addHandler(KinesisHandler("app-logs"))
        bridged(logger, last).info("order paid", order=17)
        logger.info("cart %s is empty", 3, extra={"order": 18})
        first, second = registry.sink.events
        assert (first["message"], first["attributes"]["order"]) == ("order paid", 17)
        assert (second["message"], second["attributes"]["order"]) == ("cart 3 is empty", 18)
        assert first["logger"] == second["logger"] == NAME
        assert registry.sink.reports == []

    def test_structlog_by_a_door_of_its_own(
        self, registry: Registry, logger: logging.Logger
    ) -> None:
        """The processor ends the chain, so the handler gets what logging logs, and no more."""
        logger.addHandler(KinesisHandler("app-logs"))
        bridged(logger, KinesisProcessor("app-logs", drop=True), WRAPPED).info("order paid")
        logger.info("cart is empty")
        assert [event["message"] for event in registry.sink.events] == [
            "order paid", "cart is empty",
        ]  # fmt: skip
        assert registry.sink.reports == []

    def test_structlog_by_way_of_logging_and_opentelemetry(
        self, registry: Registry, logger: logging.Logger
    ) -> None:
        """OpenTelemetry's handler is on the logger, and the processor behind it the one door."""
        provider = to_opentelemetry(logger)
        bridged(logger, AS_ARGUMENTS).info("order paid", order=17)
        provider.shutdown()
        assert registry.sink.event["message"] == "order paid"
        assert registry.sink.event["attributes"]["order"] == 17
        assert registry.sink.event["logger"] == NAME
        assert registry.sink.reports == []


class TestTooManyDoors:
    """Every door that an event passes ships it."""

    def test_three_doors_ship_it_three_times_and_say_so(
        self, registry: Registry, logger: logging.Logger
    ) -> None:
        """Nothing is guessed to be a copy and left out; the operator is told instead."""
        logger.addHandler(KinesisHandler("app-logs"))
        provider = to_opentelemetry(logger)
        bound = bridged(logger, KinesisProcessor("app-logs"), AS_ARGUMENTS)
        bound.info("order paid")
        bound.info("order sent")
        provider.shutdown()
        assert [event["message"] for event in registry.sink.events] == (
            ["order paid"] * 3 + ["order sent"] * 3
        )
        told = [text for kind, text in registry.sink.reports if kind == "DoubleShipping"]
        assert len(told) == 2
        assert "KinesisProcessor" in told[0]
        assert "OpenTelemetry" in told[1]
        assert all(NAME in text and "'app-logs'" in text for text in told)
