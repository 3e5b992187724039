"""From structlog to the stream, with a real sink in between, on each event loop."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import structlog
import trio

from kinesink import KinesisHandler, KinesisLoggerFactory, KinesisProcessor
from tests.adapters.structlog.chains import a_logger
from tests.shell.support import make_fake, make_sink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink import Sink
    from kinesink.testing import FakeKinesis


@pytest.fixture
def fake() -> FakeKinesis:
    """Return a service with one stream."""
    return make_fake()


@pytest.fixture
def real_sink(
    fake: FakeKinesis, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Sink]:
    """Return a sink that delivers to it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    sink = make_sink(fake, backend=anyio_backend)
    yield sink
    assert sink.close()


def arrived(fake: FakeKinesis) -> list[dict[str, Any]]:
    """Return the events that a consumer sees, in the order of their messages."""
    events = [json.loads(record.data) for record in fake.user_records("app")]
    return sorted(events, key=lambda event: str(event.get("message", event.get("event"))))


class TestAsync:
    """``ainfo()`` runs the chain in a thread, with a copy of the context."""

    async def test_events_of_coroutines_arrive(
        self, fake: FakeKinesis, real_sink: Sink, anyio_backend_name: str
    ) -> None:
        """With what their context has bound, and the exceptions they handle."""
        processor = KinesisProcessor(sink=real_sink, drop=True, partition_key="attr:request")
        log = a_logger(
            structlog.contextvars.merge_contextvars,
            processor,
            wrapper=structlog.make_filtering_bound_logger(20),
        )
        structlog.contextvars.bind_contextvars(request="r1")
        if anyio_backend_name == "asyncio":
            await log.adebug("not at this level")
            await asyncio.gather(log.ainfo("one"), log.ainfo("two", a=1))
            try:
                int("a dozen")
            except ValueError:
                await log.aexception("zero")
        else:
            # Those methods are asyncio's; elsewhere a thread does the same.
            await trio.to_thread.run_sync(log.info, "one")
            await trio.to_thread.run_sync(lambda: log.info("two", a=1))
            log.error("zero", exc_info=ValueError("a dozen"))
        assert await processor.aflush(20)
        one, two, zero = arrived(fake)
        assert one["attributes"] == zero["attributes"] == {"request": "r1"}
        assert two["attributes"] == {"request": "r1", "a": 1}
        assert "a dozen" in zero["exception"]["message"]
        assert zero["level"] == "ERROR"

    def test_rendered_events_arrive(self, fake: FakeKinesis, real_sink: Sink) -> None:
        """By loggers of a factory, of many names."""
        factory = KinesisLoggerFactory(sink=real_sink)
        renderer = structlog.processors.JSONRenderer(sort_keys=True)
        for number in range(50):
            a_logger(renderer, logger=factory(f"app.{number}")).info("paid", order=number)
        assert factory.flush(20)
        assert sorted(event["order"] for event in arrived(fake)) == list(range(50))
        assert factory.statistics().delivered == 50


class TestCompositions:
    """The ways to have structlog and logging in one process: each event arrives once."""

    def test_processor_for_structlog_and_handler_for_the_rest(
        self, fake: FakeKinesis, real_sink: Sink
    ) -> None:
        """``drop`` ends structlog's events in its own chain."""
        logger = logging.Logger("app")  # noqa: LOG001 - out of reach
        logger.addHandler(KinesisHandler(sink=real_sink))
        a_logger(KinesisProcessor(sink=real_sink, drop=True), logger=logger).info("structlog")
        logger.info("logging")
        assert real_sink.flush(20)
        assert [event["message"] for event in arrived(fake)] == ["logging", "structlog"]

    def test_handler_for_both(self, fake: FakeKinesis, real_sink: Sink) -> None:
        """Those of structlog come by its bridge."""
        logger = logging.Logger("app")  # noqa: LOG001 - out of reach
        logger.addHandler(KinesisHandler(sink=real_sink))
        bridge = structlog.stdlib.ProcessorFormatter.wrap_for_formatter
        a_logger(bridge, logger=logger).info("structlog", order=17)
        logger.info("logging", extra={"order": 17})
        assert real_sink.flush(20)
        events = arrived(fake)
        assert [event["message"] for event in events] == ["logging", "structlog"]
        assert [event["attributes"] for event in events] == [{"order": 17}] * 2

    def test_processor_in_the_formatter_for_both(self, fake: FakeKinesis, real_sink: Sink) -> None:
        """One handler of logging, which prints them as well."""
        stream = logging.StreamHandler()
        stream.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                processors=[KinesisProcessor(sink=real_sink), structlog.dev.ConsoleRenderer()]
            )
        )
        logger = logging.Logger("app")  # noqa: LOG001 - out of reach
        logger.addHandler(stream)
        bridge = structlog.stdlib.ProcessorFormatter.wrap_for_formatter
        a_logger(bridge, logger=logger).info("structlog")
        logger.info("logging")
        assert real_sink.flush(20)
        assert [event["message"] for event in arrived(fake)] == ["logging", "structlog"]
