"""The processor: straight into the sink, and it never gets in the way."""

from __future__ import annotations

import time
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor

# Public in the newest SDKs only.
from opentelemetry.sdk._logs._internal import ConcurrentMultiLogRecordProcessor

from kinesink import KinesisLogRecordProcessor
from kinesink.adapters.nesting import DEPTHS
from kinesink.core.records import DropReason
from kinesink.errors import ConfigurationError
from kinesink.shell import origin
from kinesink.testing import Hang
from tests.adapters.otel.support import (
    A_RESOURCE,
    adds_up,
    events_in,
    logger_of,
    messages_in,
    provider_of,
    writable,
)
from tests.adapters.recording_sink import RecordingSink
from tests.shell.support import PATIENCE, make_sink, wait_until

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadWriteLogRecord
    from typing_extensions import Unpack

    from kinesink import Sink
    from kinesink.adapters.parameters import EventParameters
    from kinesink.testing import FakeKinesis
    from tests.adapters.conftest import Registry


class TestShipping:
    """A record is in the sink when on_emit returns."""

    def test_a_logger_s_records_arrive(self, fake: FakeKinesis, sink: Sink) -> None:
        """With the resource of the provider and the scope of the logger."""
        processor = KinesisLogRecordProcessor(sink=sink)
        logger = logger_of(processor)
        for number in range(5):
            logger.emit(body=f"event {number}", attributes={"number": number})
        assert processor.force_flush(PATIENCE * 1000)
        events = events_in(fake)
        assert sorted(event["message"] for event in events) == [f"event {n}" for n in range(5)]
        assert {event["service"] for event in events} == {"shop"}
        assert {event["logger"] for event in events} == {"app.orders"}
        assert processor.statistics().delivered == 5

    def test_the_first_record_takes_the_sink_and_others_share_it(self, registry: Registry) -> None:
        """Making a processor does nothing."""
        one, other = KinesisLogRecordProcessor("app"), KinesisLogRecordProcessor("app")
        assert registry.held == []
        one.on_emit(writable("one"))
        other.on_emit(writable("other"))
        assert [event["message"] for event in registry.sink.events] == ["one", "other"]
        assert len(registry.held) == 2

    def test_it_is_configured_by_keywords_and_variables(
        self, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As every adapter."""
        monkeypatch.setenv("KINESINK_STREAM_NAME", "app")
        monkeypatch.setenv("KINESINK_RENAME", "message=msg")
        KinesisLogRecordProcessor(linger="250ms").on_emit(writable("hello"))
        assert registry.sink.config.linger == 0.25
        assert registry.sink.event["msg"] == "hello"

    def test_an_unknown_parameter_is_refused(self) -> None:
        """At once, naming it."""
        with pytest.raises(ConfigurationError, match="lingr"):
            KinesisLogRecordProcessor("app", lingr=1)  # type: ignore[call-arg]  # what is tested

    def test_an_event_in_several_lines(self) -> None:
        """Split, each line is handed over."""
        sink = RecordingSink()
        processor = KinesisLogRecordProcessor(sink=sink, oversize="split", max_event_bytes=2048)
        processor.on_emit(writable("x" * 5000))
        assert "".join(event["message"] for event in sink.events) == "x" * 5000
        assert len(sink.lines) > 2

    def test_an_event_that_is_dropped_for_its_size_is_counted(self, sink: Sink) -> None:
        """By its reason."""
        processor = KinesisLogRecordProcessor(sink=sink, oversize="drop", max_event_bytes=2048)
        processor.on_emit(writable("x" * 5000))
        assert processor.statistics().dropped == {DropReason.TOO_LARGE: 1}

    def test_it_says_what_it_is(self) -> None:
        """For whoever prints a provider's processors."""
        assert repr(KinesisLogRecordProcessor("app")) == "<KinesisLogRecordProcessor app>"

    def test_it_is_enabled_for_everything(self) -> None:
        """Newer SDKs ask before a record is made."""
        processor: Any = KinesisLogRecordProcessor("app")
        if not hasattr(LogRecordProcessor, "enabled"):
            pytest.skip("this SDK does not ask")
        assert processor.enabled() is True
        assert logger_of(processor).enabled() is True  # type: ignore[attr-defined,unused-ignore]  # newer ones

    def test_among_processors_that_run_in_threads(self, fake: FakeKinesis, sink: Sink) -> None:
        """The SDK's concurrent processor calls it from a pool."""
        both = ConcurrentMultiLogRecordProcessor(max_workers=2)
        for _ in range(2):
            both.add_log_record_processor(KinesisLogRecordProcessor(sink=sink))
        provider = LoggerProvider(
            A_RESOURCE, shutdown_on_exit=False, multi_log_record_processor=both
        )
        logger = provider.get_logger("app")
        for number in range(20):
            logger.emit(body=f"event {number}")
        assert provider.force_flush(int(PATIENCE * 1000))
        assert messages_in(fake) == sorted([f"event {number}" for number in range(20)] * 2)
        provider.shutdown()
        both._executor.shutdown()


class TestFlushAndShutdown:
    """What they return is true, and they return in time."""

    def test_a_flush_waits_for_delivery(self, fake: FakeKinesis) -> None:
        """Without lingering."""
        sink = make_sink(fake, linger=30, time_to_live=60)
        provider = provider_of(KinesisLogRecordProcessor(sink=sink))
        provider.get_logger("app").emit(body="hello")
        assert provider.force_flush(int(PATIENCE * 1000))
        assert messages_in(fake) == ["hello"]
        sink.close()

    def test_a_flush_ends_when_its_time_is_up(self, fake: FakeKinesis, sink: Sink) -> None:
        """A service that hangs; the event is delivered when it does no more."""
        fake.script(Hang(operation="PutRecords"))
        provider = provider_of(KinesisLogRecordProcessor(sink=sink))
        provider.get_logger("app").emit(body="hello")
        began = time.monotonic()
        assert provider.force_flush(300) is False
        assert 0.25 < time.monotonic() - began < PATIENCE / 2
        fake.faults.clear()
        fake.release()
        assert provider.force_flush(int(PATIENCE * 1000))
        assert messages_in(fake) == ["hello"]

    def test_a_flush_before_the_first_event(self) -> None:
        """There is nothing to wait for, and nothing is begun."""
        processor = KinesisLogRecordProcessor("app")
        assert processor.force_flush(0) is True
        assert processor.statistics().accepted == 0

    def test_shutdown_flushes(self, fake: FakeKinesis, sink: Sink) -> None:
        """What was emitted before is delivered."""
        provider = provider_of(KinesisLogRecordProcessor(sink=sink))
        provider.get_logger("app").emit(body="hello")
        provider.shutdown()
        assert messages_in(fake) == ["hello"]

    def test_later_records_are_refused_and_counted(self, fake: FakeKinesis, sink: Sink) -> None:
        """As OpenTelemetry wants it, and no event is lost from the account."""
        processor = KinesisLogRecordProcessor(sink=sink)
        provider = provider_of(processor)
        provider.get_logger("app").emit(body="before")
        provider.shutdown()
        provider.get_logger("app").emit(body="after")
        assert messages_in(fake) == ["before"]
        wait_until(lambda: processor.statistics().dropped == {DropReason.SHUTDOWN: 1})
        assert adds_up(sink)

    def test_shut_down_before_any_record_no_thread_is_started(self) -> None:
        """A refusal is counted where it is."""
        processor = KinesisLogRecordProcessor("app", region_name="eu-west-1")
        processor.shutdown()
        processor.on_emit(writable())
        assert processor.statistics().dropped == {DropReason.SHUTDOWN: 1}
        (sink,) = processor._sinks
        assert sink._background.wait_ended(0)
        assert sink._background._producer is None

    def test_shutdown_gives_the_sink_back(self, registry: Registry) -> None:
        """Once, however often it is called."""
        processor = KinesisLogRecordProcessor("app")
        processor.on_emit(writable())
        processor.shutdown()
        processor.shutdown()
        assert registry.held == []


class Loud:
    """Logs through a processor when it is rendered."""

    def __init__(self, processor: KinesisLogRecordProcessor, **fields: Any) -> None:  # noqa: ANN401 - of the record
        self.processor = processor
        self.fields = fields

    def __str__(self) -> str:
        self.processor.on_emit(writable("inner", **self.fields))
        return "outer"


class Endless(Loud):
    """Logs itself."""

    def __str__(self) -> str:
        self.processor.on_emit(writable(self))
        return "outer"


class Broken:
    """Raises whatever is asked of it."""

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401 - never returns
        raise ZeroDivisionError(name)

    def __str__(self) -> str:
        raise ZeroDivisionError

    def __bool__(self) -> bool:
        raise ZeroDivisionError

    __hash__ = None  # type: ignore[assignment]  # what is tested


class TestNeverInTheWay:
    """No record raises, waits or comes back."""

    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
        | st.binary() | st.builds(object) | st.builds(Broken) | st.datetimes(),
        lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )  # fmt: skip

    @given(body=values, attributes=values | st.dictionaries(st.text() | st.integers(), values))
    def test_whatever_a_record_holds_is_one_event(self, body: object, attributes: Any) -> None:  # noqa: ANN401 - what is tested
        """Set after its construction, past all that the SDK cleans."""
        sink = RecordingSink()
        record = writable(body)
        record.log_record.attributes = attributes
        KinesisLogRecordProcessor(sink=sink).on_emit(record)
        assert isinstance(sink.event["message"], str)
        assert not DEPTHS

    @pytest.mark.parametrize(
        "fields",
        [
            {"timestamp": "yesterday"},
            {"timestamp": 1.5e18},
            {"timestamp": -1},
            {"timestamp": 10**30},
            {"severity_text": ["INFO"]},
            {"severity_text": "IN\ud800FO"},
            {"trace_id": "abc"},
            {"span_id": 1.5, "trace_id": 1},
            {"trace_flags": "x", "trace_id": 1},
            {"event_name": 7},
            {"attributes": 5},
            {"attributes": Broken()},
            {"attributes": {1: 2, None: 3}},
            {"body": Broken()},
        ],
    )
    def test_a_part_of_the_wrong_type_costs_no_event(self, fields: dict[str, Any]) -> None:
        """What is left of it is shipped, and trouble is told at most."""
        sink = RecordingSink()
        record = writable("hello")
        for name, value in fields.items():
            setattr(record.log_record, name, value)
        KinesisLogRecordProcessor(sink=sink).on_emit(record)
        expected = "hello" if "body" not in fields else "<"
        assert sink.event["message"].startswith(expected)
        assert not DEPTHS

    @pytest.mark.parametrize("name", ["resource", "instrumentation_scope"])
    @pytest.mark.parametrize("options", [{}, {"partition_key": "attr:user"}])
    def test_a_resource_or_scope_that_is_none_costs_no_event(
        self, name: str, options: dict[str, Any]
    ) -> None:
        """The operator is told, each minute at most."""
        sink = RecordingSink()
        processor = KinesisLogRecordProcessor(sink=sink, **options)
        for _ in range(2):
            record = writable("hello")
            setattr(record, name, object())
            processor.on_emit(record)
        assert [event["message"] for event in sink.events] == ["hello", "hello"]
        assert {kind for kind, _ in sink.reports} == {"opentelemetry"}
        assert not DEPTHS

    @pytest.mark.parametrize("options", [{}, {"partition_key": "logger"}])
    def test_a_value_may_log_while_it_is_rendered(self, options: dict[str, Any]) -> None:
        """Both are shipped, the inner one first."""
        sink = RecordingSink()
        processor = KinesisLogRecordProcessor(sink=sink, **options)
        processor.on_emit(writable(Loud(processor)))
        assert [event["message"] for event in sink.events] == ["inner", "outer"]
        assert not DEPTHS

    def test_a_value_that_logs_itself_ends(self) -> None:
        """At some depth it is named instead of rendered."""
        sink = RecordingSink()
        processor = KinesisLogRecordProcessor(sink=sink)
        processor.on_emit(writable(Endless(processor)))
        messages = [event["message"] for event in sink.events]
        assert messages[0].startswith("<")
        assert messages[0].endswith("Endless>")
        assert messages[1:] == ["outer"] * 3
        assert not DEPTHS

    def test_what_the_producer_logs_is_not_shipped(self, registry: Registry) -> None:
        """It is counted apart; the application's own records go on."""
        processor = KinesisLogRecordProcessor("app")

        def produce() -> None:
            origin.OWN.set(True)
            processor.on_emit(writable("own"))

        copy_context().run(produce)
        processor.on_emit(writable("theirs"))
        copy_context().run(produce)
        assert registry.sink.event["message"] == "theirs"
        assert registry.sink.own == 1

    def test_what_is_logged_in_a_producer_s_thread_is_not_shipped(self) -> None:
        """Whatever context it runs in."""
        sink = RecordingSink()
        origin.mark_thread()
        try:
            KinesisLogRecordProcessor(sink=sink).on_emit(writable("own"))
        finally:
            origin.unmark_thread()
        assert (sink.lines, sink.own) == ([], 1)

    async def test_on_an_event_loop_it_does_not_wait(self, fake: FakeKinesis, sink: Sink) -> None:
        """A service that hangs holds up no log call."""
        fake.script(Hang())
        processor = KinesisLogRecordProcessor(sink=sink)
        began = time.monotonic()
        for _ in range(100):
            processor.on_emit(writable())
        assert time.monotonic() - began < PATIENCE / 4
        assert sink.statistics().pending == 100

    def test_a_schema_of_the_application_s_that_raises_is_told(self) -> None:
        """The event goes in the default schema, and says so."""
        sink = RecordingSink()

        def schema(fields: dict[str, Any]) -> dict[str, Any]:
            raise KeyError(fields["message"])

        KinesisLogRecordProcessor(sink=sink, schema=schema).on_emit(writable("hello"))
        assert sink.event["message"] == "hello"
        assert sink.event["kinesink_error"] == "schema raised KeyError"
        assert [kind for kind, _ in sink.reports] == ["schema"]


class TestSchemas:
    """Every schema takes what comes by this door."""

    @staticmethod
    def record() -> ReadWriteLogRecord:
        """Return a record with an exception and an attribute."""
        return writable(
            attributes={"user": "ann", "exception.type": "E", "exception.message": "no"},
            event_name="accepted",
        )

    def shipped(self, **options: Unpack[EventParameters]) -> dict[str, Any]:
        """Return the event it becomes."""
        sink = RecordingSink()
        KinesisLogRecordProcessor(sink=sink, **options).on_emit(self.record())
        return sink.event

    def test_ecs(self) -> None:
        """Dotted names as levels."""
        event = self.shipped(schema="ecs")
        assert event["@timestamp"] == "2026-01-02T03:04:05.678Z"
        assert event["log.level"] == "info"
        assert event["log"] == {"logger": "app.orders"}
        assert event["service"] == {"name": "shop"}
        assert event["event"] == {"action": "accepted", "severity": 9}
        assert event["error"] == {"type": "E", "message": "no"}
        assert event["user"] == "ann"

    def test_datadog(self) -> None:
        """Standard attributes."""
        event = self.shipped(schema="datadog")
        assert (event["status"], event["service"], event["user"]) == ("info", "shop", "ann")
        assert event["logger"] == {"name": "app.orders"}
        assert event["error"] == {"kind": "E", "message": "no"}
        assert event["event_name"] == "accepted"

    def test_structlog(self) -> None:
        """As structlog's own JSON."""
        event = self.shipped(schema="structlog")
        assert (event["event"], event["level"]) == ("order 7 accepted", "info")
        assert (event["logger"], event["user"]) == ("app.orders", "ann")

    def test_otel(self) -> None:
        """One LogsData."""
        (of_resource,) = self.shipped(schema="otel")["resourceLogs"]
        names = {each["key"] for each in of_resource["resource"]["attributes"]}
        assert {"service.name", "cloud.region", "process.pid"} <= names
        (of_scope,) = of_resource["scopeLogs"]
        (record,) = of_scope["logRecords"]
        assert of_scope["scope"]["name"] == "app.orders"
        assert record["timeUnixNano"] == "1767323045678901234"
        assert record["body"] == {"stringValue": "order 7 accepted"}
        assert (record["eventName"], record["severityText"]) == ("accepted", "INFO")

    def test_a_callable(self) -> None:
        """Gets the fields of the default schema."""
        event = self.shipped(schema=lambda fields: {"said": fields["message"]})
        assert event == {"said": "order 7 accepted"}
