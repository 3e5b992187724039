"""structlog by way of logging: the handler ships the event dict, as the processor does."""

from __future__ import annotations

import logging
import sys
import types
from typing import Any

import pytest
import structlog
from structlog.processors import CallsiteParameter, CallsiteParameterAdder

from kinesink import KinesisHandler, KinesisProcessor
from kinesink.event.current_span import SPANS
from tests.adapters.recording_sink import RecordingSink
from tests.adapters.structlog.chains import a_logger

WRAP = structlog.stdlib.ProcessorFormatter.wrap_for_formatter
BRIDGES = {
    "wrap_for_formatter": WRAP,
    "render_to_log_kwargs": structlog.stdlib.render_to_log_kwargs,
}
# The first of structlog that are supported do not have it yet.
WITH_ARGUMENTS = getattr(structlog.stdlib, "render_to_log_args_and_kwargs", None)
if WITH_ARGUMENTS is not None:
    BRIDGES["render_to_log_args_and_kwargs"] = WITH_ARGUMENTS
OF_THE_RECORD = {"file", "line", "function", "thread", "task"}
"""What only a record has, unless ``CallsiteParameterAdder`` is in the chain."""


class Twice:
    """A chain that ships each event by the processor, and by a handler behind the bridge."""

    def __init__(self, bridge: object, *processors: object) -> None:
        self.by_processor = RecordingSink()
        self.by_handler = RecordingSink()
        logger = logging.Logger("app.orders")  # noqa: LOG001 - out of reach
        logger.addHandler(KinesisHandler(sink=self.by_handler))
        self.log = a_logger(
            *processors,
            KinesisProcessor(sink=self.by_processor),
            bridge,
            logger=logger,
            wrapper=structlog.stdlib.BoundLogger,
        )

    def compared(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what both have of the one event, without what only a record has."""
        shipped, bridged = self.by_processor.event, self.by_handler.event
        only = OF_THE_RECORD.difference(shipped)
        return shipped, {name: value for name, value in bridged.items() if name not in only}


@pytest.fixture(params=BRIDGES)
def chain(request: pytest.FixtureRequest) -> Twice:
    """Return a chain with the usual processors, for each bridge."""
    return Twice(
        BRIDGES[request.param],
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso"),
    )


class TestTheSameFields:
    """Whichever way the event takes."""

    def test_of_a_plain_event(self, chain: Twice) -> None:
        """Message, level, logger and time are fields; the rest are attributes."""
        chain.log.bind(order=17).warning("paid", user="bob")
        shipped, bridged = chain.compared()
        assert bridged == shipped
        assert shipped["attributes"] == {"order": 17, "user": "bob"}

    def test_of_an_exception(self, chain: Twice) -> None:
        """Structured, as it was when it was handled."""
        try:
            int("a dozen")
        except ValueError:
            chain.log.exception("failed")
        shipped, bridged = chain.compared()
        assert bridged == shipped
        assert shipped["exception"]["type"] == "ValueError"

    def test_of_an_exception_that_was_never_raised(self, chain: Twice) -> None:
        """It has no traceback."""
        chain.log.error("failed", exc_info=ValueError("no"))
        shipped, bridged = chain.compared()
        assert bridged == shipped
        assert shipped["exception"]["type"] == "ValueError"

    @pytest.mark.parametrize(
        "renderer", [structlog.processors.format_exc_info, structlog.processors.dict_tracebacks]
    )
    def test_of_an_exception_that_is_rendered(self, renderer: object) -> None:
        """As text or dictionaries."""
        for bridge in BRIDGES.values():
            chain = Twice(bridge, structlog.stdlib.add_log_level, renderer)
            try:
                int("a dozen")
            except ValueError:
                # By exception(), logging would note the exception on the record once more.
                chain.log.error("failed", exc_info=True)  # noqa: G201 - see above
            shipped, bridged = chain.compared()
            shipped.pop("timestamp")
            bridged.pop("timestamp")
            assert bridged == shipped
            assert "a dozen" in shipped["exception"]["stacktrace"]

    def test_of_a_stack(self) -> None:
        """``StackInfoRenderer`` has rendered it."""
        for bridge in BRIDGES.values():
            chain = Twice(
                bridge,
                structlog.stdlib.add_log_level,
                structlog.processors.TimeStamper(),
                structlog.processors.StackInfoRenderer(),
            )
            chain.log.info("x", stack_info=True)
            shipped, bridged = chain.compared()
            assert bridged == shipped
            assert shipped["stack_info"].startswith("Stack")

    def test_of_a_call_site(self) -> None:
        """The chain's own counts: the record's is somewhere in structlog."""
        chain = Twice(
            WRAP,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(),
            CallsiteParameterAdder(
                {each for each in CallsiteParameter if each.value != "qual_name"}
            ),
        )
        chain.log.info("x")
        shipped, bridged = chain.compared()
        assert bridged == shipped
        assert shipped["file"] == "test_bridge.py"

    def test_of_an_event_that_is_no_text(self, chain: Twice) -> None:
        """Its text is the message."""
        chain.log.info(17)
        shipped, bridged = chain.compared()
        assert bridged == shipped
        assert shipped["message"] == "17"

    def test_of_partition_keys(self) -> None:
        """Keys are read from the event dict, too."""
        for strategy in ("level", "logger", "user", "attr:user", "process"):
            keys = []
            for bridge in BRIDGES.values():
                by_processor, by_handler = RecordingSink(), RecordingSink()
                logger = logging.Logger("app.orders")  # noqa: LOG001 - out of reach
                logger.addHandler(KinesisHandler(sink=by_handler, partition_key=strategy))
                log = a_logger(
                    structlog.stdlib.add_log_level,
                    structlog.stdlib.add_logger_name,
                    KinesisProcessor(sink=by_processor, partition_key=strategy),
                    bridge,
                    logger=logger,
                )
                log.error("x", user="bob")
                keys += by_processor.partition_keys + by_handler.partition_keys
            assert len(set(keys)) == 1, strategy
            assert keys[0]


class TestTheRecord:
    """What it says besides."""

    def test_fills_in_what_the_dict_does_not_say(self) -> None:
        """Time, thread and place of the record."""
        chain = Twice(WRAP)
        chain.log.info("x")
        event = chain.by_handler.event
        assert (event["logger"], event["level"]) == ("app.orders", "INFO")
        assert event["thread"]
        assert event["file"]

    def test_extras_of_filters_are_attributes(self) -> None:
        """The event dict's own come first."""
        sink = RecordingSink()
        handler = KinesisHandler(sink=sink)
        logger = logging.Logger("app.orders")  # noqa: LOG001 - out of reach
        logger.addHandler(handler)

        def note(record: logging.LogRecord) -> bool:
            record.request, record.order = "r1", 0
            return True

        handler.addFilter(note)
        a_logger(WRAP, logger=logger).info("x", order=17)
        assert sink.event["attributes"] == {"request": "r1", "order": 17}

    def test_the_span_noted_on_it_counts_where_there_is_no_current_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By OpenTelemetry's logging instrumentation."""
        sink = RecordingSink()
        handler = KinesisHandler(sink=sink)
        logger = logging.Logger("app.orders")  # noqa: LOG001 - out of reach
        logger.addHandler(handler)

        def note(record: logging.LogRecord) -> bool:
            record.otelTraceID, record.otelSpanID = f"{12:032x}", f"{13:016x}"
            return True

        handler.addFilter(note)
        log = a_logger(WRAP, logger=logger)
        log.info("outside")
        context = types.SimpleNamespace(trace_id=10, span_id=11, trace_flags=1, is_valid=True)
        span = types.SimpleNamespace(get_span_context=lambda: context)
        module = types.SimpleNamespace(get_current_span=lambda: span)
        monkeypatch.setitem(sys.modules, SPANS, module)
        log.info("inside")
        assert [event["trace_id"] for event in sink.events] == [f"{12:032x}", f"{10:032x}"]
        assert all("attributes" not in event for event in sink.events)

    def test_without_add_log_level_extras_are_attributes(self) -> None:
        """Nothing tells the extras of ``render_to_log_kwargs`` from others then."""
        sink = RecordingSink()
        logger = logging.Logger("app.orders")  # noqa: LOG001 - out of reach
        logger.addHandler(KinesisHandler(sink=sink))
        a_logger(structlog.stdlib.render_to_log_kwargs, logger=logger).info("x", timestamp="now")
        assert sink.event["attributes"] == {"timestamp": "now"}

    @pytest.mark.skipif(WITH_ARGUMENTS is None, reason="this structlog has none")
    def test_positional_arguments_are_filled_in_by_logging(self) -> None:
        """Where they are given to it."""
        sink = RecordingSink()
        logger = logging.Logger("app.orders")  # noqa: LOG001 - out of reach
        logger.addHandler(KinesisHandler(sink=sink))
        log = a_logger(
            structlog.stdlib.add_log_level,
            WITH_ARGUMENTS,
            logger=logger,
            wrapper=structlog.stdlib.BoundLogger,
        )
        log.info("order %d", 17, user="bob")
        assert (sink.event["message"], sink.event["attributes"]) == ("order 17", {"user": "bob"})

    def test_deep_inside_of_renderings_the_event_still_has_its_text(self) -> None:
        """The last event goes bare, and not as the repr of its dict."""
        sink = RecordingSink()
        logger = logging.Logger("app.orders")  # noqa: LOG001 - out of reach
        logger.addHandler(KinesisHandler(sink=sink))
        log = a_logger(WRAP, logger=logger)

        class Endless:
            def __str__(self) -> str:
                log.info("inside", a=self)
                return "!"

        log.info("outside", a=Endless())
        assert [event["message"] for event in sink.events] == ["inside"] * 3 + ["outside"]
