"""Where in a chain the processor may stand: at its end, behind a renderer, in a formatter."""

from __future__ import annotations

import io
import json
import logging
import types
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import structlog
from structlog.stdlib import ProcessorFormatter

from kinesink import DropReason, KinesisProcessor
from tests.adapters.recording_sink import a_record
from tests.adapters.structlog.chains import a_logger

if TYPE_CHECKING:
    from tests.adapters.recording_sink import RecordingSink


def to_stream(formatter: logging.Formatter) -> tuple[logging.Logger, io.StringIO]:
    """Return a logger of its own that writes to a text through the formatter."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(formatter)
    logger = logging.Logger("app.orders")  # noqa: LOG001 - out of reach
    logger.addHandler(handler)
    return logger, written


def as_text(_: object, __: str, value: object) -> str:
    """Return what is rendered, or render it."""
    return value if isinstance(value, str) else json.dumps(value)


def rendered(processor: KinesisProcessor, renderer: Any, value: dict[str, Any]) -> Any:  # noqa: ANN401 - what structlog's processors take and return
    """Return what comes out behind a renderer and the processor."""
    return processor(None, "info", renderer(None, "info", value))


class TestDrop:
    """Kinesis as the only output."""

    def test_ends_the_chain(self, sink: RecordingSink) -> None:
        """Neither a later processor nor the wrapped logger is called."""
        log = a_logger(
            KinesisProcessor(sink=sink, drop=True),
            lambda *_: pytest.fail("went on"),
            logger=types.SimpleNamespace(info=lambda *_, **__: pytest.fail("was called")),
        )
        assert log.info("paid", order=17) is None
        assert sink.event["attributes"] == {"order": 17}

    def test_raises_whoever_calls_it(self, sink: RecordingSink) -> None:
        """A wrapper of the application's own may run processors itself."""
        with pytest.raises(structlog.DropEvent):
            KinesisProcessor(sink=sink, drop=True)(None, "info", {"event": "x"})
        assert len(sink.lines) == 1

    def test_through_a_function_of_the_applications(self, sink: RecordingSink) -> None:
        """It need not be structlog that calls it."""
        processor = KinesisProcessor(sink=sink, drop=True)

        def ship(*arguments: Any) -> Any:  # noqa: ANN401 - a processor
            return processor(*arguments)

        log = a_logger(ship)
        assert log.info("paid") is None
        assert len(sink.lines) == 1


class TestBehindARenderer:
    """What is rendered is shipped verbatim, as one line."""

    @pytest.mark.parametrize(
        ("value", "line"),
        [
            ("größe", "größe\n".encode()),
            ("line\n", b"line\n"),
            ("\ud800", b"?\n"),
            (b"\xff", b"\xff\n"),
            (bytearray(b"x"), b"x\n"),
        ],
    )
    def test_of_each_type(self, sink: RecordingSink, value: object, line: bytes) -> None:
        """Text in UTF-8, bytes as they are; and the very same goes on."""
        assert KinesisProcessor(sink=sink)(None, "info", value) is value
        assert sink.lines == [line]

    def test_as_text(self, sink: RecordingSink) -> None:
        """Of ``JSONRenderer``."""
        value = {"event": "paid", "order": 17}
        text = rendered(KinesisProcessor(sink=sink), structlog.processors.JSONRenderer(), value)
        assert text == '{"event": "paid", "order": 17}'
        assert sink.lines == [text.encode() + b"\n"]

    def test_as_bytes(self, sink: RecordingSink) -> None:
        """Of ``JSONRenderer`` with orjson."""
        renderer = structlog.processors.JSONRenderer(serializer=orjson.dumps)
        data = rendered(KinesisProcessor(sink=sink), renderer, {"event": "paid"})
        assert data == b'{"event":"paid"}'
        assert sink.lines == [data + b"\n"]

    def test_as_arguments(self, sink: RecordingSink) -> None:
        """Of ``wrap_for_formatter``: the event dict is in there."""
        value = {"event": "paid", "order": 17}
        wrapped = rendered(
            KinesisProcessor(sink=sink), ProcessorFormatter.wrap_for_formatter, value
        )
        assert wrapped[0][0] is value
        assert (sink.event["message"], sink.event["attributes"]) == ("paid", {"order": 17})

    @pytest.mark.parametrize(
        "value", [(), ((), {}), ((("inner",),), {}), (1, 2), 17, [1]], ids=repr
    )
    def test_whatever_else_is_an_event_all_the_same(
        self, sink: RecordingSink, value: object
    ) -> None:
        """The chain fails where structlog says so, and not here."""
        assert KinesisProcessor(sink=sink)(None, "info", value) is value
        assert sink.event["level"] == "INFO"
        assert sink.event["message"]


class TestOversize:
    """An event that is too large for one line."""

    def test_that_is_split_is_several_events(
        self, sink: RecordingSink, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """None of which counts as dropped; they go together."""
        refused: list[DropReason] = []
        monkeypatch.setattr(sink, "refuse", lambda reason, _: refused.append(reason))
        processor = KinesisProcessor(
            sink=sink, oversize="split", max_event_bytes=2048, partition_key="attr:user"
        )
        processor(None, "info", {"event": "x" * 5000, "user": "bob"})
        assert "".join(event["message"] for event in sink.events) == "x" * 5000
        assert set(sink.partition_keys) == {"bob"}
        assert refused == []

    def test_that_is_dropped_is_counted(
        self, sink: RecordingSink, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And ends the chain, or not, as any other."""
        refused: list[DropReason] = []
        monkeypatch.setattr(sink, "refuse", lambda reason, _: refused.append(reason))
        processor = KinesisProcessor(sink=sink, oversize="drop", max_event_bytes=2048)
        event_dict = {"event": "x" * 5000}
        assert processor(None, "info", event_dict) is event_dict
        assert (sink.lines, refused) == ([], [DropReason.TOO_LARGE])


class TestInAFormatter:
    """T38: in a ``ProcessorFormatter`` nothing but an event dict may come out."""

    @pytest.mark.parametrize("drop", [True, False])
    @pytest.mark.parametrize("where", ["processors", "foreign_pre_chain"])
    def test_records_of_logging_are_shipped_and_go_on(
        self,
        sink: RecordingSink,
        where: str,
        *,
        drop: bool,
    ) -> None:
        """With what the record knows."""
        processor = KinesisProcessor(sink=sink, drop=drop, partition_key="logger")
        ours = [processor]
        logger, written = to_stream(
            ProcessorFormatter(
                foreign_pre_chain=ours if where == "foreign_pre_chain" else [],
                processors=[
                    *(ours if where == "processors" else []),
                    ProcessorFormatter.remove_processors_meta,
                    structlog.processors.JSONRenderer(),
                ],
            )
        )
        record = a_record("order %d paid", 17)
        logger.handle(record)
        assert json.loads(written.getvalue()) == {"event": "order 17 paid"}
        event = sink.event
        assert (event["message"], event["level"]) == ("order 17 paid", "INFO")
        assert (event["logger"], event["file"], event["line"]) == ("app.orders", "orders.py", 12)
        assert event["timestamp"] == "2026-01-02T03:04:05.678901Z"
        assert "attributes" not in event
        assert sink.partition_keys == ["app.orders"]

    @pytest.mark.parametrize("kind", [dict, OrderedDict])
    def test_events_of_structlog_are_shipped_and_go_on(
        self, sink: RecordingSink, kind: type[dict[Any, Any]]
    ) -> None:
        """Of whatever class the contexts are."""
        logger, written = to_stream(
            ProcessorFormatter(
                processors=[
                    KinesisProcessor(sink=sink, drop=True),
                    ProcessorFormatter.remove_processors_meta,
                    structlog.processors.JSONRenderer(),
                ]
            )
        )
        log = structlog.wrap_logger(
            logger, processors=[ProcessorFormatter.wrap_for_formatter], context_class=kind
        )
        log.bind(order=17).error("failed")
        assert json.loads(written.getvalue()) == {"event": "failed", "order": 17}
        assert (sink.event["level"], sink.event["attributes"]) == ("ERROR", {"order": 17})

    @pytest.mark.parametrize(
        "earlier",
        [
            [ProcessorFormatter.remove_processors_meta],
            [ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
        ],
        ids=["without its marks", "rendered"],
    )
    def test_also_where_nothing_shows_it(self, sink: RecordingSink, earlier: list[Any]) -> None:
        """Earlier processors may have taken out, or rendered, what tells of the formatter."""
        logger, written = to_stream(
            ProcessorFormatter(
                processors=[
                    *earlier,
                    KinesisProcessor(sink=sink, drop=True),
                    as_text,
                ]
            )
        )
        logger.info("paid")
        assert json.loads(written.getvalue()) == {"event": "paid"}
        assert len(sink.lines) == 1

    def test_also_within_another_chain(self, sink: RecordingSink) -> None:
        """A processor that logs by logging is in both; the nearest counts."""
        logger, written = to_stream(
            ProcessorFormatter(
                processors=[
                    KinesisProcessor(sink=sink, drop=True),
                    lambda _, __, event_dict: event_dict["event"],
                ]
            )
        )

        def log_on(_: object, __: str, event_dict: object) -> object:
            logger.info("inner")
            return event_dict

        a_logger(log_on, KinesisProcessor(sink=sink, drop=True)).info("outer")
        assert written.getvalue() == "inner\n"
        assert [event["message"] for event in sink.events] == ["inner", "outer"]

    def test_exceptions_of_logging_are_structured(self, sink: RecordingSink) -> None:
        """And its stacks a field."""
        logger, _ = to_stream(
            ProcessorFormatter(
                processors=[KinesisProcessor(sink=sink), structlog.dev.ConsoleRenderer()]
            )
        )
        logger.error("x", exc_info=ValueError("no"), stack_info=True)
        assert sink.event["exception"]["type"] == "ValueError"
        assert sink.event["stack_info"].startswith("Stack (most recent call last)")
