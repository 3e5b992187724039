"""Loggers for the end of a chain, and the factory that makes them."""

from __future__ import annotations

import copy
import json
import pickle
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import structlog

from kinesink import (
    ConfigurationError,
    KinesisHandler,
    KinesisLogger,
    KinesisLoggerFactory,
    Statistics,
)
from tests.adapters.recording_sink import a_record
from tests.adapters.structlog.chains import a_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.adapters.conftest import Registry
    from tests.adapters.recording_sink import RecordingSink

METHODS = {
    "debug": "DEBUG",
    "msg": "INFO",
    "log": "INFO",
    "info": "INFO",
    "warn": "WARNING",
    "warning": "WARNING",
    "err": "ERROR",
    "error": "ERROR",
    "failure": "ERROR",
    "exception": "ERROR",
    "critical": "CRITICAL",
    "fatal": "CRITICAL",
}


class TestLogger:
    """What the chain made is the event."""

    @pytest.mark.parametrize(("method", "level"), METHODS.items())
    def test_each_method_is_a_level(self, sink: RecordingSink, method: str, level: str) -> None:
        """The name is all we know of it."""
        getattr(KinesisLogger(sink=sink), method)("paid", order=17)
        assert (sink.event["message"], sink.event["level"]) == ("paid", level)
        assert sink.event["attributes"] == {"order": 17}

    @pytest.mark.parametrize("method", METHODS)
    def test_each_method_takes_what_is_rendered(self, sink: RecordingSink, method: str) -> None:
        """Text or bytes, verbatim."""
        for rendered in ("text", b"bytes", bytearray(b"more")):
            getattr(KinesisLogger(sink=sink), method)(rendered)
        assert sink.lines == [b"text\n", b"bytes\n", b"more\n"]

    def test_a_chain_without_a_renderer(self, sink: RecordingSink) -> None:
        """Its event dict comes as keywords, and is written as by the processor."""
        log = a_logger(structlog.processors.add_log_level, logger=KinesisLogger(sink=sink))
        log.bind(order=17).warning("late", exc_info=ValueError("no"))
        log.info()
        late, nothing = sink.events
        assert (late["message"], late["level"]) == ("late", "WARNING")
        assert late["exception"]["type"] == "ValueError"
        assert late["attributes"] == {"order": 17}
        assert nothing["message"] == ""

    def test_has_a_name_for_those_who_look(self, sink: RecordingSink) -> None:
        """``add_logger_name``, and ``partition_key="logger"``."""
        logger = KinesisLogger(sink=sink, name="app.orders", partition_key="logger")
        a_logger(structlog.stdlib.add_logger_name, logger=logger).info("paid")
        a_logger(structlog.processors.JSONRenderer(), logger=logger).info("paid")
        KinesisLogger(sink=sink, partition_key="logger").info("paid")
        assert json.loads(sink.lines[0])["logger"] == "app.orders"
        assert sink.partition_keys == ["app.orders", "app.orders", None]

    def test_a_callable_key_gets_what_the_chain_made(self, sink: RecordingSink) -> None:
        """The text or bytes."""
        given: list[object] = []
        logger = KinesisLogger(sink=sink, partition_key=given.append)
        logger.info(b"bytes")
        logger.info("text", a=1)
        assert given == [b"bytes", {"event": "text", "a": 1}]

    def test_nothing_escapes(self, sink: RecordingSink) -> None:
        """Whatever it is called with."""
        logger = KinesisLogger(sink=sink)
        for event in (17, object(), ["list"], {"a": object()}, ("tuple",)):
            logger.info(event, a=object())
        assert len(sink.events) == 5
        assert sink.reports == []

    async def test_is_flushed_and_closed_as_every_door(self, registry: Registry) -> None:
        """And takes its sink again."""
        logger = KinesisLogger("app-logs")
        assert logger.flush()
        assert logger.statistics() == Statistics()
        for _ in range(2):
            logger.info("x")
            assert await logger.aflush(5)
            assert registry.held == [registry.sink]
            logger.close()
            assert registry.held == []
        assert logger.statistics().accepted == 2

    @pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, pickle.loads])
    def test_a_copy_does_the_same(
        self, clone: Callable[[Any], KinesisLogger], registry: Registry
    ) -> None:
        """Configuration and name are the original's."""
        original = KinesisLogger("app-logs", name="app", partition_key="logger")
        twin = clone(pickle.dumps(original) if clone is pickle.loads else original)
        twin.info("x")
        assert (twin.name, registry.sink.partition_keys) == ("app", ["app"])
        assert registry.sink.config.stream_name == "app-logs"

    def test_a_deep_copy_shares_a_given_sink(self, sink: RecordingSink) -> None:
        """Contexts are copied deeply, with the loggers in them."""
        copy.deepcopy({"logger": KinesisLogger(sink=sink)})["logger"].info("x")
        assert sink.lines == [b"x\n"]

    def test_shows_its_name_and_stream(self) -> None:
        """What a user pastes into an issue."""
        assert repr(KinesisLogger("app-logs")) == "<KinesisLogger to app-logs>"
        assert repr(KinesisLogger("app-logs", name="a")) == "<KinesisLogger 'a' to app-logs>"

    def test_what_cannot_work_is_refused_at_once(self) -> None:
        """As by every adapter."""
        with pytest.raises(ConfigurationError, match="did you mean redact"):
            KinesisLogger("app-logs", redacted="x")  # type: ignore[call-arg]  # what is refused


class TestFactory:
    """``structlog.configure(logger_factory=…)``."""

    def test_rendered_bytes_are_shipped_verbatim(self, sink: RecordingSink) -> None:
        """With the fastest chain that structlog documents."""
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.JSONRenderer(serializer=orjson.dumps),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(20),
            logger_factory=KinesisLoggerFactory(sink=sink),
            cache_logger_on_first_use=True,
        )
        log = structlog.get_logger()
        structlog.contextvars.bind_contextvars(request="r1")
        log.debug("not at this level")
        log.info("paid", order=17)
        log.error("failed", reason=None)
        assert sink.events == [
            {"order": 17, "event": "paid", "request": "r1", "level": "info"},
            {"reason": None, "event": "failed", "request": "r1", "level": "error"},
        ]

    def test_the_first_argument_is_the_name(self, sink: RecordingSink) -> None:
        """Others say nothing, and none is none."""
        factory = KinesisLoggerFactory(sink=sink)
        assert factory("app", "other").name == "app"
        assert factory().name is None
        structlog.configure(processors=[structlog.stdlib.add_logger_name], logger_factory=factory)
        structlog.get_logger("app.orders").info("paid")
        assert sink.event["logger"] == "app.orders"

    def test_its_loggers_share_one_way(self, registry: Registry) -> None:
        """Closing one closes it for all, and each opens it again."""
        factory = KinesisLoggerFactory("app-logs")
        one, two = factory("one"), factory("two")
        one.info("x")
        two.info("x")
        assert registry.held == [registry.sink]
        factory.close()
        assert registry.held == []
        one.info("x")
        assert registry.held == [registry.sink]
        KinesisHandler("app-logs").handle(a_record())
        assert len(registry.sink.lines) == 4

    @pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, pickle.loads])
    def test_a_copy_does_the_same(
        self, clone: Callable[[Any], KinesisLoggerFactory], registry: Registry
    ) -> None:
        """In the same configuration."""
        original = KinesisLoggerFactory("app-logs", partition_key="logger")
        twin = clone(pickle.dumps(original) if clone is pickle.loads else original)
        twin("app").info("x")
        assert registry.sink.partition_keys == ["app"]

    def test_a_cached_logger_can_be_pickled(self, registry: Registry) -> None:
        """With the logger at its end, as structlog pickles the rest."""
        structlog.configure(
            processors=[structlog.processors.KeyValueRenderer()],
            logger_factory=KinesisLoggerFactory("app-logs"),
        )
        log = structlog.get_logger("app").bind(order=17)
        pickle.loads(pickle.dumps(log)).info("paid")  # noqa: S301 - our own
        assert registry.sink.lines == [b"order=17 event='paid'\n"]

    def test_shows_its_stream(self) -> None:
        """What a user pastes into an issue."""
        assert repr(KinesisLoggerFactory("app-logs")) == "<KinesisLoggerFactory app-logs>"
