"""What a call through structlog's and OpenTelemetry's doors costs, as in the folder above."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider

from kinesink import KinesisLogRecordProcessor, KinesisProcessor
from tests.counting import usual_calls_in

if TYPE_CHECKING:
    from kinesink import Sink


def test_an_event_of_structlog(delivering_sink: Sink) -> None:
    """Beyond rendering it as JSON, which writes a part of the fields and sends nothing."""

    def cost(last: Any) -> float:  # noqa: ANN401 - structlog has no narrower type
        logger = structlog.wrap_logger(
            structlog.ReturnLogger(),
            processors=[last],
            wrapper_class=structlog.make_filtering_bound_logger(0),
        ).bind()
        return usual_calls_in(partial(logger.info, "did", user="bob", count=7, path="/a/b"))

    rendered = cost(structlog.processors.JSONRenderer())
    assert 0 < cost(KinesisProcessor(sink=delivering_sink, drop=True)) - rendered <= 12


def test_a_log_record_of_opentelemetry(delivering_sink: Sink) -> None:
    """Beyond a provider without any processor."""
    record = LogRecord(
        timestamp=1, severity_number=SeverityNumber.INFO, severity_text="INFO",
        body="user bob did 7", attributes={"user": "bob", "count": 7},
    )  # fmt: skip
    costs = []
    for processors in ([], [KinesisLogRecordProcessor(sink=delivering_sink)]):
        provider = LoggerProvider(shutdown_on_exit=False)
        for processor in processors:
            provider.add_log_record_processor(processor)
        costs.append(usual_calls_in(partial(provider.get_logger("app").emit, record)))
    assert 0 < costs[1] - costs[0] <= 9
