"""From a record to an event: every kind of message, extras, exceptions, other formatters."""

from __future__ import annotations

import json
import logging
import logging.handlers
import queue
import sys
import types
from collections import UserDict
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

from kinesink import KinesisFormatter, KinesisHandler
from kinesink.adapters.event_dict import HAS_TASKS
from kinesink.event.current_span import SPANS
from tests.adapters.recording_sink import RecordingSink, a_record

if TYPE_CHECKING:
    from collections.abc import Mapping


def raised() -> Any:  # noqa: ANN401 - what sys.exc_info returns
    """Return an exception that was raised and caught."""
    try:
        int("a dozen")
    except ValueError:
        return sys.exc_info()


@pytest.fixture
def sink() -> RecordingSink:
    """Return where events end up."""
    return RecordingSink()


@pytest.fixture
def logger(sink: RecordingSink) -> logging.Logger:
    """Return a logger of its own, which no other handler listens to."""
    logger = logging.Logger("app.orders")  # noqa: LOG001 - out of reach
    logger.addHandler(KinesisHandler(sink=sink))
    return logger


@pytest.fixture(autouse=True)
def no_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever other tests have imported, there is no OpenTelemetry here."""
    monkeypatch.delitem(sys.modules, SPANS, raising=False)


class TestFields:
    """What a record tells."""

    def test_where_who_and_when(self, sink: RecordingSink, logger: logging.Logger) -> None:
        """The fields of the schema are those of the log call."""
        logger.info("user %s did %d", "bob", 7)
        event = sink.event
        assert event["message"] == "user bob did 7"
        assert (event["level"], event["severity_number"]) == ("INFO", 9)
        assert (event["logger"], event["thread"]) == ("app.orders", "MainThread")
        assert event["file"] == "test_stdlib_records.py"
        assert event["function"] == "test_where_who_and_when"
        assert "attributes" not in event

    def test_messages_of_the_standard_kinds(
        self, sink: RecordingSink, logger: logging.Logger
    ) -> None:
        """As ``record.getMessage()`` says, whatever the arguments are."""
        logger.info("100%")
        logger.info("%(a)s and %(b)s", {"a": 1, "b": 2})
        logger.info(17)
        logger.info(ValueError("as a message"))
        logger.info(b"bytes")
        logger.info({"a": 1}.keys())
        assert [event["message"] for event in sink.events] == [
            "100%", "1 and 2", "17", "as a message", "b'bytes'", "dict_keys(['a'])",
        ]  # fmt: skip

    def test_a_record_class_of_the_applications_counts(
        self, sink: RecordingSink, logger: logging.Logger
    ) -> None:
        """A factory may give records another way to write a message."""

        class Braces(logging.LogRecord):
            def getMessage(self) -> str:  # noqa: N802 - the name is logging's
                return str(self.msg).format(*self.args or ())

        logging.setLogRecordFactory(Braces)
        try:
            logger.info("{} of {}", 1, 2)  # noqa: PLE1205 - what the class is for
        finally:
            logging.setLogRecordFactory(logging.LogRecord)
        assert sink.event["message"] == "1 of 2"

    @pytest.mark.parametrize("msg", [{"message": "m", "a": 1}, UserDict(event="m", a=1)])
    def test_a_mapping_is_message_and_attributes(
        self, sink: RecordingSink, logger: logging.Logger, msg: object
    ) -> None:
        """Its ``message`` or ``event`` is the message, the rest are attributes."""
        logger.info(msg, extra={"b": 2})
        assert (sink.event["message"], sink.event["attributes"]) == ("m", {"a": 1, "b": 2})

    def test_a_mapping_without_a_message_has_none(
        self, sink: RecordingSink, logger: logging.Logger
    ) -> None:
        """And one whose message is no text has its text."""
        logger.info({"a": 1})
        logger.info({"event": 17})
        logger.info({})
        assert [event["message"] for event in sink.events] == ["", "17", ""]
        assert sink.events[0]["attributes"] == {"a": 1}

    def test_the_mapping_is_left_as_it_was(self, logger: logging.Logger) -> None:
        """T31: it is the application's."""
        msg = {"event": "m", "a": 1}
        logger.info(msg)
        assert msg == {"event": "m", "a": 1}

    @pytest.mark.skipif(not HAS_TASKS, reason="before Python 3.12 records have no task")
    def test_the_task_is_a_field(self, sink: RecordingSink, logger: logging.Logger) -> None:
        """From Python 3.12 on, if there is one."""
        logger.handle(a_record("x"))
        logger.handle(a_record("x", taskName="Task-3"))
        assert "task" not in sink.events[0]
        assert sink.events[1]["task"] == "Task-3"
        assert "attributes" not in sink.events[1]

    @pytest.mark.skipif(HAS_TASKS, reason="from Python 3.12 on it is a field")
    def test_before_there_were_tasks_the_name_is_free(
        self, sink: RecordingSink, logger: logging.Logger
    ) -> None:
        """``taskName`` is a legal extra on older Pythons."""
        logger.info("x", extra={"taskName": "mine"})
        assert sink.event["attributes"] == {"taskName": "mine"}

    def test_the_current_span_is_a_field(
        self, sink: RecordingSink, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Plain events of a traced application carry its ids, those outside a span none."""
        context = types.SimpleNamespace(trace_id=10, span_id=11, trace_flags=1, is_valid=True)
        span = types.SimpleNamespace(get_span_context=lambda: context)
        module = types.SimpleNamespace(get_current_span=lambda: span)
        monkeypatch.setitem(sys.modules, SPANS, module)
        logger.info("inside")
        context.is_valid = False
        logger.info("outside")
        inside, outside = sink.events
        assert inside["trace_id"] == f"{10:032x}"
        assert (inside["span_id"], inside["trace_flags"]) == (f"{11:016x}", 1)
        assert "trace_id" not in outside

    def test_a_record_made_by_hand_can_lack_everything(self, sink: RecordingSink) -> None:
        """As those that come over a socket."""
        KinesisHandler(sink=sink).handle(logging.makeLogRecord({}))
        assert sink.event["message"] == ""
        assert "file" not in sink.event

    def test_records_of_another_process_keep_its_id(
        self, sink: RecordingSink, logger: logging.Logger
    ) -> None:
        """Many processes may log through one."""
        logger.handle(a_record(process=4711))
        logger.handle(a_record(process=None))
        assert sink.events[0]["pid"] == 4711
        assert "pid" not in sink.events[1]


class TestExtras:
    """What the application adds."""

    def test_are_attributes(self, sink: RecordingSink, logger: logging.Logger) -> None:
        """Of any type; private names are their owner's business."""
        extras: Any = {"a": 1, "b": {"c": [1.5, None]}, "_private": 1, 3: "three"}
        logger.info("x", extra=extras)
        assert sink.event["attributes"] == {"a": 1, "b": {"c": [1.5, None]}, "3": "three"}

    def test_what_formatters_leave_on_a_record_is_none(
        self, sink: RecordingSink, logger: logging.Logger
    ) -> None:
        """``message`` and ``asctime`` are no extras."""
        record = a_record()
        logging.Formatter("%(asctime)s %(message)s").format(record)
        logger.handle(record)
        assert "attributes" not in sink.event

    def test_an_attribute_of_the_message_wins(
        self, sink: RecordingSink, logger: logging.Logger
    ) -> None:
        """It is what the log call says about itself."""
        logger.info({"event": "m", "a": "of the message"}, extra={"a": "of the context"})
        assert sink.event["attributes"] == {"a": "of the message"}

    def test_one_that_json_cannot_say_costs_nothing_else(
        self, sink: RecordingSink, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """T21, T22: the event is shipped, with no complaint."""
        logger.info("x", extra={"bad": object, "good": 1, "\ud800": "\ud800"})
        assert sink.event["attributes"]["good"] == 1
        assert sink.event["attributes"]["?"] == "?"
        assert capsys.readouterr().err == ""


class TestNotedSpans:
    """OpenTelemetry's logging instrumentation notes the span on each record."""

    NOTED: Final[dict[str, Any]] = {
        "otelTraceID": f"{12:032x}",
        "otelSpanID": f"{13:016x}",
        "otelTraceSampled": True,
        "otelServiceName": "shop",
    }

    def test_are_fields_and_no_attributes(
        self, sink: RecordingSink, logger: logging.Logger
    ) -> None:
        """Another thread may ship the record, where there is no current span."""
        logger.handle(a_record("x", **self.NOTED, order=17))
        event = sink.event
        assert (event["trace_id"], event["span_id"]) == (f"{12:032x}", f"{13:016x}")
        assert event["trace_flags"] == 1
        assert event["attributes"] == {"order": 17}

    def test_the_current_span_counts_first(
        self, sink: RecordingSink, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is what the log call runs in."""
        context = types.SimpleNamespace(trace_id=10, span_id=11, trace_flags=1, is_valid=True)
        span = types.SimpleNamespace(get_span_context=lambda: context)
        module = types.SimpleNamespace(get_current_span=lambda: span)
        monkeypatch.setitem(sys.modules, SPANS, module)
        logger.handle(a_record("x", **self.NOTED))
        assert sink.event["trace_id"] == f"{10:032x}"

    @pytest.mark.parametrize(
        "noted",
        [
            {**NOTED, "otelTraceID": "0"},
            {**NOTED, "otelTraceID": "no number"},
            {**NOTED, "otelSpanID": None},
            {"otelTraceID": f"{12:032x}"},
        ],
        ids=str,
    )
    def test_where_there_was_none_there_is_none(
        self, sink: RecordingSink, logger: logging.Logger, noted: dict[str, Any]
    ) -> None:
        """Nor is there one where nobody can read it."""
        logger.handle(a_record("x", **noted))
        assert "trace_id" not in sink.event
        assert "attributes" not in sink.event


class TestExceptions:
    """``exc_info`` in all its forms."""

    def test_are_structured(self, sink: RecordingSink, logger: logging.Logger) -> None:
        """Type, message and stack trace, apart from the message."""
        try:
            int("a dozen")
        except ValueError:
            logger.exception("no quantity")
        event = sink.event
        assert event["message"] == "no quantity"
        assert event["exception"]["type"] == "ValueError"
        assert "a dozen" in event["exception"]["message"]
        assert event["exception"]["stacktrace"].startswith("Traceback (most recent call last)")

    def test_the_stack_is_a_field_of_its_own(
        self, sink: RecordingSink, logger: logging.Logger
    ) -> None:
        """It is there without any exception."""
        logger.info("x", stack_info=True)
        assert sink.event["stack_info"].startswith("Stack (most recent call last)")
        assert "exception" not in sink.event

    def test_an_exception_without_a_traceback_is_one(
        self, sink: RecordingSink, logger: logging.Logger
    ) -> None:
        """It may never have been raised."""
        logger.error("x", exc_info=ValueError("no"))
        assert sink.event["exception"] == {
            "type": "ValueError", "message": "no", "stacktrace": "ValueError: no",
        }  # fmt: skip

    @pytest.mark.parametrize("exc_info", [None, False, (), (None, None, None), ("a", "b"), 17])
    def test_none_is_none(
        self, sink: RecordingSink, logger: logging.Logger, exc_info: object
    ) -> None:
        """``exception()`` outside of an except block has nothing to tell."""
        logger.handle(a_record(exc_info=exc_info))
        assert "exception" not in sink.event

    @pytest.mark.parametrize("form", ["exception", "true"])
    def test_records_made_by_hand_may_have_other_forms(
        self, sink: RecordingSink, logger: logging.Logger, form: str
    ) -> None:
        """The exception itself, or True for the current one."""
        try:
            int("a dozen")
        except ValueError as error:
            logger.handle(a_record(exc_info=error if form == "exception" else True))
        assert sink.event["exception"]["type"] == "ValueError"

    def test_what_another_formatter_has_cached_does_not_count(
        self, sink: RecordingSink, logger: logging.Logger
    ) -> None:
        """Other handlers may shorten their tracebacks."""
        logger.handle(a_record(exc_info=(ValueError, ValueError("no"), None), exc_text="short"))
        assert sink.event["exception"]["stacktrace"] == "ValueError: no"

    def test_unless_it_is_all_there_is(self, sink: RecordingSink, logger: logging.Logger) -> None:
        """A record from another process has no exception any more, only its text."""
        logger.handle(a_record(exc_text="Traceback …"))
        assert sink.event["exception"] == {"stacktrace": "Traceback …"}


class TestOtherHandlers:
    """The record is shared."""

    def test_the_record_is_never_written(self, logger: logging.Logger) -> None:
        """The next handler finds what the log call made."""
        record = a_record(exc_info=raised(), stack_info="Stack", extra={"a": 1})
        before = dict(vars(record))
        logger.handle(record)
        assert vars(record) == before

    def test_a_queue_in_front_does_no_harm(
        self, sink: RecordingSink, logger: logging.Logger
    ) -> None:
        """QueueHandler merges the traceback into the message; the event says so, too."""
        records: queue.Queue[logging.LogRecord] = queue.Queue()
        logging.handlers.QueueHandler(records).handle(a_record(exc_info=raised()))
        logger.handle(records.get())
        assert sink.event["message"].startswith("order 7 accepted\nTraceback")


class TestBugsInLogCalls:
    """The line that shows the bug is not the line that is lost."""

    @pytest.mark.parametrize(
        ("msg", "args"),
        [
            ("%d", ("x",)),
            ("no placeholder", (1, 2)),
            ("%s %s", (1,)),
            ("%(a)s", {"b": 1}),
        ],
    )
    def test_ship_the_template_and_the_arguments(
        self,
        sink: RecordingSink,
        capsys: pytest.CaptureFixture[str],
        msg: str,
        args: tuple[object, ...] | Mapping[str, object],
    ) -> None:
        """And are reported once, as by any handler."""
        KinesisHandler(sink=sink).handle(a_record(msg, kept=1, args=args))
        assert sink.event["message"] == msg
        assert sink.event["attributes"] == {"kept": 1, "args": str(args)}
        assert capsys.readouterr().err.count("--- Logging error ---") == 1

    def test_an_argument_without_a_text(
        self, sink: RecordingSink, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """``__str__`` is the application's code and may raise."""

        class Broken:
            def __str__(self) -> NoReturn:
                raise RuntimeError

            __repr__ = __str__

        logger.info("x %s", Broken())
        logger.info(Broken())
        assert sink.events[0]["message"] == "x %s"
        assert sink.events[0]["attributes"] == {"args": "<unserializable tuple>"}
        assert sink.events[1]["message"].startswith("<unserializable ")
        assert "attributes" not in sink.events[1]
        assert "--- Logging error ---" in capsys.readouterr().err

    def test_a_mapping_that_cannot_be_read(
        self, sink: RecordingSink, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A broken mapping is a message like any other."""

        class Broken(UserDict[str, int]):
            def __getitem__(self, _: str) -> NoReturn:
                raise RuntimeError

            def __str__(self) -> str:
                return "broken"

        logger.info(Broken(a=1))
        assert sink.event["message"] == "broken"
        assert "--- Logging error ---" in capsys.readouterr().err


class TestStructlog:
    """An event dict of structlog, by way of ``ProcessorFormatter.wrap_for_formatter``."""

    @staticmethod
    def bridged(event_dict: dict[str, Any], **fields: object) -> logging.LogRecord:
        """Return the record that structlog makes of an event dict."""
        return a_record(event_dict, _logger=object(), _name="info", **fields)

    def test_ships_the_fields_of_the_event_dict(
        self, sink: RecordingSink, logger: logging.Logger
    ) -> None:
        """T21: and none of structlog's own; what the record knows is not said twice."""
        event_dict = {"event": "paid", "level": "info", "logger": "app.orders", "order": 17}
        logger.handle(self.bridged(event_dict))
        assert sink.event["message"] == "paid"
        assert sink.event["attributes"] == {"order": 17}

    def test_keeps_what_differs(self, sink: RecordingSink, logger: logging.Logger) -> None:
        """A level of the application's own is information."""
        logger.handle(self.bridged({"event": "paid", "level": "notice", "logger": "mine"}))
        assert (sink.event["level"], sink.event["logger"]) == ("NOTICE", "mine")
        assert sink.event["severity_number"] == 9

    def test_the_exception_of_the_record_counts(
        self, sink: RecordingSink, logger: logging.Logger
    ) -> None:
        """The event dict says True where the record already has the exception."""
        error = ValueError("no")
        logger.handle(
            self.bridged({"event": "x", "exc_info": True}, exc_info=(ValueError, error, None))
        )
        assert sink.event["exception"]["type"] == "ValueError"
        assert "attributes" not in sink.event

    def test_an_exception_of_the_event_dict_is_one(
        self, sink: RecordingSink, logger: logging.Logger
    ) -> None:
        """As an exception, or as text that a processor has rendered."""
        logger.handle(self.bridged({"event": "x", "exc_info": ValueError("no")}))
        logger.handle(self.bridged({"event": "x", "exception": "Traceback …"}))
        logger.handle(self.bridged({"event": "x", "exception": [{"exc_type": "E"}]}))
        first, second, third = sink.events
        assert first["exception"]["type"] == "ValueError"
        assert second["exception"] == {"stacktrace": "Traceback …"}
        assert third["attributes"] == {"exception": [{"exc_type": "E"}]}

    def test_the_text_of_an_exception_counts_where_it_is_gone(
        self, sink: RecordingSink, logger: logging.Logger
    ) -> None:
        """Unless the event dict has more."""
        logger.handle(self.bridged({"event": "x"}, exc_text="Traceback …"))
        logger.handle(
            self.bridged({"event": "x", "exc_info": ValueError("no")}, exc_text="Traceback …")
        )
        assert sink.events[0]["exception"] == {"stacktrace": "Traceback …"}
        assert sink.events[1]["exception"]["type"] == "ValueError"

    def test_extras_of_an_event_dict_are_one(
        self, sink: RecordingSink, logger: logging.Logger
    ) -> None:
        """As ``render_to_log_kwargs`` leaves them: the level tells, and is not said twice."""
        stamp = "2026-01-02T03:04:05.678901Z"
        extra = {"level": "info", "logger": "mine", "timestamp": stamp, "order": 17}
        logger.info("paid %d", 5, extra=extra)
        event = sink.event
        assert (event["message"], event["level"], event["logger"]) == ("paid 5", "INFO", "mine")
        assert event["timestamp"] == stamp
        assert event["attributes"] == {"order": 17}

    def test_a_level_of_another_meaning_is_an_attribute(
        self, sink: RecordingSink, logger: logging.Logger
    ) -> None:
        """Of a game, say."""
        logger.info("won", extra={"level": 7, "timestamp": "now"})
        assert sink.event["attributes"] == {"level": 7, "timestamp": "now"}

    def test_a_stack_of_the_event_dict_is_one(
        self, sink: RecordingSink, logger: logging.Logger
    ) -> None:
        """Unless the record has its own."""
        logger.handle(self.bridged({"event": "x", "stack": "Stack …"}))
        logger.handle(self.bridged({"event": "x", "stack": "theirs"}, stack_info="ours"))
        assert sink.events[0]["stack_info"] == "Stack …"
        assert sink.events[1]["stack_info"] == "ours"
        assert sink.events[1]["attributes"] == {"stack": "theirs"}

    def test_the_real_structlog(self, sink: RecordingSink, logger: logging.Logger) -> None:
        """Its own wrapper, end to end."""
        structlog = pytest.importorskip("structlog")
        bound = structlog.wrap_logger(
            logger,
            processors=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
            ],
            wrapper_class=structlog.stdlib.BoundLogger,
        )
        try:
            int("a dozen")
        except ValueError:
            bound.bind(order=17).exception("failed")
        assert sink.event["message"] == "failed"
        assert sink.event["level"] == "ERROR"
        assert sink.event["attributes"] == {"order": 17}
        assert sink.event["exception"]["type"] == "ValueError"


class TestOtherFormatters:
    """A formatter of the application's is respected."""

    def test_its_text_is_the_event(self, sink: RecordingSink) -> None:
        """T21: verbatim, and a line."""
        handler = KinesisHandler(sink=sink)
        for template in ("%(levelname)s %(message)s", "%(message)s\n"):
            handler.setFormatter(logging.Formatter(template))
            handler.handle(a_record())
        handler.setFormatter(None)
        handler.handle(a_record("größe \ud800"))
        assert sink.lines == [
            b"INFO order 7 accepted\n", b"order 7 accepted\n", "größe ?\n".encode(),
        ]  # fmt: skip

    def test_a_formatter_that_gives_bytes(self, sink: RecordingSink) -> None:
        """Nobody promised a text."""

        class Bytes(logging.Formatter):
            def format(self, record: logging.LogRecord) -> Any:  # noqa: ANN401 - no text
                return record.getMessage().encode()

        handler = KinesisHandler(sink=sink)
        handler.setFormatter(Bytes())
        handler.handle(a_record())
        assert sink.lines == [b"order 7 accepted\n"]

    def test_a_large_text_is_not_cut(self, sink: RecordingSink) -> None:
        """Nobody knows where it could be cut."""
        handler = KinesisHandler(sink=sink, max_event_bytes=2048)
        handler.setFormatter(logging.Formatter())
        handler.handle(a_record("x" * 9999))
        assert len(sink.lines[0]) == 10_000

    def test_one_that_fails_is_reported(
        self, sink: RecordingSink, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """As by any handler; there is no event that it would agree to."""
        handler = KinesisHandler(sink=sink)
        handler.setFormatter(logging.Formatter("%(no_such_field)s"))
        handler.handle(a_record())
        assert sink.lines == []
        assert "--- Logging error ---" in capsys.readouterr().err

    def test_a_kind_of_ours_is_asked_for_its_format(
        self, sink: RecordingSink, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Whoever overrides it means it; what cannot be formatted still is shipped."""

        class Tagged(KinesisFormatter):
            def format(self, record: logging.LogRecord) -> str:
                return "tag " + super().format(record)

        handler = KinesisHandler(sink=sink)
        handler.setFormatter(Tagged())
        handler.handle(a_record())
        handler.handle(a_record("%d", "x"))
        assert sink.lines[0].startswith(b'tag {"timestamp"')
        assert json.loads(sink.lines[1])["message"] == "%d"
        assert "--- Logging error ---" in capsys.readouterr().err
